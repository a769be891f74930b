//! Events: what Kubernetes' components note about what they did, as `kubectl events` and `kubectl describe` show it.
//!
//! ```text
//! store's log of changes ─► pods, others: what its author notes about a change ─► Event objects, once somebody asks for events
//! ```
//! Nobody writes an event when something happens: an event is a function of a change and of who made it, and the log of changes is there
//! anyway. So a rehearsal in which nobody reads events pays nothing for them. Whoever asks first gets those of the changes that are
//! remembered; from then on each change's events follow it at once, so that they can be watched. An event that comes again counts up,
//! and is forgotten an hour after its last time, as an API server does. Left out: what no object shows, such as each failed try of a probe.

mod others;
mod pods;

use serde_json::{Value, json};

use super::control::{every, read};
use super::store::{Change, Deletion, Key, Part, Refused, Store};
use crate::model::effect::Resource;
use crate::model::time::{At, Duration};

/// How long an event is kept after its last time: `--event-ttl` of an API server.
const KEPT: Duration = Duration::from_secs(3600);

/// How often it is looked for those that are older.
const SWEPT: Duration = Duration::from_secs(60);

/// What tells the events of one region.
#[derive(Debug, Default)]
pub struct Teller {
    /// The version up to which changes were told; none until somebody asks.
    told: Option<u64>,
    /// The number of the last refusal that was told.
    refused: u64,
    swept: Option<At>,
}

/// Whom an event is about.
struct About<'a> {
    api_version: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    version: &'a str,
    /// A part of it: `spec.containers{web}`.
    field: String,
}

/// What somebody notes.
struct Note<'a> {
    about: About<'a>,
    warning: bool,
    reason: &'a str,
    message: String,
    /// Who notes it: `kubelet`, `deployment-controller`.
    component: &'a str,
    /// The node where it stands, if it stands on one.
    host: &'a str,
}

impl<'a> About<'a> {
    fn object(object: &'a Value) -> Self {
        Self {
            api_version: read::text(object, "/apiVersion"),
            kind: read::text(object, "/kind"),
            namespace: read::namespace(object),
            name: read::name(object),
            uid: read::uid(object),
            version: read::text(object, "/metadata/resourceVersion"),
            field: String::new(),
        }
    }

    /// The controller that owns an object.
    fn owner(object: &'a Value) -> Option<Self> {
        let reference = read::controller(object)?;
        Some(Self {
            api_version: read::text(reference, "/apiVersion"),
            kind: read::text(reference, "/kind"),
            name: read::name_field(reference),
            uid: read::text(reference, "/uid"),
            version: "",
            ..Self::object(object)
        })
    }
}

impl Teller {
    /// Tells what is to be told, from now on after each change.
    pub fn begin(&mut self, store: &mut Store) {
        let oldest = store.oldest();
        self.told.get_or_insert(oldest);
        self.tell(store);
        self.sweep(store);
    }

    /// Tells what the changes since the last time say, where anybody ever asked.
    pub fn tell(&mut self, store: &mut Store) {
        let Some(told) = self.told else { return };
        self.tell_refusals(store);
        if told == store.version() {
            return;
        }
        let from = told.max(store.oldest());
        let changes: Vec<Change> = store.changes_after(from).into_iter().flatten().cloned().collect();
        let now = store.clock().now();
        for change in changes.iter().filter(|change| now.since(change.at) < KEPT) {
            for note in notes(change) {
                record(store, &note, change.at);
            }
        }
        if self.swept.is_none_or(|swept| now.since(swept) >= SWEPT) {
            self.sweep(store);
        }
        self.told = Some(store.version());
    }

    /// Tells which pods controllers were not allowed to make since the last time.
    fn tell_refusals(&mut self, store: &mut Store) {
        let newer = store.refusals().rev().take_while(|refused| refused.number > self.refused);
        let mut refusals: Vec<Refused> = newer.cloned().collect();
        refusals.reverse();
        let now = store.clock().now();
        for refused in refusals {
            self.refused = refused.number;
            if let Some(note) = others::refused(&refused).filter(|_| now.since(refused.at) < KEPT) {
                record(store, &note, refused.at);
            }
        }
    }

    /// Forgets the events whose last time is long ago.
    fn sweep(&mut self, store: &mut Store) {
        let now = store.clock().now();
        self.swept = Some(now);
        let last = |event: &Value| {
            let times =
                ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
            times.iter().find_map(|path| store.clock().read(read::text(event, path)))
        };
        let old = |event: &&Value| last(event).is_some_and(|last| now.since(last) >= KEPT);
        let gone: Vec<Key> =
            every(store, &events(), None).filter(old).map(|event| Key::of(&events(), event)).collect();
        for key in gone {
            // Nobody else writes under the lock, so that each is there.
            let _ = store.delete(&key, &Deletion::default());
        }
    }
}

fn events() -> Resource {
    Resource::new("", "v1", "events", "Event")
}

/// What the author of a change notes about it.
fn notes(change: &Change) -> Vec<Note<'_>> {
    if change.key.is(&Resource::pods()) { pods::notes(change) } else { others::notes(change) }
}

