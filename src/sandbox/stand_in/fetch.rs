//! One GET over a simulated network, as services ask each other and as alerting checks.
//!
//! Its own few lines, so that what is measured and what measures share no client.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use bytes::Bytes;
use futures::future::{Either, select};
use http::{Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;

use crate::world::Net;

/// The status of a fresh connection's answer; waits as long as the network does.
///
/// # Errors
/// Where the URL is none, or the way to an answer broke.
pub async fn get(net: &dyn Net, url: &str) -> io::Result<StatusCode> {
    let uri: Uri = url.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let host = uri.host().ok_or(io::ErrorKind::InvalidInput)?;
    let address = net.resolve(host).await?.first().copied().ok_or(io::ErrorKind::NotFound)?;
    let stream = net.connect(SocketAddr::new(address, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(http::header::HOST, host).body(Empty::<Bytes>::new());
    let answer = pin!(sender.send_request(request.map_err(io::Error::other)?));
    match select(answer, pin!(connection)).await {
        Either::Left((answer, _)) => Ok(answer.map_err(io::Error::other)?.status()),
        Either::Right((ended, answer)) => {
            ended.map_err(io::Error::other)?;
            Ok(answer.await.map_err(io::Error::other)?.status())
        }
    }
}
