//! What a write would make of an object, before it is committed: the rules of metadata, generations and deletion.
//!
//! A dry run reads the draft and drops it. The rules are those of Kubernetes' registry: a generation counts changes of the
//! spec, a `resourceVersion` in a write must be the stored one, finalizers hold an object that is being deleted, a pod that runs
//! somewhere stays until its kubelet removes it.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::admission::unnamed;
use super::{Change, ChangeKind, Key, Store, StoreError, defaults};
use crate::model::effect::Resource;
use crate::model::time::Duration;

/// Which part of an object a write may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What users write where a kind has a status of its own.
    AllButStatus,
    /// What controllers write.
    Status,
    /// Everything, where a custom resource has no status subresource.
    Whole,
}

/// What becomes of the objects that the deleted one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    #[default]
    Background,
    Foreground,
    Orphan,
}

/// How to delete.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deletion {
    /// For pods; their own `terminationGracePeriodSeconds` if missing.
    pub grace_seconds: Option<u64>,
    /// Delete only the object with this uid.
    pub uid: Option<String>,
    /// Delete only this version of the object.
    pub resource_version: Option<String>,
    pub propagation: Propagation,
}

/// A write that is not yet done.
#[derive(Debug, Clone)]
pub struct Draft {
    key: Key,
    next: Next,
}

#[derive(Debug, Clone)]
enum Next {
    Same(Arc<Value>),
    Store(Value),
    Remove(Value),
}

impl Draft {
    /// The object as it would be; one that is removed, as it was last.
    pub fn object(&self) -> &Value {
        match &self.next {
            Next::Same(object) => object,
            Next::Store(object) | Next::Remove(object) => object,
        }
    }

    /// Whether the object would be gone.
    pub fn removes(&self) -> bool {
        matches!(self.next, Next::Remove(_))
    }

    /// Says in `managedFields` who owns what (`null`: nobody owns anything); a draft that changes nothing else becomes one that changes this.
    pub fn set_managed_fields(&mut self, fields: Value) {
        if self.removes() || self.object()["metadata"]["managedFields"] == fields {
            return;
        }
        let mut object = self.object().clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
            if !fields.is_null() {
                metadata.insert("managedFields".into(), fields);
            }
        }
        self.next = Next::Store(object);
    }
}

