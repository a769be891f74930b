//! `drillmaster vantage`: an agent, which asks where it stands, for whoever connects.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::cluster::ClusterError;
use crate::cluster::clock::LiveClock;
use crate::cluster::environment::AGENTS_PORT;
use crate::cluster::net::SocketNet;
use crate::cluster::trust::Trust;
use crate::prober::agent::Agent;
use crate::world::Stream;

/// So many connections at once; a run needs one.
const MOST_CONNECTIONS: usize = 64;

/// Where there is no room for another connection, after this there may be.
const RETRY: Duration = Duration::from_millis(100);

/// An agent for probes, in a pod that an Environment names under `vantages`: asks from where it stands, by its own clock, also while nobody
/// reaches it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: drillmaster vantage --listen 127.0.0.1:7070")]
pub struct Args {
    /// Where to listen; where it is left out, for this machine, or this pod, alone. Whoever reaches it can have it ask.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, AGENTS_PORT)))]
    listen: SocketAddr,
    /// A SOCKS5 proxy to ask through: 127.0.0.1:1080.
    #[arg(long)]
    proxy: Option<SocketAddr>,
    /// A resolver of this place: 192.0.2.53:53. Without it, the system's.
    #[arg(long)]
    dns: Option<SocketAddr>,
    /// A PEM file of a certificate authority that https probes accept beside those that this machine trusts; may be given again.
    #[arg(long = "certificate-authority", value_name = "FILE")]
    certificate_authorities: Vec<String>,
}

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
pub enum NoAgent {
    #[error("cannot listen on {0}: {1}; choose another --listen")]
    Listen(SocketAddr, io::Error),
    #[error(transparent)]
    Net(#[from] ClusterError),
}

/// Runs the command, until somebody ends it.
///
/// # Errors
/// Where it cannot listen, or has no network.
pub async fn run(args: Args) -> Result<u8, NoAgent> {
    let trust = Trust::of(&args.certificate_authorities, Path::new(""))?;
    let net = Arc::new(SocketNet::new(args.proxy, args.dns, None, trust)?);
    let name = uuid::Uuid::now_v7().to_string();
    let agent = Arc::new(Agent::new(name, net, Arc::new(LiveClock::begin())));
    let listener = TcpListener::bind(args.listen).await.map_err(|why| NoAgent::Listen(args.listen, why))?;
    let listens = listener.local_addr().unwrap_or(args.listen);
    super::say(&format!("a vantage listens on {listens}"));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        if connections.len() < MOST_CONNECTIONS && stream.set_nodelay(true).is_ok() {
            let agent = Arc::clone(&agent);
            // One that breaks is its other end's to notice.
            connections.spawn(async move { drop(agent.serve(Box::new(stream) as Stream).await) });
        }
    }
}
