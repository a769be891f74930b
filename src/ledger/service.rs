//! The service: a node with its storage, its clock and its HTTP face.
//!
//! ```text
//! GET /                 200 while it can serve readers, else 503
//! POST /ledger          one record: 201 {epoch, position}, or 503 {refused}
//! GET /ledger           ?run=&after=&limit=  a page of a run's records
//! DELETE /ledger        ?run=                removes them, here and then on the replica
//! GET /replicate        ?after=&epoch=&wait= for the replica: what comes after, not before the next boundary of shipping
//! POST /control         an argv, only over a connection from the same machine
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::{Value, json};

use super::wire::{Accepted, Diverged, PAGE, Page, REQUEST_LIMIT, Refusal, Removed, Shipped};
use super::{Change, Config, Node, Record, Refused, Role, Storage, StorageError, control};
use crate::model::time::{At, Duration};
use crate::world::{Clock, Net, Stream, watch};

/// The longest that a poll waits.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A node that can be asked.
pub struct Service {
    pub(super) config: Config,
    pub(super) net: Arc<dyn Net>,
    pub(super) clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Told of every change.
    changed: watch::Sender<()>,
}

/// What a service knows.
pub(super) struct State {
    pub(super) node: Node,
    storage: Box<dyn Storage>,
    changed_at: At,
    /// The last position before the interval of shipping that the latest change fell into.
    due_then: u64,
    /// Set while it waits for its replica before it steps down.
    pub(super) stepping_down: bool,
    /// As a primary: the position that its replica has.
    pub(super) replica_has: Option<u64>,
    /// As a replica: how far behind the primary it was at its last answer.
    pub(super) behind: Option<u64>,
    /// As a replica: its log is not a beginning of the primary's.
    pub(super) diverged: bool,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Nobody knows whether it is stored.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl State {
    /// Makes changes durable, then carries them out.
    pub(super) fn change(
        &mut self,
        config: &Config,
        now: At,
        changes: Vec<Change>,
    ) -> Result<(), StorageError> {
        let mut all = Vec::with_capacity(changes.len() + 1);
        all.extend(self.node.copy_due(config.snapshot_every, self.changed_at, now));
        all.extend(changes);
        self.storage.append(&all)?;
        self.due_then = self.due(config, now);
        self.changed_at = now;
        for change in all {
            let turns = matches!(
                change,
                Change::Promote { .. }
                    | Change::Demote
                    | Change::Fence
                    | Change::Follow
                    | Change::Drop { .. }
            );
            if turns {
                (self.replica_has, self.behind, self.diverged) = (None, None, false);
            }
            self.node.apply(change);
        }
        Ok(())
    }

    /// Up to which position everything was taken in an earlier interval of shipping, and so may be shipped at once.
    fn due(&self, config: &Config, now: At) -> u64 {
        let last = self.node.last();
        let interval = |at: At| at.0.checked_div_euclid(config.ship_every.nanos());
        match (interval(self.changed_at), interval(now)) {
            (Some(then), Some(now)) if then == now => self.due_then.min(last),
            (Some(_) | None, _) => last,
        }
    }

    fn is_readable(&self) -> bool {
        self.node.role() != Role::Fenced && !self.diverged
    }

    /// The node as people and recoveries see it.
    pub(super) fn status(&self, config: &Config) -> Value {
        let node = &self.node;
        let lag = match node.role() {
            Role::Primary => self.replica_has.map(|position| node.last().saturating_sub(position)),
            Role::Replica => self.behind,
            Role::Fenced => None,
        };
        json!({
            "role": node.role(),
            "epoch": node.epoch(),
            "last": node.last(),
            "lag": lag,
            "peer": config.peer,
            "fenced": node.is_fenced(),
            "synced": node.role() == Role::Replica && self.behind == Some(0),
            "diverged": self.diverged,
            "aside": node.aside().len(),
            "corrupt": node.corrupt(),
            "copies": node.copies(),
            "restores": node.restores(),
        })
    }
}

impl Service {
    /// A node as its storage holds it.
    ///
    /// # Errors
    /// Where the storage cannot be read.
    pub fn new(
        config: Config,
        mut storage: Box<dyn Storage>,
        net: Arc<dyn Net>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Service>, StorageError> {
        let mut node = Node::new(config.role);
        for change in storage.load()? {
            node.apply(change);
        }
        let state = State {
            due_then: node.last(),
            node,
            storage,
            changed_at: clock.now(),
            stepping_down: false,
            replica_has: None,
            behind: None,
            diverged: false,
        };
        let changed = watch::Sender::new(());
        Ok(Arc::new(Service { config, net, clock, state: Mutex::new(state), changed }))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the state is so.
    pub(super) async fn until(&self, so: impl Fn(&State) -> bool) {
        let mut changes = self.changed.subscribe();
        while !so(&self.state()) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether it can serve readers.
    pub fn is_readable(&self) -> bool {
        self.state().is_readable()
    }

    /// Waits until it can serve readers, or no longer can.
    pub async fn until_readable(&self, readable: bool) {
        self.until(|state| state.is_readable() == readable).await;
    }

    pub(super) fn tell(&self) {
        self.changed.send(());
    }

    /// Decides and carries out in one.
    pub(super) fn act<T>(
        &self,
        decide: impl FnOnce(&Node) -> Result<(Vec<Change>, T), Refused>,
    ) -> Result<T, NotDone> {
        let done = {
            let mut state = self.state();
            let (changes, answer) = decide(&state.node)?;
            if !changes.is_empty() {
                state.change(&self.config, self.clock.now(), changes)?;
            }
            answer
        };
        self.tell();
        Ok(done)
    }

    /// As [`Service::act`], for what only a primary does that is not about to step down.
    pub(super) fn write<T>(
        &self,
        decide: impl FnOnce(&Node) -> Result<(Vec<Change>, T), Refused>,
    ) -> Result<T, NotDone> {
        if self.state().stepping_down {
            return Err(Refused::NotPrimary.into());
        }
        self.act(decide)
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>, local: bool) -> Response<Full<Bytes>> {
        let query = Query(request.uri().query().unwrap_or_default().to_owned());
        let path = request.uri().path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::POST, "/ledger") => match body(request).await {
                Some(record) => self.take(record),
                None => refused(StatusCode::BAD_REQUEST, "the body is no record"),
            },
            (&Method::GET, "/ledger") => {
                let state = self.state();
                if !state.is_readable() {
                    return refused(StatusCode::SERVICE_UNAVAILABLE, "not readable");
                }
                let limit =
                    query.number("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE);
                let page = state.node.page(query.text("run"), query.number("after").unwrap_or(0), limit);
                said(
                    StatusCode::OK,
                    &Page { pod: self.config.pod.clone(), namespace: self.config.namespace.clone(), ..page },
                )
            }
            (&Method::DELETE, "/ledger") => {
                let run = query.text("run");
                let removed =
                    self.write(|node| Ok((vec![node.remove(run)?], Removed { removed: node.count(run) })));
                done(StatusCode::OK, removed)
            }
            (&Method::GET, "/replicate") => self.ship(&query).await,
            (&Method::POST, "/control") if local => match body::<Vec<String>>(request).await {
                Some(argv) => {
                    let ran = control(&self, &argv).await;
                    said(StatusCode::OK, &json!({ "stdout": ran.stdout, "code": ran.code }))
                }
                None => refused(StatusCode::BAD_REQUEST, "the body is no argv"),
            },
            (_, "/" | "/ledger" | "/replicate") => {
                refused(StatusCode::METHOD_NOT_ALLOWED, "no such method here")
            }
            _ => refused(StatusCode::NOT_FOUND, "no such path"),
        }
    }

    /// Whether it can serve readers, and as what.
    fn greeting(&self) -> Response<Full<Bytes>> {
        let state = self.state();
        let body = match state.node.role() {
            Role::Primary => r#"{"role":"primary"}"#,
            Role::Replica => r#"{"role":"replica"}"#,
            Role::Fenced => r#"{"role":"fenced"}"#,
        };
        let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
        if !state.is_readable() {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }

    fn take(&self, record: Record) -> Response<Full<Bytes>> {
        let taken = self.write(|node| {
            let accepted = Accepted { epoch: node.epoch(), position: node.last() + 1 };
            Ok((vec![node.write(record)?], accepted))
        });
        done(StatusCode::CREATED, taken)
    }

    /// Answers a replica's poll: at once where it diverged or is behind the last boundary of shipping, at the next boundary where there is
    /// something newer, else when its wait is over.
    async fn ship(&self, query: &Query) -> Response<Full<Bytes>> {
        let (Some(after), Some(epoch)) = (query.number("after"), query.number("epoch")) else {
            return refused(StatusCode::BAD_REQUEST, "after and epoch must be numbers");
        };
        let wait = query.text("wait").parse().unwrap_or(Duration::ZERO).min(LONGEST_WAIT);
        if self.state().node.epoch_at(after) == Some(epoch) {
            self.state().replica_has = Some(after);
            if self.state().stepping_down {
                self.tell();
            }
            let news = |state: &State| state.node.role() != Role::Primary || state.node.last() != after;
            let _ = tokio::time::timeout(wait.std(), self.until(news)).await;
            let waits = {
                let state = self.state();
                state.node.last() > after && state.due(&self.config, self.clock.now()) <= after
            };
            if waits {
                tokio::time::sleep(self.to_boundary().std()).await;
            }
        }
        let state = self.state();
        if state.node.role() != Role::Primary {
            return refused(StatusCode::SERVICE_UNAVAILABLE, &Refused::NotPrimary.to_string());
        }
        let last = state.node.last();
        if state.node.epoch_at(after) == Some(epoch) {
            let due = state.due(&self.config, self.clock.now()).saturating_sub(after);
            let due = usize::try_from(due).unwrap_or(usize::MAX);
            let entries = state.node.entries(after).take(due).cloned().collect();
            said(StatusCode::OK, &Shipped { entries, last })
        } else {
            said(StatusCode::CONFLICT, &Diverged { diverged: state.node.epochs(), last })
        }
    }

    /// How long until the next instant of shipping.
    fn to_boundary(&self) -> Duration {
        let every = self.config.ship_every.nanos();
        let past = self.clock.now().0.checked_rem_euclid(every).unwrap_or(0);
        Duration::from_nanos(u64::try_from(every - past).unwrap_or(0))
    }
}

/// A query string; its values are plain words and numbers.
struct Query(String);

impl Query {
    fn text(&self, name: &str) -> &str {
        let pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next().unwrap_or_default()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }
}

async fn body<T: serde::de::DeserializeOwned>(request: Request<Incoming>) -> Option<T> {
    let body = Limited::new(request.into_body(), REQUEST_LIMIT).collect().await.ok()?;
    serde_json::from_slice(&body.to_bytes()).ok()
}

fn said(status: StatusCode, what: &impl Serialize) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(serde_json::to_vec(what).unwrap_or_default())));
    *response.status_mut() = status;
    response
}

fn refused(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    said(status, &Refusal { refused: why.to_owned() })
}

fn done(status: StatusCode, done: Result<impl Serialize, NotDone>) -> Response<Full<Bytes>> {
    match done {
        Ok(answer) => said(status, &answer),
        Err(NotDone::Refused(Refused::BadRecord)) => {
            refused(StatusCode::BAD_REQUEST, &Refused::BadRecord.to_string())
        }
        Err(NotDone::Refused(why)) => refused(StatusCode::SERVICE_UNAVAILABLE, &why.to_string()),
        Err(NotDone::Storage(error)) => {
            said(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": error.to_string() }))
        }
    }
}

/// Serves one connection until either side ends it.
pub fn serve_connection(service: Arc<Service>, stream: Stream) -> impl Future<Output = ()> + Send {
    serve(service, stream, false)
}

/// Serves one connection from the same machine, which may also control the node.
pub fn serve_local(service: Arc<Service>, stream: Stream) -> impl Future<Output = ()> + Send {
    serve(service, stream, true)
}

/// No `async`: each connection is a task, and a future that is moved into another one takes its space twice.
fn serve(service: Arc<Service>, stream: Stream, local: bool) -> impl Future<Output = ()> + Send {
    let answer = service_fn(move |request: Request<Incoming>| {
        // What every probe asks costs no more than it must: no future of the size that the other answers need.
        let is_greeting =
            request.uri().path() == "/" && matches!(*request.method(), Method::GET | Method::HEAD);
        let answered = if is_greeting {
            std::future::ready(service.greeting()).left_future()
        } else {
            Box::pin(service.clone().answer(request, local)).right_future()
        };
        answered.map(Ok::<_, std::convert::Infallible>)
    });
    // A connection that breaks is its client's to notice.
    http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), answer).map(drop)
}
