//! `drillmaster env init` writes an Environment from contexts, with their identities; `env check` says how each cluster is.
//!
//! Both change nothing.

mod check;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{exit, failed, inputs, live, say};
use crate::cluster::environment::Class;
use crate::cluster::{ClusterError, connect};
use crate::document::API_VERSION;
use crate::model::name::{Region, Uid};

/// Write an Environment from kubeconfig contexts, or check one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: drillmaster env check staging.yaml")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Init(Init),
    Check(check::Check),
}

/// Write an Environment from kubeconfig contexts, with the identity of each cluster.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: drillmaster env init staging.yaml --region east=admin@east --region west=admin@west --namespace shop"
)]
pub struct Init {
    /// The file to write; an existing one is not touched.
    pub file: PathBuf,
    /// A region and its context; several times.
    #[arg(long = "region", value_name = "REGION=CONTEXT", required = true, value_parser = region)]
    pub regions: Vec<(Region, String)>,
    /// The kubeconfig, by its path from the file; $KUBECONFIG or ~/.kube/config without it.
    #[arg(long)]
    pub kubeconfig: Option<String>,
    /// A namespace that drills may touch; several times.
    #[arg(long = "namespace", value_name = "NAMESPACE", required = true)]
    pub namespaces: Vec<String>,
    /// How much a mistake would cost: production, staging or development.
    #[arg(long, default_value = "production", value_parser = class)]
    pub class: Class,
}

fn region(text: &str) -> Result<(Region, String), String> {
    let (name, context) = text.split_once('=').ok_or("write it as REGION=CONTEXT")?;
    Ok((name.into(), context.to_owned()))
}

fn class(text: &str) -> Result<Class, String> {
    serde_json::from_value(json!(text)).map_err(|_| "write production, staging or development".to_owned())
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let runtime = match live::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, exit::BUG),
    };
    match &args.command {
        Command::Init(init) => runtime.block_on(self::init(init)),
        Command::Check(check) => runtime.block_on(check::check(check)),
    }
}

async fn init(init: &Init) -> ExitCode {
    let folder = inputs::folder_of(&init.file);
    let mut regions = Vec::new();
    let mut seen: BTreeMap<Uid, &Region> = BTreeMap::new();
    for (index, (name, context)) in init.regions.iter().enumerate() {
        if init.regions[..index].iter().any(|(other, _)| other == name) {
            say(&format!("error: two regions are called `{name}`: give each a name of its own"));
            return exit::code(exit::USAGE);
        }
        let greeted = connect::greet(name, init.kubeconfig.as_deref(), Some(context), &folder).await;
        let identity = match greeted {
            Ok(connected) => connected.identity,
            Err(error) => return failed(&error, exit::REFUSED),
        };
        if let Some(one) = seen.insert(identity.clone(), name) {
            let same = ClusterError::Same { one: one.clone(), other: name.clone(), identity };
            return failed(&same, exit::REFUSED);
        }
        regions.push(entry(init, name, context, &identity));
    }
    let document = json!({
        "apiVersion": API_VERSION, "kind": "Environment",
        "metadata": {"name": named_after(&init.file)},
        "spec": {"regions": regions},
    });
    let written = serde_saphyr::to_string(&document).map_err(std::io::Error::other).and_then(|text| {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&init.file)?;
        file.write_all(text.as_bytes())
    });
    match written {
        Ok(()) => {
            say(&format!(
                "{}: {} regions; `drillmaster env check` looks at them",
                init.file.display(),
                regions.len()
            ));
            exit::code(exit::MET)
        }
        Err(error) => {
            say(&format!("error: {} cannot be written: {error}", init.file.display()));
            exit::code(exit::USAGE)
        }
    }
}

/// The name of a document after its file: of `Stage 2.yaml` it is `stage-2`.
fn named_after(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let words = stem.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("-");
    if name.starts_with(|c: char| c.is_ascii_lowercase()) { name } else { format!("environment-{name}") }
}

fn entry(init: &Init, name: &Region, context: &str, identity: &Uid) -> Value {
    let mut entry = json!({
        "name": name, "class": init.class, "context": context, "identity": identity,
        "namespaces": init.namespaces,
    });
    if let Some(kubeconfig) = &init.kubeconfig {
        entry["kubeconfig"] = json!(kubeconfig);
    }
    entry
}