impl Store {
    /// What creating an object would make.
    ///
    /// # Errors
    /// Where its name is taken, missing or not a name, its namespace is not there, or a pod names what is not there.
    pub fn draft_create(&mut self, resource: &Resource, mut object: Value) -> Result<Draft, StoreError> {
        // Admission comes before the name.
        let asked = unnamed(resource, &object);
        self.name_it(resource, &mut object)?;
        let key = Key::of(resource, &object);
        check_name(&key)?;
        if let Some(namespace) = key.namespace() {
            let namespace = Key::new(&Resource::namespaces(), None, namespace);
            if !self.objects.contains_key(&namespace) {
                return Err(StoreError::NotFound(namespace));
            }
        }
        if self.objects.contains_key(&key) {
            return Err(StoreError::AlreadyExists(key));
        }
        if key.is(&Resource::pods()) {
            self.admit_pod(&mut object).map_err(|why| StoreError::Forbidden { key: asked, why })?;
        }
        defaults::at_creation(&key, &mut object);
        defaults::fill(&key, &mut object);
        self.give_address(&key, &mut object)?;
        self.give_node_ports(&key, &mut object, &Value::Null)?;
        let (uid, time) = (self.uid(), self.clock.time(self.clock.now()));
        if key.group() == "batch" && key.plural() == "jobs" {
            defaults::own_selector(&mut object, &uid);
        }
        if defaults::is_definition(&key) {
            defaults::establish(&mut object, &time);
        }
        let counted = object.get("spec").is_some() && !is_uncounted(&key);
        put(&mut object, "apiVersion", resource.api_version().into());
        put(&mut object, "kind", resource.kind.as_str().into());
        let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
            return Err(StoreError::Invalid(key, "metadata is not an object".into()));
        };
        for field in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            metadata.remove(field);
        }
        metadata.insert("uid".into(), uid.into());
        metadata.insert("creationTimestamp".into(), time.into());
        if counted {
            metadata.insert("generation".into(), 1.into());
        }
        Ok(Draft { key, next: Next::Store(object) })
    }

    /// What changing a part of an object would make.
    ///
    /// # Errors
    /// Where it is not there, or the given `resourceVersion` or `uid` is not the stored one.
    pub fn draft_update(&self, key: &Key, mut object: Value, part: Part) -> Result<Draft, StoreError> {
        let current = self.objects.get(key).ok_or_else(|| StoreError::NotFound(key.clone()))?;
        let given = &object["metadata"];
        expect(key, current, "uid", given["uid"].as_str(), |given, stored| {
            format!("Precondition failed: UID in precondition: {given}, UID in object meta: {stored}")
        })?;
        expect(key, current, "resourceVersion", given["resourceVersion"].as_str(), |_, _| {
            "the object has been modified; please apply your changes to the latest version and try again"
                .into()
        })?;
        let mut next = match part {
            Part::Status => with_status(current, object.get_mut("status").map(Value::take)),
            Part::AllButStatus => {
                copy(&mut object, current, "status");
                object
            }
            Part::Whole => object,
        };
        for field in ["apiVersion", "kind"] {
            copy(&mut next, current, field);
        }
        keep_system_metadata(key, &mut next, current)?;
        if part != Part::Status {
            defaults::keep_address(key, &mut next, current);
            defaults::fill(key, &mut next);
            if defaults::is_definition(key) {
                defaults::follow_spec(&mut next);
            }
            self.give_node_ports(key, &mut next, current)?;
        }
        if next == **current {
            return Ok(Draft { key: key.clone(), next: Next::Same(current.clone()) });
        }
        // A pod that is bound is what was asked for.
        let binds = key.is(&Resource::pods()) && current["spec"]["nodeName"].is_null();
        let is_bound = binds && !next["spec"]["nodeName"].is_null();
        if !is_bound && changes_what_counts(&next, current, part) {
            count_generation(&mut next);
        }
        let released = next["metadata"].get("deletionTimestamp").is_some()
            && next["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or(0) == 0
            && !held(&next);
        let next = if released { Next::Remove(next) } else { Next::Store(next) };
        Ok(Draft { key: key.clone(), next })
    }

    /// What deleting an object would make.
    ///
    /// # Errors
    /// Where it is not there, or a precondition does not hold.
    pub fn draft_delete(&self, key: &Key, deletion: &Deletion) -> Result<Draft, StoreError> {
        let current = self.objects.get(key).ok_or_else(|| StoreError::NotFound(key.clone()))?;
        expect(key, current, "uid", deletion.uid.as_deref(), |given, stored| {
            format!(
                "the UID in the precondition ({given}) does not match the UID in record ({stored}). The object might have \
                 been deleted and then recreated"
            )
        })?;
        expect(key, current, "resourceVersion", deletion.resource_version.as_deref(), |given, stored| {
            format!(
                "the ResourceVersion in the precondition ({given}) does not match the ResourceVersion in record \
                 ({stored}). The object might have been modified"
            )
        })?;
        let mut next = (**current).clone();
        match deletion.propagation {
            Propagation::Background => {}
            Propagation::Foreground => add_finalizer(&mut next, "foregroundDeletion"),
            Propagation::Orphan => add_finalizer(&mut next, "orphan"),
        }
        let grace = grace_seconds(key, current, deletion);
        if grace == 0 && !held(&next) {
            return Ok(Draft { key: key.clone(), next: Next::Remove(next) });
        }
        let before = current["metadata"].get("deletionTimestamp").is_some();
        let left = current["metadata"]["deletionGracePeriodSeconds"].as_u64();
        // Time to end is only ever shortened.
        if !before || left.is_none_or(|left| grace < left) {
            let due = self.clock.now().plus(Duration::from_secs(grace));
            if let Some(metadata) = next.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("deletionTimestamp".into(), self.clock.time(due).into());
                metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
            }
        }
        if next == **current {
            return Ok(Draft { key: key.clone(), next: Next::Same(current.clone()) });
        }
        if !before {
            count_generation(&mut next);
        }
        if key.group().is_empty() && key.plural() == "namespaces" {
            put(&mut next, "status", json!({"phase": "Terminating"}));
        }
        Ok(Draft { key: key.clone(), next: Next::Store(next) })
    }

    /// Does what a draft says: one version, one entry in the log. Drafts are committed under the lock that they were made under.
    pub fn commit(&mut self, draft: Draft) -> Arc<Value> {
        let Draft { key, next } = draft;
        let (mut object, removed) = match next {
            Next::Same(object) => return object,
            Next::Store(object) => (object, false),
            Next::Remove(object) => (object, true),
        };
        self.version += 1;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".into(), self.version.to_string().into());
        }
        let object = Arc::new(object);
        let before = if removed {
            self.objects.remove(&key)
        } else {
            self.objects.insert(key.clone(), object.clone())
        };
        let after = (!removed).then_some(object.as_ref());
        self.count_addresses(&key, before.as_deref(), after);
        self.index.change(&key, before.as_deref(), after);
        let kind = match (&before, removed) {
            (_, true) => ChangeKind::Deleted,
            (None, false) => ChangeKind::Added,
            (Some(_), false) => ChangeKind::Modified,
        };
        let (at, by) = (self.clock.now(), self.writer);
        let change = Change { version: self.version, key, kind, object: object.clone(), before, at, by };
        self.changes.push_back(change);
        while self.changes.len() > self.remembered && self.oldest() < self.followed {
            self.changes.pop_front();
        }
        object
    }

    /// Gives an object the name that `generateName` asks for.
    fn name_it(&mut self, resource: &Resource, object: &mut Value) -> Result<(), StoreError> {
        let invalid = |why: &str| StoreError::Invalid(Key::new(resource, None, ""), why.to_owned());
        let object = object.as_object_mut().ok_or_else(|| invalid("the body is not an object"))?;
        let metadata = object.entry("metadata").or_insert_with(|| json!({}));
        let metadata = metadata.as_object_mut().ok_or_else(|| invalid("metadata is not an object"))?;
        if metadata.get("name").and_then(Value::as_str).is_none_or(str::is_empty) {
            let Some(prefix) = metadata.get("generateName").and_then(Value::as_str).map(str::to_owned) else {
                return Err(invalid("metadata.name: Required value: name or generateName is required"));
            };
            // Kubernetes' own alphabet: no vowels, so no words.
            const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
            let suffix = (0..5).map(|_| char::from(LETTERS[self.rng.usize(..LETTERS.len())]));
            let name: String = prefix.chars().take(58).chain(suffix).collect();
            metadata.insert("name".into(), name.into());
        }
        Ok(())
    }

    /// A random (version 4) UUID, as RFC 9562 lays it out.
    fn uid(&mut self) -> String {
        let bits = self.rng.u128(..) & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let hex = format!("{bits:032x}");
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }
}

