//! The prober's gRPC client: one unary call over a fresh HTTP/2 connection for each probe.
//!
//! By `h2` itself, whose connection is a future that this task drives: hyper's HTTP/2 client would spawn one that outlives a probe of a
//! black hole.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::Connection;
use http::{HeaderMap, Method, Request, Uri, Version};

use super::{Answer, ProbeRun, left, target};
use crate::http::{BadRequest, Course, Dialled, Stage, Target, dial, driven, within};
use crate::model::sample::Failure;
use crate::model::time::Duration;
use crate::model::url::BadUrl;
use crate::probe::{self, Endpoint, Probe};
use crate::world::{Clock, Net, Speaks, Stream};

/// How much of an answer's message is read, in bytes: the right one has seven.
const LONGEST_MESSAGE: usize = 4096;

pub(super) struct Client<'a> {
    probe: &'a dyn Probe,
    to: Target,
    uri: Uri,
    message: Bytes,
    net: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
}

/// An answer.
struct Called {
    status: u16,
    grpc: Option<u16>,
    message: Vec<u8>,
    certificate_ends: Option<i64>,
}

/// The connection, until it has ended.
type Driver = Option<Connection<Stream, Bytes>>;

impl<'a> Client<'a> {
    pub(super) fn new(
        probe: &'a dyn Probe,
        to: &Endpoint,
        service: &str,
        run: &ProbeRun,
    ) -> Result<Self, BadRequest> {
        let scheme = if to.tls.is_some() { "https" } else { "http" };
        let uri = format!("{scheme}://{}/grpc.health.v1.Health/Check", to.address);
        Ok(Client {
            probe,
            to: target(to, Speaks::Http2)?,
            uri: uri.parse().map_err(|_| BadUrl::NoPort(to.address.clone()))?,
            message: probe::grpc::message(service).into(),
            net: run.net.clone(),
            clock: run.clock.clone(),
            timeout: run.probe.timeout,
        })
    }

    pub(super) async fn probe(&self) -> Answer {
        let mut course = Course::start(&*self.clock, Stage::Connect);
        let called = {
            let called = pin!(self.called(&mut course));
            within(Some(self.timeout), called).await
        };
        match called {
            Ok(Called { status, grpc, message, certificate_ends }) => {
                let certificate = certificate_ends.map(|ends| left(ends, &*self.clock));
                let answer = probe::Answer::Grpc { status, grpc, message: &message, certificate };
                Answer::of(&course, self.probe.judge(answer))
            }
            Err(failure) => course.broken(failure).into(),
        }
    }

    async fn called(&self, course: &mut Course<'_>) -> Result<Called, Failure> {
        let Dialled { stream, certificate_ends, .. } = dial(&*self.net, &self.to, course).await?;
        course.enter(Stage::FirstByte);
        let (sender, connection) = h2::client::handshake(stream).await.map_err(|error| class(&error))?;
        let mut driver: Driver = Some(connection);
        let ready = driven(&mut driver, pin!(sender.ready())).await;
        let mut sender = ready.map_err(|error| class(&error))?;
        let (response, mut body) =
            sender.send_request(self.request(), false).map_err(|error| class(&error))?;
        course.sent = true;
        body.send_data(self.message.clone(), true).map_err(|error| class(&error))?;
        let response = driven(&mut driver, pin!(response)).await.map_err(|error| class(&error))?;
        course.enter(Stage::Body);
        let (head, body) = response.into_parts();
        let (message, trailers) = read(&mut driver, body).await?;
        course.leave();
        // An answer without a message has its status among the headers ("Trailers-Only").
        let grpc = trailers.as_ref().and_then(status).or_else(|| status(&head.headers));
        Ok(Called { status: head.status.as_u16(), grpc, message, certificate_ends })
    }

    fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        headers.insert("content-type", http::HeaderValue::from_static("application/grpc"));
        headers.insert("te", http::HeaderValue::from_static("trailers"));
        request
    }
}

/// Reads a message, and what follows it.
async fn read(driver: &mut Driver, mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), Failure> {
    let mut message = Vec::new();
    loop {
        let data = driven(driver, pin!(body.data())).await;
        let Some(data) = data.transpose().map_err(|error| class(&error))? else { break };
        message.extend_from_slice(&data);
        if message.len() > LONGEST_MESSAGE {
            return Err(Failure::Protocol);
        }
        body.flow_control().release_capacity(data.len()).map_err(|error| class(&error))?;
    }
    let trailers = driven(driver, pin!(body.trailers())).await.map_err(|error| class(&error))?;
    Ok((message, trailers))
}

fn status(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// The class of a call that broke.
fn class(error: &h2::Error) -> Failure {
    match error.get_io().map(std::io::Error::kind) {
        Some(std::io::ErrorKind::TimedOut) => Failure::Timeout,
        Some(_) => Failure::Reset,
        None if error.is_remote() => Failure::Reset,
        None => Failure::Protocol,
    }
}
