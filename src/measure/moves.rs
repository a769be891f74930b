//! Where write authority went: which promotions moved it, and when each workload had a second side again.
//!
//! A workload is told by its first pod, which has one name in every region: several may move in one drill. A promotion that found its side
//! primary moved nothing, unless an earlier try of it may have landed.

use std::collections::{BTreeMap, BTreeSet};

use super::story::Story;
use crate::model::effect::{Effect, EffectId, Of, Ref, Undo};
use crate::model::event::{Outcome, What};
use crate::model::name::Name;
use crate::model::plan::Action;
use crate::model::time::{At, Interval};
use crate::model::workload::Workload;

/// A workload's first pod: its namespace and its name.
pub(super) type Pod = (Option<Name>, Name);

/// Write authority of a workload went to another side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Move {
    pub pod: Pod,
    /// From the first intent to make it primary to the end that was reported well.
    pub took: Interval,
}

fn pod(at: &Ref) -> Pod {
    (at.namespace.clone(), at.name.clone())
}

/// Each time that write authority was moved to another side, in order.
pub(super) fn moves(story: &Story<'_>) -> Vec<Move> {
    let mut found: Vec<Move> = Vec::new();
    let mut tried: BTreeMap<&Ref, At> = BTreeMap::new();
    let mut open: BTreeMap<EffectId, &Ref> = BTreeMap::new();
    for event in story.events {
        match &event.what {
            What::EffectIntended { effect: Effect { id, act, of: Of::MOVES }, undo, .. } => {
                let Some(at) = act.at() else { continue };
                let was_so = matches!(undo, Undo::Nothing { .. });
                if !was_so || tried.contains_key(at) {
                    tried.entry(at).or_insert(event.at);
                    open.insert(*id, at);
                }
            }
            What::EffectEnded { effect, outcome: Outcome::Ok, .. } => {
                let Some((at, begun)) = open.get(effect).and_then(|at| tried.remove_entry(at)) else {
                    continue;
                };
                tried.retain(|other, _| pod(other) != pod(at));
                found.push(Move { pod: pod(at), took: Interval::between(begun, event.at) });
            }
            _ => {}
        }
    }
    found
}

/// The moves of the write authority over a store: those of the pods that were read for it, in any namespace where one did not tell its own,
/// and all where none told its name.
pub(super) fn promotions(story: &Story<'_>, of: &Name) -> Vec<Interval> {
    let pods = story.events.iter().filter_map(|event| match &event.what {
        What::ReadBack { store, pod: Some(pod), namespace, .. } if store == of => Some((namespace, pod)),
        _ => None,
    });
    let pods: BTreeSet<(&Option<Name>, &Name)> = pods.collect();
    let is = |(namespace, name): &Pod, (told, pod): &(&Option<Name>, &Name)| {
        name == *pod && (told.is_none() || namespace == *told)
    };
    let concerns = |one: &Move| pods.is_empty() || pods.iter().any(|read| is(&one.pod, read));
    moves(story).into_iter().filter(concerns).map(|one| one.took).collect()
}

/// When every workload whose authority moved had a second side again, and what gave it one: a side that was resynchronised after the move
/// or that stepped down before it, and so follows from the beginning. Who steps down later hands over what follows already: that changes
/// nothing. `Err` where a workload has none, `Ok(None)` where nothing moved or nobody was left.
pub(super) fn second_sides(story: &Story<'_>) -> Result<Option<(At, &'static str)>, Pod> {
    const RESYNCED: &str = "the end of the resynchronisation";
    let moves = moves(story);
    let (resynced, demoted) = (done(story, "resync"), done(story, "demote"));
    let mut last = None;
    let mut since: BTreeMap<&Pod, At> = BTreeMap::new();
    for Move { pod, took } in &moves {
        let before = since.insert(pod, took.latest);
        let of_it = |(other, at): &&(Pod, At)| (other == pod).then_some(*at);
        let mut stepped_down = demoted.iter().filter_map(|one| of_it(&one));
        if stepped_down.any(|at| before.is_none_or(|before| before <= at) && at <= took.latest) {
            if before.is_none() {
                last = last.max(Some((took.latest, "the promotion after the other side had stepped down")));
            }
            continue;
        }
        let after = resynced.iter().filter_map(|one| of_it(&one)).filter(|at| *at >= took.earliest).max();
        last = last.max(Some((after.ok_or_else(|| pod.clone())?, RESYNCED)));
    }
    Ok(last.or(resynced.iter().map(|(_, at)| (*at, RESYNCED)).max()))
}

/// The workloads that recoveries of a kind were done to, and when.
fn done(story: &Story<'_>, kind: &str) -> BTreeSet<(Pod, At)> {
    let steps = story.plan.all_steps().filter_map(|step| {
        let Action::Recover { recover, region, .. } = &step.action else { return None };
        let given = recover.get(kind)?;
        let workload: Option<Workload> = given["workload"].as_str().and_then(|text| text.parse().ok());
        let namespace = Name::from(given["namespace"].as_str().unwrap_or_default());
        let pod = workload.map(|workload| pod(&workload.first_pod(region, &namespace)));
        Some((pod.unwrap_or_default(), story.done(step)?))
    });
    steps.collect()
}
