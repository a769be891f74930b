//! Watching: the log of changes as a stream of events, with bookmarks, initial events and 410 Gone.
//!
//! A watch is a place in the log; it sleeps until there is a change. It ends at its timeout, or when its server starts to fail; in a
//! black hole it falls silent and tells everything afterwards, as TCP would.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::request::Parts;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::answer::{Answer, Refusal, response};
use super::options;
use super::path::Call;
use super::present::{self, Form};
use super::read::as_seen;
use super::select::Selector;
use super::table;
use crate::sandbox::state::{Availability, RegionState};
use crate::sandbox::store::{Change, ChangeKind, Store};
use crate::world::watch::Receiver;

/// How often a bookmark tells that nothing was missed, as in Kubernetes.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lasts that asks for no timeout: the middle of Kubernetes' 30 to 60 minutes.
const LASTS: Duration = Duration::from_secs(45 * 60);
/// The longest that a watch may last.
const LONGEST: u64 = 24 * 3600;

struct Watch {
    state: Arc<RegionState>,
    call: Box<Call>,
    selector: Selector,
    form: Form,
    /// The version up to which everything has been told.
    told: u64,
    changed: Receiver<u64>,
    availability: Receiver<Availability>,
    waiting: VecDeque<Bytes>,
    ends: Instant,
    ended: bool,
    /// When the next bookmark is due, where they are wanted.
    bookmark: Option<Instant>,
}

/// Opens a watch.
pub(super) fn watch(state: &Arc<RegionState>, call: Box<Call>, parts: &Parts) -> Answer {
    options::check(&call.query, true)?;
    let lasts = call.query.number("timeoutSeconds")?.filter(|seconds| *seconds > 0);
    let lasts = lasts.map_or(LASTS, |seconds| Duration::from_secs(seconds.min(LONGEST)));
    let from = call.query.number("resourceVersion")?.filter(|version| *version > 0);
    let now = Instant::now();
    let mut watch = Watch {
        selector: Selector::of(&call)?,
        form: Form::of(&parts.headers),
        told: from.unwrap_or_default(),
        changed: state.changed(),
        availability: state.availability_changes(),
        waiting: VecDeque::new(),
        ends: now + lasts,
        ended: false,
        bookmark: call.query.flag("allowWatchBookmarks").then(|| now + BOOKMARK_EVERY),
        state: state.clone(),
        call,
    };
    match watch.call.query.get("sendInitialEvents").map(|_| watch.call.query.flag("sendInitialEvents")) {
        Some(true) => watch.begin(),
        None if from.is_none() => watch.begin(),
        _ if from.is_none() => watch.told = state.read(Store::version),
        _ => {}
    }
    let events = stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok::<_, Infallible>(event), watch))
    });
    Ok(response(200, "application/json", Body::from_stream(events)))
}

impl Watch {
    /// Tells what is there already, and marks the end of it where the caller knows bookmarks.
    fn begin(&mut self) {
        let state = self.state.clone();
        self.told = state.read(|store| {
            let resource = &self.call.served.resource;
            let objects = store.list(&resource.group, &resource.plural, self.call.namespace.as_deref());
            let wanted = objects.filter(|(_, object)| self.selector.matches(object));
            let events: Vec<Bytes> = wanted.map(|(_, object)| self.shown("ADDED", object)).collect();
            self.waiting.extend(events);
            store.version()
        });
        if self.bookmark.is_some() {
            let bookmark = self.bookmark_event(json!({"k8s.io/initial-events-end": "true"}));
            self.waiting.push_back(bookmark);
        }
    }

    /// The next event; none when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let availability = self.availability.get_and_update();
            match availability {
                Availability::Up => {}
                Availability::Failing(_) => return None,
                Availability::BlackHole => {
                    self.availability.changed().await.ok()?;
                    continue;
                }
            }
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            self.changed.get_and_update();
            self.read_log();
            if self.waiting.is_empty() {
                self.wait().await;
            }
        }
    }

    /// Takes what the log has to tell.
    fn read_log(&mut self) {
        let state = self.state.clone();
        state.read(|store| match store.changes_after(self.told) {
            Ok(changes) => {
                let events = changes.filter_map(|change| self.told_as(change));
                let events: Vec<Bytes> = events.collect();
                self.waiting.extend(events);
                self.told = self.told.max(store.version());
            }
            Err(gone) => {
                let status = Refusal::store(gone, &self.call.served.resource).status();
                self.waiting.push_back(event("ERROR", &status));
                self.ended = true;
            }
        });
    }

    /// An object that begins to match is added to this watch, one that ceases to is deleted from it.
    fn told_as(&self, change: &Change) -> Option<Bytes> {
        let here = self.call.namespace.is_none() || change.key.namespace() == self.call.namespace.as_deref();
        if !here || !change.key.is(&self.call.served.resource) {
            return None;
        }
        let was = change.before.as_ref().is_some_and(|before| self.selector.matches(before));
        let is = change.kind != ChangeKind::Deleted && self.selector.matches(&change.object);
        match (was, is) {
            (false, true) => Some(self.shown("ADDED", &change.object)),
            (true, true) => Some(self.shown("MODIFIED", &change.object)),
            (true, false) => Some(self.shown("DELETED", &change.object)),
            (false, false) => None,
        }
    }

    /// An event in the form that the watcher reads.
    fn shown(&self, kind: &str, object: &Arc<Value>) -> Bytes {
        let object = &as_seen(&self.state, &self.call, object.clone());
        match self.form {
            Form::Whole => event(kind, &present::seen(&self.call, object)),
            Form::Metadata => event(kind, &present::metadata(object)),
            Form::Table => {
                let version = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                event(kind, &table::table(&self.state, &self.call, std::slice::from_ref(object), &version))
            }
        }
    }

    /// Sleeps until there is something to tell.
    async fn wait(&mut self) {
        let due = self.bookmark.unwrap_or(self.ends).min(self.ends);
        tokio::select! {
            biased;
            _ = self.changed.changed() => {}
            _ = self.availability.changed() => {}
            () = sleep_until(due) => {
                self.ended = due >= self.ends;
                if self.bookmark.is_some() {
                    let bookmark = self.bookmark_event(json!({}));
                    self.waiting.push_back(bookmark);
                    self.bookmark = Some(due + BOOKMARK_EVERY);
                }
            }
        }
    }

    fn bookmark_event(&self, annotations: Value) -> Bytes {
        let mut metadata = json!({"resourceVersion": self.told.to_string(), "creationTimestamp": null});
        if annotations.as_object().is_some_and(|annotations| !annotations.is_empty()) {
            metadata["annotations"] = annotations;
        }
        let resource = &self.call.served.resource;
        let (kind, api_version) = (&resource.kind, resource.api_version());
        event("BOOKMARK", &json!({"kind": kind, "apiVersion": api_version, "metadata": metadata}))
    }
}

/// An event's line.
fn event(kind: &str, object: &impl Serialize) -> Bytes {
    #[derive(Serialize)]
    struct Event<'a, T> {
        r#type: &'a str,
        object: &'a T,
    }
    let mut line = serde_json::to_vec(&Event { r#type: kind, object }).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
