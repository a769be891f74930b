//! The canary workload's commands as effects: `drillmaster ledger VERB` in the first pod of its StatefulSet.
//!
//! By exec through the Kubernetes API, since that works while the network of the pods is cut off. Each verb may be run again:
//! where it is done already it changes nothing.

use serde_json::Value;

use super::effect::{Exec, Ref, Resource, Status};
use super::facts::{Facts, Read, Unread};
use super::name::{Name, Region};
use super::plan::{Authority, Move, Side};
use super::scene::{Progress, Refusal, Scene};
use super::workload::Workload;

/// The canary's container.
const CONTAINER: &str = "ledger";

/// The canary of one region.
#[derive(Debug, Clone, Copy)]
pub struct Canary<'a> {
    pub workload: &'a Workload,
    pub namespace: &'a Name,
    pub region: &'a Region,
}

/// A verb with its words: `ledger corrupt --records 20`.
pub fn argv(words: &[&str]) -> Vec<String> {
    ["drillmaster", "ledger"].iter().chain(words).map(|word| (*word).to_owned()).collect()
}

/// What `drillmaster ledger status` shows once something is done.
pub fn status(field: &str, value: Value) -> Status {
    Status { argv: argv(&["status"]), done: [(field.to_owned(), value)].into() }
}

impl Canary<'_> {
    /// The pod that the commands run in.
    pub fn pod(&self) -> Ref {
        self.workload.first_pod(self.region, self.namespace)
    }

    /// A command in it.
    pub fn exec(&self, words: &[&str], status: Status, reverse: Option<&[&str]>) -> Exec {
        Exec {
            at: self.pod(),
            container: Some(CONTAINER.into()),
            argv: argv(words),
            status,
            reverse: reverse.map(argv),
        }
    }

    /// As a side of its authority: what keeps it from taking writes, and how that is proved.
    pub fn side(&self) -> Side {
        Side {
            region: self.region.clone(),
            workload: self.workload.at(self.region, self.namespace),
            fence: self.exec(&["fence"], status("role", Value::from("fenced")), None),
            refused: Status {
                argv: argv(&["try"]),
                done: [("accepted".to_owned(), Value::Bool(false))].into(),
            },
        }
    }

    /// Who may write to it in any region, with where a step moves that.
    pub fn authority(&self, scene: &Scene, moves: Vec<Move>) -> Authority {
        let elsewhere = scene.regions.iter().filter(|region| *region != self.region);
        Authority {
            workload: format!("{} in {}", self.workload, self.namespace),
            moves,
            promoted: status("role", Value::from("primary")),
            epoch: Some("epoch".to_owned()),
            unfence: argv(&["promote"]),
            follow: argv(&["resync"]),
            sides: elsewhere.chain([self.region]).map(|region| Canary { region, ..*self }.side()).collect(),
        }
    }

    /// What planning must see.
    pub fn reads(&self) -> Vec<Read> {
        vec![Read::in_namespace(self.region, Resource::pods(), self.namespace)]
    }

    /// Says no where the pod does not exist, or may not be touched.
    ///
    /// # Errors
    /// In these cases, and where nobody could read the pods.
    pub fn is_there(&self, scene: &Scene, facts: &Facts) -> Result<(), Refusal> {
        scene.may_touch(self.namespace)?;
        let pod = self.pod();
        match facts.object(self.region, &pod.resource, Some(self.namespace), &pod.name)? {
            Some(_) => Ok(()),
            None => Err(Refusal::NoTarget(format!(
                "{} has no pod {} in {}: name the canary's StatefulSet",
                self.region, pod.name, self.namespace
            ))),
        }
    }

    /// What `shows` must see; only during a run.
    pub fn watches(&self) -> Vec<Read> {
        vec![Read::Output { at: self.pod(), container: Some(CONTAINER.into()), argv: argv(&["status"]) }]
    }

    /// Whether its status shows something as done.
    ///
    /// # Errors
    /// Where nobody could read the status.
    pub fn shows(&self, facts: &Facts, wanted: &Status) -> Result<Progress, Unread> {
        let printed = facts.output(&self.pod(), Some(&CONTAINER.into()), &wanted.argv)?;
        if wanted.shown_by(printed) {
            return Ok(Progress::Done);
        }
        let field = |(name, value): (&String, &Value)| {
            format!("{name} is {} and not {value}", printed.get(name).unwrap_or(&Value::Null))
        };
        let missing: Vec<String> =
            wanted.done.iter().filter(|(name, value)| printed.get(*name) != Some(value)).map(field).collect();
        Ok(Progress::Waiting(format!("{}: {}", self.pod(), missing.join(", "))))
    }
}
