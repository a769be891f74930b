//! `kube::Client` over in-memory connections: real HTTP, no socket.
//!
//! Real HTTP, because exec needs an upgrade and a caller that gives up must close something. A connection carries one request
//! at a time, so a few are kept and the first that is free is taken: that order is the same in every run. Rejected: calling the
//! dispatcher as a tower service (no upgrade), hyper-util's pooled client (its pool reads the wall clock).

use std::sync::{Arc, Mutex, PoisonError};

use http::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kube::client::Body;

use super::serve;
use crate::sandbox::state::RegionState;

/// The bytes that a connection holds before its writer waits.
const BUFFER: usize = 64 << 10;

/// A client of a region's API. Needs a tokio runtime when it is used; its connections end with it.
pub fn client(state: Arc<RegionState>) -> kube::Client {
    let idle = Arc::new(Mutex::new(Vec::new()));
    let service = tower::service_fn(move |request: Request<Body>| send(state.clone(), idle.clone(), request));
    kube::Client::new(service, "default")
}

type Idle = Arc<Mutex<Vec<SendRequest<Body>>>>;

/// Sends a request over the first free connection, or a new one.
async fn send(
    state: Arc<RegionState>,
    idle: Idle,
    request: Request<Body>,
) -> hyper::Result<http::Response<hyper::body::Incoming>> {
    let free = take_free(&idle);
    let mut connection = match free {
        Some(connection) => connection,
        None => connect(state).await?,
    };
    let answer = connection.send_request(with_host(request));
    // Kept at once: it becomes free by itself when the answer's body has been read, and closed when the caller gives up.
    idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    answer.await
}

fn take_free(idle: &Idle) -> Option<SendRequest<Body>> {
    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
    idle.retain(|connection| !connection.is_closed());
    let free = idle.iter().position(SendRequest::is_ready)?;
    Some(idle.remove(free))
}

async fn connect(state: Arc<RegionState>) -> hyper::Result<SendRequest<Body>> {
    let (near, far) = tokio::io::duplex(BUFFER);
    tokio::spawn(serve(state, far));
    let (connection, driver) = handshake(TokioIo::new(near)).await?;
    tokio::spawn(driver.with_upgrades());
    Ok(connection)
}

/// HTTP/1.1 wants a path and a host.
fn with_host(mut request: Request<Body>) -> Request<Body> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if let Ok(uri) = path.parse() {
        *request.uri_mut() = uri;
    }
    request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("kubernetes"));
    request
}
