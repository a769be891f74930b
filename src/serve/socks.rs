//! A SOCKS5 proxy (RFC 1928) into the simulated network of one vantage: CONNECT, without a password, since it changes nothing that the
//! network's own policies do not allow.
//!
//! A connection whose packets vanish stays open without an answer, as on a real network; it ends when its client does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::world::Net;

const VERSION: u8 = 5;
const CONNECT: u8 = 1;
const NO_PASSWORD: u8 = 0;
const NO_METHOD: u8 = 0xff;

/// What the proxy answers, by RFC 1928, section 6.
mod answer {
    pub const OK: u8 = 0;
    pub const FAILED: u8 = 1;
    pub const NETWORK_UNREACHABLE: u8 = 3;
    pub const HOST_UNREACHABLE: u8 = 4;
    pub const REFUSED: u8 = 5;
    pub const NO_COMMAND: u8 = 7;
    pub const NO_ADDRESS_TYPE: u8 = 8;
}

/// How long the answer to what a client sent last may take, after it has sent its end.
const LINGERS: Duration = Duration::from_secs(30);

/// Serves one vantage's proxy.
pub async fn serve(listener: TcpListener, net: Arc<dyn Net>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let net = Arc::clone(&net);
        // A connection that breaks is its client's to notice.
        connections.spawn(async move { drop(proxied(stream, &*net).await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn proxied(mut client: TcpStream, net: &dyn Net) -> io::Result<()> {
    client.set_nodelay(true)?;
    let [version, methods] = read(&mut client).await?;
    let mut offered = vec![0; usize::from(methods)];
    client.read_exact(&mut offered).await?;
    if version != VERSION || !offered.contains(&NO_PASSWORD) {
        return client.write_all(&[VERSION, NO_METHOD]).await;
    }
    client.write_all(&[VERSION, NO_PASSWORD]).await?;
    let [_, command, _, kind] = read(&mut client).await?;
    let host = match kind {
        1 => Host::Is(IpAddr::from(Ipv4Addr::from(read::<4>(&mut client).await?))),
        4 => Host::Is(IpAddr::from(Ipv6Addr::from(read::<16>(&mut client).await?))),
        3 => {
            let [length] = read(&mut client).await?;
            let mut name = vec![0; usize::from(length)];
            client.read_exact(&mut name).await?;
            Host::Named(String::from_utf8_lossy(&name).into_owned())
        }
        _ => return said(&mut client, answer::NO_ADDRESS_TYPE).await,
    };
    let port = u16::from_be_bytes(read(&mut client).await?);
    if command != CONNECT {
        return said(&mut client, answer::NO_COMMAND).await;
    }
    let connecting = async {
        let address = match host {
            Host::Is(address) => address,
            Host::Named(name) => *net.resolve(&name).await?.first().ok_or(io::ErrorKind::HostUnreachable)?,
        };
        net.connect(SocketAddr::new(address, port)).await
    };
    let mut more = [0];
    let connected = tokio::select! {
        connected = connecting => connected,
        // A client that says more before it is connected breaks the protocol; one that says its end has given up.
        _ = client.peek(&mut more) => return Ok(()),
    };
    match connected {
        Ok(server) => {
            said(&mut client, answer::OK).await?;
            joined(client, server).await
        }
        Err(error) => {
            let code = match error.kind() {
                io::ErrorKind::ConnectionRefused => answer::REFUSED,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NotFound => answer::HOST_UNREACHABLE,
                io::ErrorKind::NetworkUnreachable => answer::NETWORK_UNREACHABLE,
                _ => answer::FAILED,
            };
            said(&mut client, code).await
        }
    }
}

enum Host {
    Is(IpAddr),
    Named(String),
}

async fn read<const N: usize>(client: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// An answer; the address that it must carry says nothing.
async fn said(client: &mut TcpStream, code: u8) -> io::Result<()> {
    client.write_all(&[VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]).await
}

/// Carries bytes both ways, until the server is done, or for a while after the client is.
async fn joined(client: TcpStream, server: crate::world::Stream) -> io::Result<()> {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), split(server));
    let there = async {
        copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await?;
        sleep(LINGERS).await;
        Ok(())
    };
    let back = async {
        copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::select! {
        done = there => done,
        done = back => done,
    }
}
