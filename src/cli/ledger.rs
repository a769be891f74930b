//! `drillmaster ledger`: serves the canary workload, and controls the node that is served on this machine.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::http::{self, Ask, BadRequest, Broken};
use crate::ledger::socket::{Sockets, SystemClock, serve};
use crate::ledger::{BadConfig, Config, File, Service, StorageError};
use crate::model::effect::Request;
use crate::model::time::Duration;

/// How long a command may take; a demotion waits for its replica.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves the canary workload, or controls the node that is served on this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: drillmaster ledger serve --data /var/lib/ledger --listen 0.0.0.0:8080")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    /// The port of the node on this machine.
    #[arg(long, env = "LEDGER_PORT", default_value_t = 8080, global = true)]
    port: u16,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a node. LEDGER_ROLE, LEDGER_SHIP_EVERY and LEDGER_SNAPSHOT_EVERY are read from the environment.
    #[command(
        after_help = "Example: drillmaster ledger serve --data /var/lib/ledger --listen 127.0.0.1:8080"
    )]
    Serve {
        /// The folder that holds its records: where the shipped manifests mount their volume.
        #[arg(long, env = "LEDGER_DATA", default_value = "/var/lib/ledger")]
        data: PathBuf,
        /// Where to listen; where it is left out, for this machine alone, at the port. In a pod: 0.0.0.0:8080.
        #[arg(long, env = "LEDGER_LISTEN")]
        listen: Option<SocketAddr>,
        /// The URL of the other side.
        #[arg(long, env = "LEDGER_PEER")]
        peer: Option<String>,
    },
    /// Prints the node as it is.
    #[command(after_help = "Example: drillmaster ledger status --port 8080")]
    Status,
    /// Makes it primary of the next epoch, and lifts a fence.
    #[command(after_help = "Example: drillmaster ledger promote --port 8080")]
    Promote,
    /// Takes no more writes, waits until the replica has all, and follows it.
    #[command(after_help = "Example: drillmaster ledger demote --port 8080")]
    Demote,
    /// Refuses writes until it is promoted, also after a restart.
    #[command(after_help = "Example: drillmaster ledger fence --port 8080")]
    Fence,
    /// Follows the other side from the common prefix; what only this side has is kept aside.
    #[command(after_help = "Example: drillmaster ledger resync --port 8080")]
    Resync,
    /// Attempts a write, and removes it again.
    #[command(after_help = "Example: drillmaster ledger try --port 8080")]
    Try,
    /// Damages the newest records.
    #[command(after_help = "Example: drillmaster ledger corrupt 3 --port 8080")]
    Corrupt {
        /// How many.
        #[arg(default_value_t = 1)]
        records: usize,
    },
    /// Takes damage back.
    #[command(after_help = "Example: drillmaster ledger restore --port 8080")]
    Restore,
    /// Puts the newest intact copy back; what came after is lost.
    #[command(after_help = "Example: drillmaster ledger snapshot-restore --port 8080")]
    SnapshotRestore,
}

/// Why a command did not run.
#[derive(Debug, thiserror::Error)]
pub enum NotRun {
    #[error(transparent)]
    Config(#[from] BadConfig),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("cannot listen on {0}: {1}; choose another --listen")]
    Listen(SocketAddr, io::Error),
    #[error(transparent)]
    Request(#[from] BadRequest),
    #[error(
        "there is no ledger on port {0} of this machine ({1}): start `drillmaster ledger serve`, or give its --port"
    )]
    NoNode(u16, Broken),
    #[error("what answers on port {0} of this machine is no ledger: give the ledger's --port")]
    NotALedger(u16),
}

/// What a node answers to a command.
#[derive(Deserialize)]
struct Ran {
    stdout: String,
    code: u8,
}

/// Runs the command; the exit code is 0, or 1 where the node did not do it.
///
/// # Errors
/// Where there is no node to serve or to ask.
pub async fn run(args: Args) -> Result<u8, NotRun> {
    let argv = match args.command {
        Command::Serve { data, listen, peer } => {
            let listen = listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)));
            serving(data, listen, peer).await?;
            return Ok(0);
        }
        Command::Status => vec!["status".to_owned()],
        Command::Promote => vec!["promote".to_owned()],
        Command::Demote => vec!["demote".to_owned()],
        Command::Fence => vec!["fence".to_owned()],
        Command::Resync => vec!["resync".to_owned()],
        Command::Try => vec!["try".to_owned()],
        Command::Corrupt { records } => vec!["corrupt".to_owned(), records.to_string()],
        Command::Restore => vec!["restore".to_owned()],
        Command::SnapshotRestore => vec!["snapshot-restore".to_owned()],
    };
    let ran = asked(args.port, &argv).await?;
    super::print(&format!("{}\n", ran.stdout));
    Ok(ran.code)
}

