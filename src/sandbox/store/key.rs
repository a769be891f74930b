//! Where an object stands.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde_json::Value;

use crate::model::effect::Resource;

/// Where an object stands: group (empty for the core group), plural, namespace (empty for none) and name. Ordered so that a kind, and a
/// namespace of it, are ranges. One text, so that two keys are compared at once, and shared, since every index holds its copy.
#[derive(Clone)]
pub struct Key {
    /// The four, each but the last with a NUL after it, which sorts before whatever a name can hold.
    text: Arc<str>,
    /// Where the second, the third and the fourth begin.
    plural: u32,
    namespace: u32,
    name: u32,
}

impl Key {
    /// The key of an object by its kind, namespace and name.
    pub fn new(resource: &Resource, namespace: Option<&str>, name: &str) -> Self {
        Self::within(&resource.group, &resource.plural, namespace, name)
    }

    /// The key of an object by its group and plural, namespace and name.
    pub fn within(group: &str, plural: &str, namespace: Option<&str>, name: &str) -> Self {
        let namespace = namespace.unwrap_or_default();
        let text = [group, "\0", plural, "\0", namespace, "\0", name].concat();
        let after =
            |from: u32, part: &str| from.saturating_add(u32::try_from(part.len()).unwrap_or(u32::MAX)) + 1;
        let plural_at = after(0, group);
        let namespace_at = after(plural_at, plural);
        let name_at = after(namespace_at, namespace);
        Self { text: text.into(), plural: plural_at, namespace: namespace_at, name: name_at }
    }

    /// The key of an object by its kind and its own metadata.
    pub fn of(resource: &Resource, object: &Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str();
        Self::new(resource, text("namespace"), text("name").unwrap_or_default())
    }

    /// Whether the object is of a kind.
    pub fn is(&self, resource: &Resource) -> bool {
        self.group() == resource.group && self.plural() == resource.plural
    }

    /// Empty for the core group.
    pub fn group(&self) -> &str {
        self.part(0, self.plural)
    }

    pub fn plural(&self) -> &str {
        self.part(self.plural, self.namespace)
    }

    pub fn namespace(&self) -> Option<&str> {
        Some(self.part(self.namespace, self.name)).filter(|namespace| !namespace.is_empty())
    }

    pub fn name(&self) -> &str {
        self.text.get(self.name as usize..).unwrap_or_default()
    }

    fn part(&self, from: u32, next: u32) -> &str {
        self.text.get(from as usize..next as usize - 1).unwrap_or_default()
    }

    /// Whether another is of its kind, and where that is asked for in its namespace.
    pub(super) fn is_beside(&self, other: &Self, one_namespace: bool) -> bool {
        let end = if one_namespace { self.name } else { self.namespace };
        self.text.get(..end as usize).is_some_and(|begin| other.text.starts_with(begin))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl fmt::Display for Key {
    /// `pods/ledger-0 in shop`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.plural(), self.name())?;
        match self.namespace() {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}
