//! An Ingress controller at its address: takes HTTP on port 80, asks a ready endpoint of the backend, and passes its answer on.
//!
//! As ingress-nginx does where nobody configured it: no rule gives 404, a Service that is not there or without a ready endpoint 503, an endpoint that
//! refuses or breaks off 502; one that does not take the connection within 5 s (`proxy-connect-timeout`) or does not begin to answer within 60 s
//! (`proxy-read-timeout`) gives 504. It believes no `X-Forwarded-…` of a client (`use-forwarded-headers: false`), and sets its own.
//!
//! It stands in its region, in no namespace: a sender without a pod, to which policies of the endpoints apply. Where they name the namespace or the
//! pods of a controller they do not mean this one; a range of addresses that holds the controller's does. Left out: TLS, and the redirect to it;
//! another try elsewhere (`proxy-next-upstream`); connections that are kept for the next request; upgrades to other protocols; a time
//! between two parts of a body; ways from one controller to another, which could lead round in a circle.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::ingress::{Backend, Router};
use super::network::{Asked, Network, State};
use super::pipe::End;
use super::{Listener, Source};
use crate::model::name::Name;
use crate::model::time::At;

/// The port of plain HTTP; a controller answers on no other.
pub(super) const HTTP: u16 = 80;

/// How long an endpoint may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an endpoint may take to begin its answer.
const ANSWER: Duration = Duration::from_secs(60);

/// What concerns one connection only, besides what `Connection` names (RFC 9110, 7.6.1).
const OF_ONE_HOP: [HeaderName; 6] = [
    CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A controller.
#[derive(Clone)]
struct Proxy {
    /// The network holds the controller.
    network: Weak<Network>,
    source: Arc<Source>,
}

/// The ready endpoints of a backend, in turn.
#[derive(Debug)]
pub(super) struct Turn {
    endpoints: Vec<SocketAddrV4>,
    next: usize,
}

impl Network {
    /// Lets the controllers of a region take connections at their addresses.
    pub(super) fn stand_controllers(self: &Arc<Self>, state: &mut State, region: &Name) {
        let Some(index) = state.regions.get(region) else { return };
        for address in index.controllers() {
            state.listeners.entry((address, HTTP)).or_insert_with(|| {
                let source = Arc::new(Source { place: region.clone(), address, pod: None });
                Arc::new(Proxy { network: Arc::downgrade(self), source })
            });
        }
    }
}

impl State {
    /// The endpoint whose turn it is to answer a request to a controller, else the status that says why there is none.
    fn endpoint(&mut self, controller: &Source, asked: Asked) -> Result<SocketAddrV4, StatusCode> {
        let router = self.router(controller).map(Arc::clone).ok_or(StatusCode::NOT_FOUND)?;
        let backend = router.backend(asked.host, asked.path).ok_or(StatusCode::NOT_FOUND)?;
        let known = self.turns.get(&controller.address).is_some_and(|turns| turns.contains_key(backend));
        if !known {
            let endpoints = self.endpoints(controller, backend);
            let next = if endpoints.is_empty() { 0 } else { self.random.usize(..endpoints.len()) };
            let turns = self.turns.entry(controller.address).or_default();
            turns.insert(backend.clone(), Turn { endpoints, next });
        }
        let turn = self.turns.get_mut(&controller.address).and_then(|turns| turns.get_mut(backend));
        turn.and_then(Turn::next).ok_or(StatusCode::SERVICE_UNAVAILABLE)
    }

    fn router(&self, controller: &Source) -> Option<&Arc<Router>> {
        self.regions.get(&controller.place)?.router(controller.address)
    }

    /// The ready endpoints of a backend, but other controllers.
    fn endpoints(&self, controller: &Source, backend: &Backend) -> Vec<SocketAddrV4> {
        let Some(index) = self.regions.get(&controller.place) else { return Vec::new() };
        let proxied = |address: Ipv4Addr| self.regions.values().any(|index| index.router(address).is_some());
        let found = index.endpoints(backend).into_iter().filter(|(address, _)| !proxied(*address));
        found.map(|(address, port)| SocketAddrV4::new(address, port)).collect()
    }

    /// For the truth: whether a GET to a controller would be answered well, by every endpoint that it may ask.
    pub(super) fn would_route(&self, controller: &Source, asked: Asked, depth: u32, now: At) -> bool {
        let backend = self.router(controller).and_then(|router| router.backend(asked.host, asked.path));
        let endpoints = backend.map(|backend| self.endpoints(controller, backend)).unwrap_or_default();
        let serves = |to: &SocketAddrV4| self.would_serve(controller, *to, asked, depth, now);
        !endpoints.is_empty() && endpoints.iter().all(serves)
    }
}

impl Turn {
    fn next(&mut self) -> Option<SocketAddrV4> {
        let endpoint = self.endpoints.get(self.next).copied();
        self.next = (self.next + 1) % self.endpoints.len().max(1);
        endpoint
    }
}

impl Listener for Proxy {
    fn accept(&self, stream: End, from: Ipv4Addr) -> AbortHandle {
        let proxy = self.clone();
        let answer = service_fn(move |request| {
            let proxy = proxy.clone();
            async move { Ok::<_, Infallible>(proxy.answer(from, request).await) }
        });
        // A connection that breaks is its client's to notice.
        let serve =
            http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), answer);
        // In a box: a task is moved several times before it runs, and a connection is large.
        tokio::spawn(Box::pin(serve)).abort_handle()
    }

    /// Nobody asks: it depends on the host, which `State::would_route` knows.
    fn serves(&self, _: &dyn Fn(&str) -> bool) -> bool {
        false
    }
}

