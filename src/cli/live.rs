//! From loaded documents and an environment to a run on real clusters, once each is the one that the environment says (I9).

use std::process::ExitCode;
use std::sync::Arc;

use uuid::Uuid;

use super::inputs::Inputs;
use super::rehearsal::{self, RehearsalError, planned};
use super::rights::{self, Denied, Rights};
use super::{exit, look, say, show};
use crate::cluster::clock::LiveClock;
use crate::cluster::{self, ClusterError, EnvironmentSpec, LivePeople};
use crate::document::Diagnostic;
use crate::engine::Head;
use crate::guard::rights::Right;
use crate::model::name::Region;
use crate::model::plan::Plan;
use crate::plan::Effects;
use crate::world::World;

/// A drill on real clusters, ready to start.
pub struct Live {
    pub world: World,
    pub people: Arc<LivePeople>,
    pub plan: Plan,
    pub effects: Effects,
    pub head: Head,
}

/// Why a drill cannot be run on clusters.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    #[error("no environment was given: name its file with --env")]
    NoEnvironment,
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the drill cannot be planned")]
    Plan(Vec<Diagnostic>),
    #[error(
        "the clusters do not allow all that the drill needs; `drillmaster plan --rbac` prints the roles that do"
    )]
    Rights(Vec<(Region, Right, Denied)>),
    #[error("region {0} does not say what it allows: {1}; `drillmaster env check` looks at each region")]
    Unasked(Region, String),
}

impl Live {
    /// Connects to the clusters, and plans the drill against them. Changes nothing.
    ///
    /// # Errors
    /// Where a cluster cannot be had or is another one, the plan does not hold, or leaves what the environment allows.
    pub async fn prepare(inputs: &Inputs) -> Result<Live, LiveError> {
        let (environment, folder) = inputs.environment.as_ref().ok_or(LiveError::NoEnvironment)?;
        let people = Arc::new(LivePeople::default());
        let world =
            cluster::world(&environment.spec, folder, Arc::clone(&people), LiveClock::begin()).await?;
        // Before the plan, which reads: whoever may not is told all that is missing, and not what could not be read first.
        let needed = rights(inputs);
        if let Ok(needed) = &needed {
            let missing = rights::missing(&world.regions, needed).await;
            let unasked = missing.iter().find_map(|(region, _, denied)| match denied {
                Denied::Unasked(why) => Some((region.clone(), why.clone())),
                Denied::Refused(_) => None,
            });
            if let Some((region, why)) = unasked {
                return Err(LiveError::Unasked(region, why));
            }
            if !missing.is_empty() {
                return Err(LiveError::Rights(missing));
            }
        }
        let (plan, effects) = planned(inputs, &world).await.map_err(LiveError::Plan)?;
        within(&plan, &effects, &environment.spec)?;
        if let Err(why) = needed {
            say(&format!("warning: nobody knows which rights the drill needs: {why}"));
        }
        let head = Head {
            run: Uuid::now_v7().to_string().into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            rehearsal: false,
            seed: None,
            inputs: inputs.digests(),
        };
        Ok(Live { world, people, plan, effects, head })
    }
}

/// The rights that a drill needs: from its rehearsal, which has a clock of its own, and for the ways to its agents.
///
/// # Errors
/// Where it cannot be rehearsed.
pub fn rights(inputs: &Inputs) -> Result<Rights, RehearsalError> {
    let rehearse = || rehearsal::runtime()?.block_on(rights::needed(inputs));
    let rehearsed = std::thread::scope(|scope| scope.spawn(rehearse).join());
    let mut rights = rehearsed.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    // A rehearsal has no agents.
    for (region, of_agents) in
        inputs.environment.iter().flat_map(|(document, _)| rights::of_agents(&document.spec))
    {
        rights.entry(region).or_default().extend(of_agents);
    }
    Ok(rights)
}

/// Refuses a plan that touches a namespace which the environment does not give to drills, in whichever region.
fn within(plan: &Plan, effects: &Effects, environment: &EnvironmentSpec) -> Result<(), ClusterError> {
    let hit = plan.blast_radius.iter().map(|touched| (&touched.region, touched.namespace.as_ref()));
    let acts = effects.values().flatten().flatten().filter_map(|planned| planned.act.at());
    for (region, namespace) in hit.chain(acts.map(|at| (&at.region, at.namespace.as_ref()))) {
        let allowed = environment.regions.iter().find(|allowed| allowed.name == *region);
        let (Some(namespace), Some(allowed)) = (namespace, allowed) else { continue };
        if !allowed.namespaces.contains(namespace) {
            return Err(ClusterError::Scope { region: region.clone(), namespace: namespace.clone() });
        }
    }
    Ok(())
}

/// A runtime for clusters, and for a ledger that is served: one thread, with sockets and the real clock.
///
/// # Errors
/// Where the system has no event queue.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Says why a drill does not start.
pub(super) fn refused(inputs: &Inputs, error: &LiveError) -> ExitCode {
    say(&format!("error: {error}"));
    match error {
        LiveError::NoEnvironment => exit::code(exit::USAGE),
        LiveError::Cluster(_) | LiveError::Unasked(..) => exit::code(exit::REFUSED),
        LiveError::Rights(missing) => {
            for (region, right, why) in missing {
                say(&format!("  region {region}: you may not {right}: {why}"));
            }
            exit::code(exit::REFUSED)
        }
        LiveError::Plan(diagnostics) => {
            show(&inputs.rendered(diagnostics, look()));
            exit::code(exit::USAGE)
        }
    }
}
