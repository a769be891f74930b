//! `drillmaster env init` writes an Environment from contexts, with their identities; `env check` says how each cluster is.
//!
//! Both only read.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use super::{OutputFormat, exit, failed, inputs, live, look, print, print_json, say, show};
use crate::cluster::{self, ClusterError, Connected, connect};
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
    Check(Check),
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
    #[arg(long, default_value = "production")]
    pub class: String,
}

/// Say of each region of an Environment whether it is there, who it is, its version and its clock.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: drillmaster env check staging.yaml")]
pub struct Check {
    /// The file of the Environment.
    pub file: PathBuf,
    /// What people read, or JSON.
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

fn region(text: &str) -> Result<(Region, String), String> {
    let (name, context) = text.split_once('=').ok_or("write it as REGION=CONTEXT")?;
    Ok((name.into(), context.to_owned()))
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let runtime = match live::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, exit::BUG),
    };
    match &args.command {
        Command::Init(init) => runtime.block_on(self::init(init)),
        Command::Check(check) => runtime.block_on(self::check(check)),
    }
}

async fn init(init: &Init) -> ExitCode {
    let folder = inputs::folder_of(&init.file);
    let mut regions = Vec::new();
    for (name, context) in &init.regions {
        let greeted = connect::greet(name, init.kubeconfig.as_deref(), Some(context), &folder).await;
        match greeted {
            Ok(connected) => regions.push(entry(init, name, context, &connected.identity)),
            Err(error) => return failed(&error, exit::REFUSED),
        }
    }
    let document = json!({
        "apiVersion": API_VERSION, "kind": "Environment",
        "metadata": {"name": init.file.file_stem().map(|stem| stem.to_string_lossy().to_lowercase())},
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

/// What is known of a region.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    region: Region,
    version: Option<String>,
    identity: Option<Uid>,
    /// What its clock showed, to the second.
    clock: Option<String>,
    /// Why it cannot be used.
    wrong: Option<String>,
}

impl Seen {
    fn of(region: Region, connected: Result<Connected, ClusterError>) -> Seen {
        match connected {
            Ok(Connected { identity, version, date, .. }) => {
                Seen { region, version: Some(version), identity: Some(identity), clock: date, wrong: None }
            }
            Err(error) => {
                Seen { region, version: None, identity: None, clock: None, wrong: Some(error.to_string()) }
            }
        }
    }
}

async fn check(check: &Check) -> ExitCode {
    let (environment, folder) = match inputs::environment(&check.file) {
        Ok(found) => found,
        Err(findings) => {
            show(&findings.render(look()));
            return exit::code(exit::USAGE);
        }
    };
    let all = cluster::connect_all(&environment.spec, &folder).await;
    let seen: Vec<Seen> = all.into_iter().map(|(region, connected)| Seen::of(region, connected)).collect();
    match check.output {
        OutputFormat::Text => print(&seen.iter().map(line).collect::<String>()),
        OutputFormat::Json => match serde_json::to_string_pretty(&seen) {
            Ok(json) => print_json(&json),
            Err(error) => return failed(&error, exit::BUG),
        },
    }
    exit::code(if seen.iter().all(|one| one.wrong.is_none()) { exit::MET } else { exit::REFUSED })
}

fn line(seen: &Seen) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    match &seen.wrong {
        Some(why) => format!("{:<12} NOT USABLE  {why}\n", seen.region),
        None => format!(
            "{:<12} ok  {}  identity {}  clock {}\n",
            seen.region,
            text(&seen.version),
            seen.identity.as_ref().map_or("-", Uid::as_str),
            text(&seen.clock),
        ),
    }
}
