//! Simulated regions on loopback: real kubectl, Helm, kube-rs programs and `run --env` use them like clusters.
//!
//! ```text
//! kubectl, run --env ─TLS─► api of each region       kubeconfig.yaml: a context for each
//! curl, probes ─SOCKS5─► the network of a vantage ┐  environment.yaml: all of it, for `run --env`
//!              ──DNS───► its resolver             ┘
//! the alert step ─HTTP─► alerts
//! ```
//! The same API, network and controllers as in a rehearsal, in real time. A proxy for each vantage, since the simulated addresses exist
//! nowhere else: whoever goes through it stands at that place. Everything listens on 127.0.0.1 only, and asks for the certificate of
//! the folder's kubeconfig where it can change something.

mod alerts;
mod documents;
mod names;
mod socks;
mod tls;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use crate::model::name::{Region, Vantage};
use crate::sandbox::spec::OUTSIDE;
use crate::sandbox::state::RegionState;
use crate::sandbox::{Sandbox, SandboxSpec, api};
use tls::Authority;

/// The kubeconfig's name in the folder.
pub const KUBECONFIG: &str = "kubeconfig.yaml";

/// The environment's name in the folder.
pub const ENVIRONMENT: &str = "environment.yaml";

/// Why simulated regions cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("nothing can listen on loopback: {0}")]
    Listen(#[from] io::Error),
    #[error("the certificates cannot be made: {0}")]
    Certificates(String),
    #[error("{path} cannot be written: {why}")]
    Write { path: PathBuf, why: io::Error },
}

/// Where everything listens.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    pub regions: BTreeMap<Region, SocketAddr>,
    /// The SOCKS5 proxy and the resolver of each vantage.
    pub vantages: BTreeMap<Vantage, (SocketAddr, SocketAddr)>,
    pub authority: Option<SocketAddr>,
    pub alerts: Option<SocketAddr>,
}

/// Served regions; they are served until this is dropped.
pub struct Served {
    pub addresses: Addresses,
    _tasks: JoinSet<()>,
}

/// Serves a sandbox, and writes the files into a folder with which it is used.
///
/// # Errors
/// Where nothing can listen, or the files cannot be written.
pub async fn serve(
    sandbox: &Sandbox,
    spec: &SandboxSpec,
    namespaces: &[String],
    folder: &Path,
) -> Result<Served, ServeError> {
    let authority = Authority::new()?;
    let mut tasks = JoinSet::new();
    let mut addresses = Addresses::default();
    for (name, state) in sandbox.regions() {
        let listener = TcpListener::bind(loopback()).await?;
        addresses.regions.insert(name.clone(), listener.local_addr()?);
        tasks.spawn(region(listener, authority.acceptor()?, Arc::clone(state)));
    }
    let world = sandbox.world();
    for (name, net) in &world.vantages {
        let (proxy, dns) = (TcpListener::bind(loopback()).await?, UdpSocket::bind(loopback()).await?);
        addresses.vantages.insert(name.clone(), (proxy.local_addr()?, dns.local_addr()?));
        tasks.spawn(socks::serve(proxy, Arc::clone(net)));
        tasks.spawn(names::serve(dns, Arc::clone(net), names::Who::Resolver));
        if name.as_str() == OUTSIDE {
            let dns = UdpSocket::bind(loopback()).await?;
            addresses.authority = Some(dns.local_addr()?);
            tasks.spawn(names::serve(dns, Arc::clone(net), names::Who::Authority));
        }
    }
    let listener = TcpListener::bind(loopback()).await?;
    addresses.alerts = Some(listener.local_addr()?);
    let rules = spec.alerts.iter().map(|rule| rule.name.clone()).collect();
    tasks.spawn(alerts::serve(listener, Arc::clone(&world.alerts), Arc::clone(&world.clock), rules));
    documents::write(folder, &documents::kubeconfig(&addresses, &authority), KUBECONFIG)?;
    let environment = documents::environment(sandbox, spec, &addresses, namespaces);
    documents::write(folder, &environment, ENVIRONMENT)?;
    Ok(Served { addresses, _tasks: tasks })
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Serves a region's API to whoever has a certificate of ours.
async fn region(listener: TcpListener, acceptor: tokio_rustls::TlsAcceptor, state: Arc<RegionState>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        connections.spawn(async move {
            // A connection that is refused has heard why from TLS itself.
            if let Ok(stream) = acceptor.accept(stream).await {
                api::serve(state, stream).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
