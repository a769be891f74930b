//! A connection, and the course of an exchange over it.
//!
//! hyper's connection is a future that must be polled while its request is under way: here it is polled by the same task, so
//! that an exchange costs no spawn and dies with whoever waited for it.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::{Ask, BODY_LIMIT, Broken, Exchange};
use crate::model::sample::{Failure, Stages};
use crate::model::time::{At, Duration};
use crate::world::{Clock, Net, Stream};

/// In a box, since it is large and goes from hand to hand.
type Driver = Box<http1::Connection<TokioIo<Stream>, Full<Bytes>>>;

/// A connection that takes one request after the other.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once the connection has ended.
    driver: Option<Driver>,
    address: IpAddr,
    opening: Stages,
    /// A fresh connection takes its first request unasked; later it must be ready first.
    used: bool,
}

impl Connection {
    /// Opens a connection to a request's host.
    ///
    /// # Errors
    /// Where there is none in time.
    pub async fn open(
        net: &dyn Net,
        clock: &dyn Clock,
        ask: &Ask,
        timeout: Option<Duration>,
    ) -> Result<Connection, Broken> {
        let mut course = Course::start(clock, Stage::Connect);
        let done = {
            let opened = pin!(Connection::opened(net, ask, &mut course));
            within(timeout, opened).await
        };
        done.map_err(|failure| course.broken(failure))
    }

    /// Sends one request over this connection.
    ///
    /// # Errors
    /// Where there is no whole answer in time; the connection is then of no more use.
    pub async fn exchange(
        &mut self,
        clock: &dyn Clock,
        ask: &Ask,
        timeout: Option<Duration>,
    ) -> Result<Exchange, Broken> {
        let mut course = Course::start(clock, Stage::FirstByte);
        course.address = Some(self.address);
        let done = {
            let asked = pin!(self.asked(ask, &mut course));
            within(timeout, asked).await
        };
        done.map_err(|failure| course.broken(failure))
    }

    /// How long the stages of its opening took.
    pub fn opening(&self) -> Stages {
        self.opening
    }

    /// Whether it can take another request, as far as is known without trying.
    pub fn is_open(&self) -> bool {
        self.driver.is_some() && !self.sender.is_closed()
    }

    pub(super) async fn opened(
        net: &dyn Net,
        ask: &Ask,
        course: &mut Course<'_>,
    ) -> Result<Connection, Failure> {
        let addresses = match ask.literal {
            Some(address) => vec![address],
            None => {
                course.at = Stage::Resolve;
                net.resolve(&ask.host).await.map_err(|error| match error.kind() {
                    io::ErrorKind::TimedOut => Failure::Timeout,
                    _ => Failure::Resolve,
                })?
            }
        };
        course.enter(Stage::Connect);
        let mut failure = Failure::Resolve;
        for address in addresses {
            course.address = Some(address);
            match net.connect(SocketAddr::new(address, ask.port)).await {
                Ok(mut stream) => {
                    if ask.secure {
                        course.enter(Stage::Tls);
                        stream = net.secure(stream, &ask.host).await.map_err(|error| insecure(&error))?;
                    }
                    let (sender, driver) =
                        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failure_of(&error))?;
                    course.enter(Stage::FirstByte);
                    return Ok(Connection {
                        sender,
                        driver: Some(Box::new(driver)),
                        address,
                        opening: course.stages,
                        used: false,
                    });
                }
                Err(error) => failure = refused(&error),
            }
        }
        Err(failure)
    }

    pub(super) async fn asked(&mut self, ask: &Ask, course: &mut Course<'_>) -> Result<Exchange, Failure> {
        let Connection { sender, driver, address, opening: _, used } = self;
        if std::mem::replace(used, true) {
            driven(driver, pin!(sender.ready())).await.map_err(|error| failure_of(&error))?;
        }
        let mut request = hyper::Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = ask.target.clone();
        *request.headers_mut() = ask.headers.clone();
        course.sent = true;
        let response =
            driven(driver, pin!(sender.try_send_request(request))).await.map_err(|mut refused| {
                course.sent = refused.take_message().is_none();
                failure_of(refused.error())
            })?;
        course.enter(Stage::Body);
        let (head, body) = response.into_parts();
        let (body, whole) = read(driver, body).await?;
        if !whole {
            *driver = None;
        }
        course.leave();
        Ok(Exchange {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            address: *address,
            stages: course.stages,
            ended: course.since,
        })
    }
}