/// The event that says the same.
fn known<'a>(store: &'a Store, note: &Note<'_>, namespace: &str) -> Option<&'a Value> {
    let Note { about, reason, message, component, .. } = note;
    let first = Key::new(&events(), Some(namespace), &format!("{}.", about.name));
    let of_object =
        store.list_after(first.clone(), true).take_while(|(key, _)| key.name().starts_with(first.name()));
    of_object.map(|(_, event)| event.as_ref()).find(|event| {
        read::text(event, "/involvedObject/uid") == about.uid
            && read::text(event, "/involvedObject/fieldPath") == about.field
            && read::text(event, "/reason") == *reason
            && read::text(event, "/message") == message
            && read::text(event, "/reportingComponent") == *component
    })
}

/// Writes an event, or counts up the one that is there.
fn record(store: &mut Store, note: &Note<'_>, at: At) {
    let Note { about, warning, reason, message, component, host } = note;
    let namespace = if about.namespace.is_empty() { "default" } else { about.namespace };
    let space = store.get(&Key::new(&Resource::namespaces(), None, namespace));
    if space.is_none_or(|space| read::terminating(space)) {
        return; // nothing new is made in a namespace that ends
    }
    let (second, precise) = (store.clock().time(at), store.clock().micro_time(at));
    let series = *component == "default-scheduler"; // it notes through the newer API
    if let Some(event) = known(store, note, namespace) {
        let key = Key::of(&events(), event);
        let mut event = event.clone();
        if series {
            let count = read::number(&event, "/series/count").unwrap_or(1) + 1;
            event["series"] = json!({"count": count, "lastObservedTime": precise});
        } else {
            event["count"] = json!(read::number(&event, "/count").unwrap_or(1) + 1);
            event["lastTimestamp"] = json!(second);
        }
        let _ = store.update(&key, event, Part::Whole);
        return;
    }
    // By time, and what happens at once in its order.
    let number =
        store.clock().wall_unix_ns_at(at).saturating_add(i64::try_from(store.version()).unwrap_or(0));
    let name = format!("{}.{number:016x}", about.name);
    let mut involved = json!({"kind": about.kind, "namespace": about.namespace, "name": about.name,
        "uid": about.uid, "apiVersion": about.api_version, "resourceVersion": about.version, "fieldPath": about.field});
    if let Some(fields) = involved.as_object_mut() {
        fields.retain(|_, value| value != "");
    }
    let mut event = json!({
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": involved, "reason": reason, "message": message,
        "type": if *warning { "Warning" } else { "Normal" }, "reportingComponent": component,
    });
    let more = if series {
        json!({"action": if *warning { "Scheduling" } else { "Binding" }, "eventTime": precise, "source": {},
            "firstTimestamp": null, "lastTimestamp": null, "reportingInstance": "default-scheduler-0"})
    } else {
        let mut source = json!({"component": component});
        if !host.is_empty() {
            source["host"] = json!(host);
        }
        json!({"eventTime": null, "firstTimestamp": second, "lastTimestamp": second, "count": 1, "source": source,
            "reportingInstance": host})
    };
    if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
        event.extend(more);
    }
    // The name is one, and nobody has it.
    let _ = store.create(&events(), event);
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::sandbox::clock::Clock;
    use crate::sandbox::state::{Pool, RegionState, Settings};
    use crate::sandbox::store::Write;

    #[tokio::test(start_paused = true)]
    async fn an_event_that_comes_again_counts_up_and_goes_an_hour_after_its_last_time() {
        let state = RegionState::new(Settings {
            name: "east".into(),
            seed: 7,
            clock: Clock::new(Instant::now(), 1_767_225_600_000_000_000),
            services: Pool { network: "10.1.64.0".parse().unwrap(), prefix: 24 },
            remembered_changes: 100,
        });
        let pod = json!({"metadata": {"name": "a", "namespace": "default"}, "spec": {"nodeName": "n"}});
        state.write(|store| store.create(&Resource::pods(), pod)).unwrap();
        let waits = |reason: &str| {
            let waiting = json!([{"name": "web", "state": {"waiting": {"reason": reason}}}]);
            let key = Key::new(&Resource::pods(), Some("default"), "a");
            let write = Write::Status { key, status: json!({"containerStatuses": waiting}) };
            assert!(state.write(|store| store.apply_by("kubelet", vec![write])).is_empty());
        };
        let told = || state.read(|store| every(store, &events(), None).cloned().collect::<Vec<_>>());
        waits("CrashLoopBackOff");
        assert!(told().is_empty(), "nobody has asked");
        state.tell_events();
        let [first] = &told()[..] else { panic!("{:?}", told()) };
        assert_eq!((&first["reason"], &first["count"]), (&json!("BackOff"), &json!(1)));
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        waits("ContainerCreating");
        waits("CrashLoopBackOff");
        let [again] = &told()[..] else { panic!("{:?}", told()) };
        assert_eq!((&again["count"], &again["metadata"]["name"]), (&json!(2), &first["metadata"]["name"]));
        assert_ne!(again["firstTimestamp"], again["lastTimestamp"]);
        tokio::time::advance(std::time::Duration::from_secs(3599)).await;
        state.tell_events();
        assert_eq!(told().len(), 1);
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        state.tell_events();
        assert!(told().is_empty());
    }
}