async fn serving(data: PathBuf, listen: SocketAddr, peer: Option<String>) -> Result<(), NotRun> {
    let mut env: BTreeMap<String, String> =
        std::env::vars().filter(|(name, _)| name.starts_with("LEDGER_") || name == "HOSTNAME").collect();
    env.extend(peer.map(|peer| ("LEDGER_PEER".to_owned(), peer)));
    let storage = Box::new(File::open(&data)?);
    let clock = Arc::new(SystemClock::start());
    let service = Service::new(Config::from_env(&env)?, storage, Arc::new(Sockets), clock)?;
    let listener = TcpListener::bind(listen).await.map_err(|error| NotRun::Listen(listen, error))?;
    serve(service, listener).await;
    Ok(())
}

async fn asked(port: u16, argv: &[String]) -> Result<Ran, NotRun> {
    let ask = Ask::new(&Request {
        method: "POST".into(),
        url: format!("http://127.0.0.1:{port}/control"),
        headers: BTreeMap::new(),
        body: serde_json::to_string(argv).ok(),
    })?;
    let answer = http::exchange(&Sockets, &SystemClock::start(), &ask, Some(PATIENCE)).await;
    let answer = answer.map_err(|broken| NotRun::NoNode(port, broken))?;
    serde_json::from_slice(&answer.body).map_err(|_| NotRun::NotALedger(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn command(port: u16, argv: &[&str]) -> serde_json::Value {
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        serde_json::from_str(&asked(port, &argv).await.unwrap().stdout).unwrap()
    }

    /// A node on a free port of this machine, with its records in a folder.
    async fn node(folder: &std::path::Path) -> (u16, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = Config::from_env(&BTreeMap::new()).unwrap();
        // The connections of a node that was stopped end a moment after it, and with them its hold on the file.
        let storage = loop {
            match File::open(folder) {
                Err(StorageError::Taken { .. }) => tokio::task::yield_now().await,
                opened => break Box::new(opened.unwrap()),
            }
        };
        let service =
            Service::new(config, storage, Arc::new(Sockets), Arc::new(SystemClock::start())).unwrap();
        (port, tokio::spawn(serve(service, listener)))
    }

    #[tokio::test]
    async fn a_node_on_a_real_socket_is_controlled_and_keeps_its_records() {
        let folder = tempfile::tempdir().unwrap();
        let (port, serving) = node(folder.path()).await;
        assert_eq!(command(port, &["try"]).await["accepted"], true);
        let payload = crate::ledger::wire::payload("r", 1);
        let record = serde_json::json!({
            "run": "r", "number": 1, "digest": crate::ledger::wire::digest(&payload), "payload": payload, "synthetic": true
        });
        let url = format!("http://localhost:{port}/ledger");
        let post = Request {
            method: "POST".into(),
            url: url.clone(),
            headers: BTreeMap::new(),
            body: Some(record.to_string()),
        };
        let exchanged = async |ask: Ask| {
            http::exchange(&Sockets, &SystemClock::start(), &ask, Some(PATIENCE)).await.unwrap()
        };
        assert_eq!(exchanged(Ask::new(&post).unwrap()).await.status, 201);
        command(port, &["fence"]).await;
        serving.abort();
        let _ = serving.await;
        let (port, _serving) = node(folder.path()).await;
        assert_eq!(command(port, &["status"]).await["role"], "fenced");
        command(port, &["promote"]).await;
        let url = format!("http://127.0.0.1:{port}/ledger?run=r");
        let read = exchanged(Ask::get(&url).unwrap()).await;
        let page: crate::ledger::wire::Page = serde_json::from_slice(&read.body).unwrap();
        assert_eq!((page.records.len(), page.records[0].record.number), (1, 1));
    }

    #[tokio::test]
    async fn no_node_is_said_with_what_to_do() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let error = asked(port, &[]).await.err().unwrap();
        assert!(matches!(error, NotRun::NoNode(..)), "{error}");
    }
}
