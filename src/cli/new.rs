//! `drillmaster new`: a folder with a drill to start from, its catalogue, sandbox, manifests and runbook.
//!
//! It never writes over anything: the folder must not exist. The manifests end in `.manifest`, since the `.yaml` files of a
//! drill's folder are documents.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::cli::answer::Answer;

/// Write a drill to start from, with all that a rehearsal needs.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: drillmaster new orders-failover && drillmaster validate orders-failover/drill.yaml"
)]
pub struct Args {
    /// The drill's name: lower-case letters, digits and `-`.
    pub name: String,
    /// The folder to make; the name's, where it is left out.
    #[arg(long)]
    pub folder: Option<PathBuf>,
}

pub fn run(args: &Args) -> Answer {
    let name = &args.name;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty()
        || name.len() > 63
        || !name.chars().all(fits)
        || name.starts_with('-')
        || name.ends_with('-')
    {
        let shown = crate::document::diagnostic::plain(name);
        return Answer::Refused(format!(
            "error: `{shown}` is not a name\nhelp: use lower-case letters, digits and `-`, as `orders-failover`\n"
        ));
    }
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from(name));
    let shown = folder.display();
    match write(&folder, name) {
        Ok(()) => Answer::Said(format!(
            "wrote {shown}/drill.yaml, with its catalogue, sandbox and runbook\nnext: drillmaster validate {shown}/drill.yaml\n"
        )),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Answer::Refused(format!(
            "error: `{shown}` is there already\nhelp: choose another name, or `--folder`\n"
        )),
        Err(error) => Answer::Refused(format!(
            "error: cannot write `{shown}`: {error}\nhelp: choose another place with `--folder`\n"
        )),
    }
}

fn write(folder: &std::path::Path, name: &str) -> io::Result<()> {
    const EAST: &str = "10.1.192.1";
    fs::create_dir(folder)?;
    let region = |region: &str, role: &str, peer: &str, address: &str| {
        let text = include_str!("starter/region.manifest");
        text.replace("REGION", region)
            .replace("LEDGER_PEER", "\0")
            .replace("PEER", peer)
            .replace('\0', "LEDGER_PEER")
            .replace("value: ROLE", &format!("value: {role}"))
            .replace("ADDRESS", address)
    };
    let west = region("west", "replica", "east", "10.2.192.1")
        + &include_str!("starter/record.manifest").replace("ADDRESS", EAST);
    let name = &as_text(name);
    let files = [
        ("drill.yaml", include_str!("starter/drill.yaml").replace("NAME", name)),
        ("catalogue.yaml", include_str!("starter/catalogue.yaml").replace("NAME", name)),
        ("sandbox.yaml", include_str!("starter/sandbox.yaml").replace("NAME", name)),
        ("east.manifest", region("east", "primary", "west", EAST)),
        ("west.manifest", west),
        ("runbook.md", include_str!("starter/runbook.md").to_owned()),
    ];
    for (file, text) in files {
        fs::write(folder.join(file), text)?;
    }
    Ok(())
}

/// A name as YAML takes for a text, whichever version of it: what looks like a number, a day or a word for true, false or nothing is quoted.
fn as_text(name: &str) -> String {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    if name.starts_with(|c: char| c.is_ascii_digit()) || WORDS.contains(&name) {
        format!("\"{name}\"")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::validate;

    #[test]
    fn what_new_writes_is_valid_and_never_written_over() {
        let place = tempfile::tempdir().unwrap();
        for name in ["orders-failover", "123", "2026-11-30", "no", "y", "null", "1e3", "0x1f", "3rd-region"] {
            let folder = place.path().join(name);
            let args = Args { name: name.to_owned(), folder: Some(folder.clone()) };
            assert!(matches!(run(&args), Answer::Said(_)), "{name}");
            let found = validate::check(&folder.join("drill.yaml"), &[]);
            assert!(found.diagnostics.is_empty(), "{}", found.render(crate::document::Look::Plain));
            assert!(matches!(run(&args), Answer::Refused(why) if why.contains("there already")), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_a_path_is_refused() {
        for name in ["../x", "", "A", "-a", "a/b"] {
            assert!(
                matches!(run(&Args { name: name.to_owned(), folder: None }), Answer::Refused(_)),
                "{name}"
            );
        }
    }
}
