//! What became of the objects that are not simply there: counted, named and told.

use std::collections::{BTreeMap, BTreeSet};

use super::Given;

/// How many names of a kind are told; the rest is counted.
const MOST_NAMES: usize = 4;

/// By reason and kind.
type Told = BTreeMap<&'static str, BTreeMap<String, Vec<String>>>;

/// What a twin leaves out, and what it has and does not simulate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    left_out: Told,
    not_simulated: Told,
    without_owner: Vec<String>,
    namespaces: BTreeSet<String>,
    /// Where nobody will answer.
    pub(super) silent: Vec<String>,
    /// What is there though the manifests do not say so.
    pub(super) assumed: Vec<String>,
}

fn note(told: &mut Told, why: &'static str, given: &Given) {
    let name = match given.namespace() {
        "" => given.name().to_owned(),
        namespace => format!("{namespace}/{}", given.name()),
    };
    told.entry(why).or_default().entry(given.kind().to_owned()).or_default().push(name);
}

impl Account {
    pub(super) fn left_out(&mut self, why: &'static str, given: &Given) {
        note(&mut self.left_out, why, given);
    }

    pub(super) fn not_simulated(&mut self, why: &'static str, given: &Given) {
        note(&mut self.not_simulated, why, given);
    }

    pub(super) fn without_owner(&mut self, given: &Given) {
        self.without_owner.push(given.title());
    }

    pub(super) fn made_namespace(&mut self, name: &str) {
        self.namespaces.insert(name.to_owned());
    }

    /// All of it as people read it.
    pub fn lines(&self) -> Vec<String> {
        let simulated = self.not_simulated_lines().into_iter().map(|line| format!("not simulated: {line}"));
        let silent = self.silent.iter().map(|line| format!("nobody answers: {line}"));
        let assumed = self.assumed.iter().map(|line| format!("assumed: {line}"));
        simulated.chain(self.changed_lines()).chain(assumed).chain(silent).collect()
    }

    /// What the manifests ask for that the sandbox does not simulate, a line for each reason.
    fn not_simulated_lines(&self) -> Vec<String> {
        self.not_simulated
            .iter()
            .map(|(why, kinds)| {
                let kinds: Vec<String> =
                    kinds.iter().map(|(kind, names)| format!("{kind} {}", some(names))).collect();
                format!("{}: {why}", kinds.join("; "))
            })
            .collect()
    }

    /// What was not loaded as it stands in the manifests, a line for each reason.
    fn changed_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .left_out
            .iter()
            .map(|(why, kinds)| {
                let counts: Vec<String> =
                    kinds.iter().map(|(kind, names)| format!("{} {kind}", names.len())).collect();
                format!("not loaded, since {why}: {}", counts.join(", "))
            })
            .collect();
        if !self.without_owner.is_empty() {
            lines
                .push(format!("loaded without an owner that no manifest has: {}", some(&self.without_owner)));
        }
        if !self.namespaces.is_empty() {
            let names: Vec<String> = self.namespaces.iter().cloned().collect();
            lines.push(format!("namespaces that no manifest has were made: {}", some(&names)));
        }
        lines
    }
}

/// `a, b and 3 more`
fn some(names: &[String]) -> String {
    let shown = names.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        rest => format!("{shown} and {rest} more"),
    }
}
