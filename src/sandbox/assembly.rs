//! Puts a sandbox together: regions, their controllers, the network between them, the people and the alerting around them.

use std::collections::BTreeMap;

use super::spec::SandboxSpec;
use crate::model::name::Role;
use crate::world::World;

/// Why a sandbox cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// The spec contradicts itself.
    #[error("sandbox: {0}")]
    Spec(String),
    /// A manifest is missing, or holds what the API server refuses.
    #[error("manifest {path}: {why}")]
    Manifest { path: String, why: String },
    /// Workloads that did not get ready.
    #[error("the sandbox did not settle within {0}: {1}")]
    NotReady(crate::model::time::Duration, String),
}

/// Simulated regions that run; they end when this is dropped.
pub struct Sandbox {
    world: World,
}

impl Sandbox {
    /// Starts the regions of a spec, and returns when all their workloads are ready: that instant is 0 of the run's clock.
    ///
    /// `manifests` holds the text of each file that the spec names. Needs a current-thread runtime with its clock paused.
    ///
    /// # Errors
    /// Where the spec or a manifest is wrong, or a workload does not get ready; each says which.
    pub async fn start(
        _spec: &SandboxSpec,
        _manifests: &BTreeMap<String, String>,
        _seed: u64,
        _wall_unix_ns: i64,
        _absent: &[Role],
    ) -> Result<Sandbox, SandboxError> {
        Err(SandboxError::Spec("being assembled".into()))
    }

    /// What a drill acts on.
    pub fn world(&self) -> World {
        self.world.clone()
    }

    /// What the documents ask for that the sandbox does not simulate, a line each.
    pub fn not_simulated(&self) -> &[String] {
        &[]
    }
}
