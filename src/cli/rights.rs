//! The rights that a drill needs: noted from the requests of its own rehearsal, with what undoing it may send.
//!
//! Why not worked out from the kinds: a list beside the code that sends would be wrong one day. A rehearsal sends what a run sends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use http::Request;
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use super::inputs::Inputs;
use super::rehearsal::{Rehearsal, RehearsalError};
use crate::cluster::EnvironmentSpec;
use crate::cluster::environment::{AgentPod, AgentSpec, AgentStart};
use crate::engine::{self, Shown};
use crate::guard::rights::Right;
use crate::inventory::said;
use crate::journal::Memory;
use crate::model::effect::Of;
use crate::model::event::{Event, What};
use crate::model::name::{Name, Region};
use crate::model::time::At;
use crate::world::{World, watch};

/// Rights by region.
pub type Rights = BTreeMap<Region, BTreeSet<Right>>;

/// Why a right is not given.
#[derive(Debug, PartialEq, Eq)]
pub enum Denied {
    /// By the API server.
    Refused(String),
    /// It did not say.
    Unasked(String),
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Denied::Refused(why) => f.write_str(why),
            Denied::Unasked(why) => write!(f, "nobody could ask: {why}"),
        }
    }
}

/// How long an API server has to say whether it gives a right.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many of them are asked for at the same time.
const AT_ONCE: usize = 16;

/// What every run reads to know a cluster.
const IDENTITY: &str = "/api/v1/namespaces/kube-system";

/// Rehearses a drill, and notes what its API servers are asked for: to its end, and aborted once it has broken something, and once it
/// has moved write authority, since healing looks at more. Needs a current-thread runtime with its clock paused.
///
/// # Errors
/// Where the drill cannot be rehearsed.
pub async fn needed(inputs: &Inputs) -> Result<Rights, RehearsalError> {
    let noted: Arc<Mutex<Rights>> = Arc::default();
    for abort_after in [None, Some(Of::Fault), Some(Of::MOVES)] {
        rehearse(inputs, abort_after, &noted).await?;
    }
    let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *noted))
}

/// One rehearsal; interrupted when the first effect of a sort has ended, if one is given.
async fn rehearse(
    inputs: &Inputs,
    abort_after: Option<Of>,
    noted: &Arc<Mutex<Rights>>,
) -> Result<(), RehearsalError> {
    let rehearsal = Rehearsal::prepare_in(inputs, 0, 0, |world| noting(world, noted)).await?;
    let world = noting(rehearsal.sandbox.world(), noted);
    let memory = Arc::new(Mutex::new(Memory::default()));
    let (interrupt, interrupted) = watch::channel(false);
    let mut last = None;
    let watcher = Box::new(move |_: At, shown: Shown<'_>| match shown {
        Shown::Event(Event { what: What::EffectIntended { effect, .. }, .. }) => last = Some(effect.of),
        Shown::Event(Event { what: What::EffectEnded { .. }, .. })
            if last.is_some() && last == abort_after =>
        {
            interrupt.send(true);
        }
        _ => {}
    });
    engine::run(world, rehearsal.plan, rehearsal.head, memory.clone(), watcher, interrupted).await;
    let mut rights = noted.lock().unwrap_or_else(PoisonError::into_inner);
    for event in memory.lock().unwrap_or_else(PoisonError::into_inner).events() {
        let What::EffectIntended { effect, undo, .. } = &event.what else { continue };
        let Some(at) = effect.act.at() else { continue };
        rights.entry(at.region.clone()).or_default().extend(Right::of_undo(&effect.act, undo));
    }
    Ok(())
}

