//! `drillmaster sandbox FILE`: simulated regions on loopback, for kubectl, Helm, programs, and `run --env`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use chrono::Utc;

use super::inputs;
use super::signals::interruptions;
use super::{exit, failed, look, print, say, show};
use crate::model::effect::Resource;
use crate::sandbox::{Sandbox, SandboxSpec};
use crate::serve::{self, ENVIRONMENT, KUBECONFIG, Served};

/// Serve simulated regions on loopback: a kubeconfig context for each, in real time, until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: drillmaster sandbox scenarios/shop-two-regions.yaml --folder lab

Then: kubectl --kubeconfig lab/kubeconfig.yaml --context east get pods -A
      drillmaster run scenarios/checkout-region-failover.yaml --env lab/environment.yaml")]
pub struct Args {
    /// The file of a SandboxSpec, or of a drill that names one.
    pub file: PathBuf,
    /// Where kubeconfig.yaml and environment.yaml are written, for their owner only: they hold a key.
    #[arg(long, value_name = "DIR", default_value = "sandbox")]
    pub folder: PathBuf,
    /// Makes uids, generated names and addresses.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Runs the command.
pub fn run(arguments: &Args) -> ExitCode {
    let (document, manifests) = match inputs::sandbox(&arguments.file) {
        Ok(found) => found,
        Err(findings) => {
            show(&findings.render(look()));
            return exit::code(exit::USAGE);
        }
    };
    // The regions settle in virtual time, and go on in real time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    match (interruptions(), runtime) {
        (Ok(mut interrupted), Ok(runtime)) => runtime.block_on(async {
            let served = serve(arguments, &document.spec, &manifests).await;
            let (_sandbox, served) = match served {
                Ok(served) => served,
                Err(code) => return code,
            };
            print(&told(arguments, &served));
            // The sender lives as long as the process.
            let _ = interrupted.wait_for(|is| *is).await;
            exit::code(exit::MET)
        }),
        (Err(error), _) | (_, Err(error)) => failed(&error, exit::BUG),
    }
}

async fn serve(
    arguments: &Args,
    spec: &SandboxSpec,
    manifests: &BTreeMap<String, String>,
) -> Result<(Sandbox, Served), ExitCode> {
    let now = Utc::now().timestamp_nanos_opt().unwrap_or_default();
    let sandbox = Sandbox::start(spec, manifests, arguments.seed, now, &[])
        .await
        .map_err(|error| failed(&error, exit::USAGE))?;
    tokio::time::resume();
    sandbox.stand_ins().iter().chain(&sandbox.notes()).for_each(|line| say(line));
    let served = serve::serve(&sandbox, spec, &namespaces(&sandbox), &arguments.folder)
        .await
        .map_err(|error| failed(&error, exit::USAGE))?;
    Ok((sandbox, served))
}

/// The namespaces that the manifests made: drills may touch those.
fn namespaces(sandbox: &Sandbox) -> Vec<String> {
    let spaces = Resource::namespaces();
    let mut found: Vec<String> = sandbox
        .regions()
        .flat_map(|(_, state)| {
            state.read(|store| {
                let all = store.list(&spaces.group, &spaces.plural, None);
                all.map(|(key, _)| key.name().to_owned()).collect::<Vec<_>>()
            })
        })
        .filter(|name| !name.starts_with("kube-"))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// What a person, or a program that started it, reads once all of it listens.
fn told(arguments: &Args, served: &Served) -> String {
    let folder = arguments.folder.display();
    let mut lines = vec!["serving simulated regions in real time, until Ctrl-C".to_owned()];
    for (name, address) in &served.addresses.regions {
        lines.push(format!("  region {name:<10} https://{address}"));
    }
    for (name, (proxy, dns)) in &served.addresses.vantages {
        lines.push(format!("  vantage {name:<9} socks5://{proxy}  dns {dns}"));
    }
    lines.push(format!("  kubeconfig        {folder}/{KUBECONFIG}"));
    lines.push(format!("  environment       {folder}/{ENVIRONMENT}"));
    lines.push(String::new());
    lines.join("\n")
}