impl Proxy {
    async fn answer(
        &self,
        from: Ipv4Addr,
        request: Request<Incoming>,
    ) -> Response<Either<Incoming, Full<Bytes>>> {
        match self.pass(from, request).await {
            Ok(mut response) => {
                remove_of_one_hop(response.headers_mut());
                *response.version_mut() = Version::HTTP_11;
                response.map(Either::Left)
            }
            Err(status) => {
                let mut response = Response::new(Either::Right(Full::new(format!("{status}\n").into())));
                *response.status_mut() = status;
                response
            }
        }
    }

    /// The endpoint's answer, else the status of the controller's own.
    async fn pass(
        &self,
        from: Ipv4Addr,
        request: Request<Incoming>,
    ) -> Result<Response<Incoming>, StatusCode> {
        let network = self.network.upgrade().ok_or(StatusCode::BAD_GATEWAY)?;
        let request = forwarded(request, from)?;
        let endpoint = {
            let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            network.lock().endpoint(&self.source, Asked { host, path: request.uri().path() })?
        };
        let stream = in_time(CONNECT, network.reach(&self.source, endpoint)).await?;
        let (mut sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
        // It ends with the answer's body, or when nobody waits for that any more.
        tokio::spawn(Box::pin(connection));
        in_time(ANSWER, sender.send_request(request)).await
    }
}

/// What comes of an endpoint; 504 where nothing does within a time, 502 where it fails.
async fn in_time<T, E>(limit: Duration, asked: impl Future<Output = Result<T, E>>) -> Result<T, StatusCode> {
    let answered = timeout(limit, asked).await.map_err(|_| StatusCode::GATEWAY_TIMEOUT)?;
    answered.map_err(|_| StatusCode::BAD_GATEWAY)
}

/// A request as a controller sends it on, for a client at an address.
fn forwarded(mut request: Request<Incoming>, from: Ipv4Addr) -> Result<Request<Incoming>, StatusCode> {
    let bad = |_| StatusCode::BAD_REQUEST;
    let authority = request.uri().authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri: Uri = path.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    let headers = request.headers_mut();
    remove_of_one_hop(headers);
    if let Some(authority) = authority {
        headers.insert(HOST, authority.map_err(bad)?);
    }
    let client = HeaderValue::from_str(&from.to_string()).map_err(bad)?;
    headers.insert("x-forwarded-for", client);
    headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
    if let Some(host) = headers.get(HOST).cloned() {
        headers.insert("x-forwarded-host", host);
    }
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    Ok(request)
}

fn remove_of_one_hop(headers: &mut HeaderMap) {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> =
        named.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    for name in OF_ONE_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}
