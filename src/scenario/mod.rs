//! The scenario language: the `Drill` and `Procedure` documents, and the checks of their meaning.
//!
//! ```text
//! drill    the documents' types
//! checks   one file per check: documents ─► diagnostics
//! ```

pub mod checks;
pub mod drill;

use crate::catalogue::ServiceCatalogue;
use crate::document::Document;
use crate::model::name::{Name, Region};

pub use drill::{
    Action, Declare, Drill, Ledger, Limits, Notify, Probe, Procedure, Proof, Regions, Stages, Step, Task,
};

/// A drill with the documents that it refers to by name.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub drill: Document<Drill>,
    pub catalogue: Option<Document<ServiceCatalogue>>,
    /// Those that its steps name.
    pub procedures: Vec<Document<Procedure>>,
    /// What is around the drill, as far as a sandbox or an environment says so.
    pub surroundings: Option<Surroundings>,
}

/// What a drill can find in the place where it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    pub regions: Vec<Region>,
    /// Whether they are simulated.
    pub simulated: bool,
    /// The alerts that can arrive; `None` where nobody has listed them.
    pub alerts: Option<Vec<Name>>,
}

impl Scenario {
    /// A procedure's steps by its name.
    pub fn procedure(&self, name: &Name) -> Option<&Document<Procedure>> {
        self.procedures.iter().find(|document| document.metadata.name == *name)
    }
}