/// Kinds whose generations nobody counts.
fn is_uncounted(key: &Key) -> bool {
    const CORE: [&str; 5] =
        ["namespaces", "nodes", "persistentvolumeclaims", "persistentvolumes", "services"];
    (key.group().is_empty() && CORE.contains(&key.plural())) || key.group() == "coordination.k8s.io"
}

/// Whether most kinds of objects can have it as their name.
pub fn is_object_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let bare = |c: char| c.is_ascii_alphanumeric();
    let is_label =
        |label: &str| label.chars().all(allowed) && label.starts_with(bare) && label.ends_with(bare);
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A name must be a part of a path (RFC 1123 for most kinds; RBAC allows colons).
fn check_name(key: &Key) -> Result<(), StoreError> {
    if is_object_name(key.name()) || key.name().contains(':') && is_object_name(&key.name().replace(':', "-"))
    {
        return Ok(());
    }
    let name: String = key.name().chars().take(60).collect();
    let why = format!(
        "metadata.name: Invalid value: \"{name}\": a lowercase RFC 1123 subdomain must consist of lower case \
         alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', \
         regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    );
    Err(StoreError::Invalid(key.clone(), why))
}

/// Optimistic concurrency: what the caller names must be what is stored.
fn expect(
    key: &Key,
    current: &Value,
    field: &str,
    given: Option<&str>,
    why: impl Fn(&str, &str) -> String,
) -> Result<(), StoreError> {
    let stored = current["metadata"][field].as_str().unwrap_or_default();
    match given {
        Some(given) if !given.is_empty() && given != stored => {
            Err(StoreError::Conflict(key.clone(), why(given, stored)))
        }
        _ => Ok(()),
    }
}

/// What no write may change: identity, birth, deletion and counters.
fn keep_system_metadata(key: &Key, next: &mut Value, current: &Value) -> Result<(), StoreError> {
    let Some(metadata) = next.get_mut("metadata").and_then(Value::as_object_mut) else {
        return Err(StoreError::Invalid(key.clone(), "metadata is not an object".into()));
    };
    const KEPT: [&str; 9] = [
        "name",
        "namespace",
        "generateName",
        "uid",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "resourceVersion",
    ];
    for field in KEPT {
        match current["metadata"].get(field) {
            Some(value) => metadata.insert(field.into(), value.clone()),
            None => metadata.remove(field),
        };
    }
    if let (None, Some(managers)) = (metadata.get("managedFields"), current["metadata"].get("managedFields"))
    {
        metadata.insert("managedFields".into(), managers.clone());
    }
    Ok(())
}

/// Pods that a kubelet may run get time to end; everything else goes at once.
fn grace_seconds(key: &Key, pod: &Value, deletion: &Deletion) -> u64 {
    let over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let placed = pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    if !key.group().is_empty() || key.plural() != "pods" || over || !placed {
        return 0;
    }
    let own = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
    deletion.grace_seconds.unwrap_or(own)
}

/// Whether somebody still has to do something before an object may go.
fn held(object: &Value) -> bool {
    let some = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    some(&object["metadata"]["finalizers"])
        || (object["kind"] == "Namespace" && some(&object["spec"]["finalizers"]))
}

fn add_finalizer(object: &mut Value, finalizer: &str) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let list = metadata.entry("finalizers").or_insert_with(|| json!([]));
    if let Some(list) = list.as_array_mut().filter(|list| list.iter().all(|each| each != finalizer)) {
        list.push(finalizer.into());
    }
}

