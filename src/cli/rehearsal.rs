//! From loaded documents to a run in simulated regions: the line that builds the world, and no other place.
//!
//! A function of documents, seed and `--at` alone: same in, same bytes out (I10). Tests run it with evidence in memory.

use std::process::ExitCode;

use super::inputs::Inputs;
use super::{exit, look, say, show};
use crate::document::Diagnostic;
use crate::engine::{self, Finished, Head, SharedSink, Watcher};
use crate::inventory;
use crate::journal::chain::sha256;
use crate::model::name::{Region, RunId};
use crate::model::plan::Plan;
use crate::plan::{self, Effects};
use crate::sandbox::{Sandbox, SandboxError};
use crate::world::{World, watch};

/// How many digits of the documents' digest name a rehearsal.
const RUN_ID_DIGITS: usize = 12;

/// A drill in its simulated regions, ready to start.
pub struct Rehearsal {
    pub sandbox: Sandbox,
    pub plan: Plan,
    pub effects: Effects,
    pub head: Head,
}

/// Why a drill cannot be rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    #[error("the drill names no sandbox: add `spec.sandbox` with the name of a SandboxSpec")]
    NoSandbox,
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("the drill cannot be planned")]
    Plan(Vec<Diagnostic>),
    #[error("it has no runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

impl Rehearsal {
    /// Starts the simulated regions and plans the drill against them. Needs a current-thread runtime with its clock paused.
    ///
    /// # Errors
    /// Where there is no sandbox, it does not get ready, or the plan does not hold.
    pub async fn prepare(inputs: &Inputs, seed: u64, wall_unix_ns: i64) -> Result<Rehearsal, RehearsalError> {
        Rehearsal::prepare_in(inputs, seed, wall_unix_ns, |world| world).await
    }

    /// The same, planned through a lens on the world.
    ///
    /// # Errors
    /// As [`Rehearsal::prepare`].
    pub async fn prepare_in(
        inputs: &Inputs,
        seed: u64,
        wall_unix_ns: i64,
        lens: impl FnOnce(World) -> World,
    ) -> Result<Rehearsal, RehearsalError> {
        let spec = inputs.sandbox.as_ref().ok_or(RehearsalError::NoSandbox)?;
        let absent = &inputs.scenario.drill.spec.absent;
        let sandbox = Sandbox::start(&spec.spec, &inputs.manifests, seed, wall_unix_ns, absent).await?;
        let (plan, effects) = planned(inputs, &lens(sandbox.world())).await.map_err(RehearsalError::Plan)?;
        let head = Head {
            run: run_id(inputs, seed, wall_unix_ns),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            rehearsal: true,
            seed: Some(seed),
            inputs: inputs.digests(),
        };
        Ok(Rehearsal { sandbox, plan, effects, head })
    }

    /// Runs the drill to its end.
    pub async fn run(
        self,
        sink: SharedSink,
        watcher: Watcher,
        interrupted: watch::Receiver<bool>,
    ) -> Finished {
        let world = self.sandbox.world();
        engine::run(world, self.plan, self.head, sink, watcher, interrupted).await
    }
}

/// Plans a drill against a world.
///
/// # Errors
/// Where the plan does not hold.
pub(super) async fn planned(inputs: &Inputs, world: &World) -> Result<(Plan, Effects), Vec<Diagnostic>> {
    let outline = plan::outline(&inputs.scenario)?;
    let regions: Vec<Region> = world.regions.keys().cloned().collect();
    let facts = inventory::read(world, &plan::reads(&outline, &regions)).await;
    let plan = plan::plan(&inputs.scenario, &regions, &facts)?;
    let effects = plan::effects(&plan, &regions, &facts);
    Ok((plan, effects))
}

/// A runtime for rehearsals: one thread, and a clock that goes on only when nobody has anything to do. It has no event queue of the
/// operating system, since nothing in a rehearsal is a socket: each step of the clock would cost two system calls.
///
/// # Errors
/// None that is known; tokio says it may.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
}

/// A digest of everything that the run is a function of.
fn run_id(inputs: &Inputs, seed: u64, wall_unix_ns: i64) -> RunId {
    let mut text = format!("{seed}\n{wall_unix_ns}\n{}\n", inputs.scenario.drill.metadata.name);
    for (path, bytes) in &inputs.files {
        text.push_str(&format!("{path} {}\n", sha256(bytes)));
    }
    let digest = sha256(text.as_bytes());
    RunId(digest.0.chars().take(RUN_ID_DIGITS).collect::<String>().into())
}

/// Says why a drill cannot be rehearsed.
pub(super) fn refused(inputs: &Inputs, error: &RehearsalError) -> ExitCode {
    say(&format!("error: {error}"));
    if let RehearsalError::Plan(diagnostics) = error {
        show(&inputs.rendered(diagnostics, look()));
    }
    exit::code(exit::USAGE)
}