/// Reads a body up to the limit, and says whether that was all of it.
async fn read(driver: &mut Option<Driver>, mut body: Incoming) -> Result<(Bytes, bool), Failure> {
    let mut held = Bytes::new();
    while let Some(frame) = driven(driver, pin!(body.frame())).await {
        let Ok(data) = frame.map_err(|error| failure_of(&error))?.into_data() else { continue };
        if held.is_empty() {
            held = data;
        } else {
            let mut longer = BytesMut::from(held);
            longer.extend_from_slice(&data);
            held = longer.freeze();
        }
        if held.len() > BODY_LIMIT {
            return Ok((held.slice(..BODY_LIMIT), false));
        }
    }
    Ok((held, true))
}

/// Awaits something that needs the connection to be driven. It comes pinned, here as in [`within`], since a future that is moved into
/// another one takes its space twice, and every probe in flight is such a future.
fn driven<'a, D: Future + Unpin, W: Future>(
    driver: &'a mut Option<D>,
    mut wanted: Pin<&'a mut W>,
) -> impl Future<Output = W::Output> + 'a {
    poll_fn(move |context| {
        if let Poll::Ready(got) = wanted.as_mut().poll(context) {
            return Poll::Ready(got);
        }
        let Some(connection) = driver else { return Poll::Pending };
        if Pin::new(connection).poll(context).is_ready() {
            *driver = None;
        }
        wanted.as_mut().poll(context)
    })
}

/// Awaits at most so long.
pub(super) fn within<T>(
    timeout: Option<Duration>,
    done: Pin<&mut impl Future<Output = Result<T, Failure>>>,
) -> impl Future<Output = Result<T, Failure>> {
    match timeout {
        Some(timeout) => tokio::time::timeout(timeout.std(), done)
            .map(|done| done.unwrap_or(Err(Failure::Timeout)))
            .left_future(),
        None => done.right_future(),
    }
}

#[derive(Clone, Copy)]
pub(super) enum Stage {
    Resolve,
    Connect,
    Tls,
    FirstByte,
    Body,
}

/// How far an exchange has come.
pub(super) struct Course<'a> {
    clock: &'a dyn Clock,
    at: Stage,
    since: At,
    stages: Stages,
    address: Option<IpAddr>,
    sent: bool,
}

impl<'a> Course<'a> {
    pub(super) fn start(clock: &'a dyn Clock, at: Stage) -> Self {
        Course { clock, at, since: clock.now(), stages: Stages::default(), address: None, sent: false }
    }

    fn enter(&mut self, stage: Stage) {
        self.leave();
        self.at = stage;
    }

    fn leave(&mut self) {
        let now = self.clock.now();
        let took = u64::try_from(now.since(self.since).nanos()).unwrap_or(0);
        self.since = now;
        match self.at {
            Stage::Resolve => self.stages.resolve += took,
            Stage::Connect => self.stages.connect += took,
            Stage::Tls => self.stages.tls += took,
            Stage::FirstByte => self.stages.first_byte += took,
            Stage::Body => self.stages.body += took,
        }
    }

    pub(super) fn broken(mut self, failure: Failure) -> Broken {
        self.leave();
        Broken { failure, stages: self.stages, address: self.address, sent: self.sent, ended: self.since }
    }
}

/// The class of a connection that could not be made.
fn refused(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        io::ErrorKind::TimedOut => Failure::Timeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Failure::Reset,
        _ => Failure::Unreachable,
    }
}

/// The class of a handshake that failed: the connection's end, or TLS's own.
fn insecure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::TimedOut => Failure::Timeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            Failure::Reset
        }
        _ => Failure::Tls,
    }
}

/// The class of an exchange that broke.
fn failure_of(error: &hyper::Error) -> Failure {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::TimedOut => Failure::Timeout,
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Failure::Protocol,
                _ => Failure::Reset,
            };
        }
        source = cause.source();
    }
    if error.is_canceled() || error.is_closed() { Failure::Reset } else { Failure::Protocol }
}