/// A world whose requests are noted.
fn noting(mut world: World, noted: &Arc<Mutex<Rights>>) -> World {
    for (region, client) in &mut world.regions {
        let rights: BTreeSet<Right> = Right::of_request("GET", IDENTITY, "").into_iter().collect();
        noted.lock().unwrap_or_else(PoisonError::into_inner).entry(region.clone()).or_insert(rights);
        let (inner, region, noted) = (client.clone(), region.clone(), Arc::clone(noted));
        let service = tower::service_fn(move |request: Request<Body>| {
            let uri = request.uri();
            let rights =
                Right::of_request(request.method().as_str(), uri.path(), uri.query().unwrap_or_default());
            noted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(region.clone())
                .or_default()
                .extend(rights);
            let inner = inner.clone();
            async move { inner.send(request).await }
        });
        *client = Client::new(service, "default");
    }
    world
}

/// What the API servers must allow on the ways to agents in pods, by region.
pub fn of_agents(spec: &EnvironmentSpec) -> Rights {
    let mut rights = Rights::new();
    for vantage in &spec.vantages {
        let pods = |namespace: &Name| format!("/api/v1/namespaces/{namespace}/pods");
        let (region, pods, asked) = match &vantage.agent {
            Some(AgentSpec::Pod(AgentPod { region, namespace, .. })) => {
                (region, pods(namespace), &[("GET", "")][..])
            }
            Some(AgentSpec::Start(AgentStart { region, namespace, .. })) => {
                (region, pods(namespace), &[("POST", ""), ("GET", "/NAME"), ("DELETE", "/NAME")][..])
            }
            Some(AgentSpec::Address(_)) | None => continue,
        };
        let asked = asked.iter().chain(&[("GET", "/NAME/portforward")]);
        let needed = asked.flat_map(|(method, rest)| Right::of_request(method, &format!("{pods}{rest}"), ""));
        rights.entry(region.clone()).or_default().extend(needed);
    }
    rights
}

/// Asks each region whether it gives each right, some at a time; those that it does not, or that nobody could ask for, with why.
pub async fn missing(regions: &BTreeMap<Region, Client>, rights: &Rights) -> Vec<(Region, Right, Denied)> {
    let each = rights.iter().flat_map(|(region, rights)| rights.iter().map(move |right| (region, right)));
    let asked = stream::iter(each).map(async |(region, right)| {
        let why = refused(regions.get(region)?, right).await?;
        Some((region.clone(), right.clone(), why))
    });
    asked.buffered(AT_ONCE).filter_map(std::future::ready).collect().await
}

/// Why an API server does not give a right; nothing where it does.
async fn refused(client: &Client, right: &Right) -> Option<Denied> {
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let request = Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(right.review().to_string().into_bytes());
    let asked = async {
        client
            .request::<Value>(request.map_err(|error| error.to_string())?)
            .await
            .map_err(|error| said(&error))
    };
    let asked = tokio::time::timeout(PATIENCE, asked).await;
    match asked.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs()))) {
        Ok(answer) if answer["status"]["allowed"] == true => None,
        Ok(answer) => {
            let why = answer["status"]["reason"].as_str().unwrap_or("it is not allowed");
            Some(Denied::Refused(why.to_owned()))
        }
        Err(why) => Some(Denied::Unasked(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_agent_in_a_pod_needs_the_way_to_it_one_that_is_made_its_making_and_one_at_an_address_nothing() {
        let spec: EnvironmentSpec = serde_json::from_value(json!({
            "regions": [],
            "vantages": [
                {"name": "west", "agent": {"pod": {"region": "west", "namespace": "probes", "labels": {"app": "vantage"}}}},
                {"name": "east", "agent": {"start": {"region": "east", "namespace": "probes", "image": "drillmaster"}}},
                {"name": "office", "agent": {"address": "127.0.0.1:7070"}},
                {"name": "outside"},
            ],
        }))
        .unwrap();
        let rights = of_agents(&spec);
        let said =
            |region: &str| rights[&Region::from(region)].iter().map(Right::to_string).collect::<Vec<_>>();
        let way = ["create pods/portforward in probes", "get pods/portforward in probes"];
        assert_eq!(said("west"), [&["list pods in probes"][..], &way].concat());
        let made = ["create pods in probes", "delete pods in probes", "get pods in probes"];
        assert_eq!(said("east"), [&made[..], &way].concat());
        assert_eq!(rights.len(), 2);
    }
}