fn count_generation(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if let Some(generation) = metadata.get("generation").and_then(Value::as_u64) {
        metadata.insert("generation".into(), (generation + 1).into());
    }
}

/// Whether a write moves the generation: one of anything but metadata, and but a status that is a subresource.
fn changes_what_counts(next: &Value, current: &Value, part: Part) -> bool {
    let counts = |field: &str| match field {
        "metadata" => false,
        "status" => part == Part::Whole,
        _ => true,
    };
    let fields = |object: &Value| {
        object.as_object().into_iter().flatten().map(|(field, _)| field.clone()).collect::<Vec<_>>()
    };
    fields(next)
        .iter()
        .chain(&fields(current))
        .any(|field| counts(field) && next.get(field) != current.get(field))
}

/// An object with another status, or none.
fn with_status(object: &Value, status: Option<Value>) -> Value {
    let fields = object.as_object().into_iter().flatten().filter(|(field, _)| *field != "status");
    let mut fields: Map<String, Value> =
        fields.map(|(field, value)| (field.clone(), value.clone())).collect();
    fields.extend(status.map(|status| ("status".to_owned(), status)));
    Value::Object(fields)
}

/// Sets a field of an object; nothing where it is no object.
fn put(object: &mut Value, field: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(field.to_owned(), value);
    }
}

/// Makes a field what it is in another object, missing where it is missing there.
fn copy(to: &mut Value, from: &Value, field: &str) {
    let Some(to) = to.as_object_mut() else { return };
    match from.get(field) {
        Some(value) => to.insert(field.to_owned(), value.clone()),
        None => Map::remove(to, field),
    };
}
