//! A connection, and the course of an exchange over it.
//!
//! hyper's connection is a future that must be polled while its request is under way: here it is polled by the same task, so
//! that an exchange costs no spawn and dies with whoever waited for it.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::course::{Course, Stage, within};
use super::dial::{Dialled, dial};
use super::{Ask, BODY_LIMIT, Broken, Exchange};
use crate::model::sample::{Failure, Stages};
use crate::model::time::Duration;
use crate::world::{Clock, Net, Stream};

/// In a box, since it is large and goes from hand to hand.
type Driver = Box<http1::Connection<TokioIo<Stream>, Full<Bytes>>>;

/// A connection that takes one request after the other.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once the connection has ended.
    driver: Option<Driver>,
    address: IpAddr,
    certificate_ends: Option<i64>,
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
        let Dialled { stream, address, certificate_ends } = dial(net, &ask.to, course).await?;
        let (sender, driver) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| failure_of(&error))?;
        course.enter(Stage::FirstByte);
        Ok(Connection {
            sender,
            driver: Some(Box::new(driver)),
            address,
            certificate_ends,
            opening: course.stages,
            used: false,
        })
    }

    pub(super) async fn asked(&mut self, ask: &Ask, course: &mut Course<'_>) -> Result<Exchange, Failure> {
        let Connection { sender, driver, address, certificate_ends, opening: _, used } = self;
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
            certificate_ends: *certificate_ends,
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
pub fn driven<'a, D: Future + Unpin, W: Future>(
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
