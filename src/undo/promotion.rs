//! What a journal knows of a workload's write authority: whom to ask, and what the silence of a side means; never where it is.
//!
//! Each side has its own story: what the run found it as, what it did to it, and what a person said of it. The last word counts: a side that
//! stepped down has nothing any more, whatever promoted it before, since it waited until another had all. One that was fenced waited for
//! nobody: it takes nothing, and what it took last may be nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::effect::{Act, EffectId, Exec, Undo};
use crate::model::event::{Decision, Event, Outcome, What};
use crate::model::name::Region;
use crate::model::plan::{Authority, Side};
use crate::model::time::At;

/// What a journal knows of every side of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Promotions {
    /// The sides that took the writes before the run, as their own records said; empty where nobody could say.
    before: BTreeSet<Region>,
    sides: BTreeMap<Region, Known>,
    /// The last intent to promote whose end nobody saw.
    pub in_flight: Option<At>,
}

/// What it knows of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Known {
    /// The last intent that promoted it, or may have.
    promoted: Option<At>,
    /// The last word on it is that it was promoted, or may have been: a person's word, and an effect whose end nobody saw, are such.
    /// What only started, or surely failed, can have promoted nothing; and a fence leaves it what it took.
    may_hold: bool,
    /// The run promoted it, or found it promoted. A person's word alone is none: the side's own record tells.
    wrote: bool,
}

impl Promotions {
    /// Whether a side took the writes before the run. Where nobody could say, all did but the one that the drill gives them to first.
    pub fn is_home(&self, region: &Region, authority: &Authority) -> bool {
        match self.before.is_empty() {
            false => self.before.contains(region),
            true => authority.takeover().is_none_or(|takeover| takeover.region != *region),
        }
    }

    /// When a side was last promoted, or perhaps.
    pub fn promoted(&self, region: &Region) -> Option<At> {
        self.known(region).promoted
    }

    /// Whether the silence of a side may hide that it takes the writes, or that it alone has the newest.
    pub fn may_hold(&self, region: &Region) -> bool {
        self.known(region).may_hold
    }

    /// Whether the run promoted a side, or found it promoted.
    pub fn wrote(&self, region: &Region) -> bool {
        self.known(region).wrote
    }

    fn known(&self, region: &Region) -> Known {
        self.sides.get(region).copied().unwrap_or_default()
    }
}

/// The observation that a side takes the writes before the run changes anything.
pub fn wrote_before(authority: &Authority, region: &Region) -> String {
    format!("primary:{region}: {}", authority.workload)
}

/// What a journal knows of a workload's authority.
pub fn promotions(events: &[Event], authority: &Authority) -> Promotions {
    let mut found = Promotions::default();
    let ends: BTreeMap<EffectId, &Outcome> = events.iter().filter_map(ended).collect();
    for event in events {
        if let What::Observed { what, outcome: Outcome::Ok, .. } = &event.what {
            let primary = authority.sides.iter().find(|side| *what == wrote_before(authority, &side.region));
            found.before.extend(primary.map(|side| side.region.clone()));
        }
        if let What::StepEnded { step, outcome: Outcome::Ok }
        | What::Decided { step, decision: Decision::Done, .. } = &event.what
        {
            for moved in authority.moves.iter().filter(|moved| moved.step == *step) {
                let known = found.sides.entry(moved.to.clone()).or_default();
                if !known.may_hold {
                    (known.promoted, known.may_hold) = (Some(event.at), true);
                }
            }
        }
        if let What::EffectIntended { effect, undo, .. } = &event.what
            && let Act::Exec(exec) = &effect.act
            && let Some(side) = authority.sides.iter().find(|side| *side.pod() == exec.at)
        {
            let known = found.sides.entry(side.region.clone()).or_default();
            if known.take(exec, undo, event.at, ends.get(&effect.id).copied(), (authority, side)) {
                found.in_flight = found.in_flight.max(Some(event.at));
            }
        }
    }
    found
}

fn ended(event: &Event) -> Option<(EffectId, &Outcome)> {
    let What::EffectEnded { effect, outcome, .. } = &event.what else { return None };
    Some((*effect, outcome))
}

impl Known {
    /// Takes one command on the side in; whether it is a promotion that may be under way still.
    fn take(
        &mut self,
        exec: &Exec,
        undo: &Undo,
        at: At,
        end: Option<&Outcome>,
        (authority, side): (&Authority, &Side),
    ) -> bool {
        let promoted = &authority.promoted.done;
        let promotes = exec.status.done == *promoted;
        let found = match undo {
            Undo::Reverse { before, .. } => {
                promoted.iter().all(|(field, value)| before.get(field) == Some(value))
            }
            // It was so already, so it moved nothing.
            Undo::Nothing { .. } => promotes,
            Undo::Restore { .. }
            | Undo::Remove { .. }
            | Undo::PutBack { .. }
            | Undo::Act(_)
            | Undo::Irreversible => false,
        };
        self.wrote |= found;
        self.may_hold |= found;
        let fences = exec.status.done == side.fence.status.done;
        let demotes =
            !promotes && !fences && promoted.keys().all(|field| exec.status.done.contains_key(field));
        match end {
            Some(Outcome::Failed { .. }) => false,
            Some(Outcome::Ok) if demotes => {
                self.may_hold = false;
                false
            }
            Some(Outcome::Ok) if promotes && !found => {
                (self.promoted, self.may_hold, self.wrote) = (Some(at), true, true);
                false
            }
            Some(Outcome::Unknown { .. }) | None if promotes && !found => {
                (self.promoted, self.may_hold) = (Some(at), true);
                true
            }
            Some(Outcome::Ok | Outcome::Unknown { .. }) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::canary::{Canary, status};
    use crate::model::effect::{Effect, Of};
    use crate::model::plan::Move;
    use crate::model::workload::Workload;

    fn authority() -> Authority {
        let (workload, namespace): (Workload, _) = ("statefulset/ledger".parse().unwrap(), "shop".into());
        let side = |region| Canary { workload: &workload, namespace: &namespace, region: &region }.side();
        Authority {
            workload: "statefulset/ledger in shop".to_owned(),
            moves: vec![
                Move { step: "promote".into(), to: "west".into() },
                Move { step: "promote-east".into(), to: "east".into() },
            ],
            promoted: status("role", json!("primary")),
            epoch: None,
            unfence: vec![],
            follow: vec![],
            sides: vec![side(Region::from("east")), side(Region::from("west"))],
        }
    }

    fn knows(whats: &[What]) -> Promotions {
        let events: Vec<Event> = (0..).zip(whats).map(|(i, what)| (i, what.clone())).map(event).collect();
        promotions(&events, &authority())
    }

    fn event((i, what): (i64, What)) -> Event {
        Event { seq: i.unsigned_abs(), at: At(i), what }
    }

    /// A command on a side that was in a role before.
    fn does(id: u32, region: &str, (verb, role): (&str, &str), before: &str) -> What {
        let (workload, namespace): (Workload, _) = ("statefulset/ledger".parse().unwrap(), "shop".into());
        let canary = Canary { workload: &workload, namespace: &namespace, region: &region.into() };
        let exec = canary.exec(&[verb], status("role", json!(role)), Some(&["back"]));
        let undo = match before == role {
            true => Undo::Nothing { because: "it was so already".to_owned() },
            false => Undo::Reverse {
                exec: Box::new(exec.clone()),
                before: [("role".to_owned(), json!(before))].into(),
            },
        };
        let of = Of::Recovery { moves_authority: role == "primary" };
        let effect = Effect { id: EffectId(id), act: Act::Exec(exec), of };
        What::EffectIntended { step: "some".into(), effect, undo }
    }

    fn ended(id: u32, outcome: Outcome) -> What {
        What::EffectEnded { effect: EffectId(id), outcome, undo: None }
    }

    const PROMOTE: (&str, &str) = ("promote", "primary");
    const DEMOTE: (&str, &str) = ("demote", "replica");
    const FENCE: (&str, &str) = ("fence", "fenced");

    #[test]
    fn a_promotion_counts_unless_it_surely_failed_and_a_persons_word_yields_to_the_record() {
        let west = Region::from("west");
        let says = |whats: &[What]| {
            let known = knows(whats);
            (known.may_hold(&west), known.wrote(&west), known.in_flight.is_some())
        };
        let started = What::StepStarted { step: "promote".into() };
        let said_done = What::StepEnded { step: "promote".into(), outcome: Outcome::Ok };
        let promotes = does(1, "west", PROMOTE, "replica");
        assert_eq!(says(&[]), (false, false, false));
        assert_eq!(says(std::slice::from_ref(&started)), (false, false, false), "it only asked");
        assert_eq!(says(std::slice::from_ref(&promotes)), (true, false, true));
        assert_eq!(says(&[promotes.clone(), ended(1, Outcome::unknown("lost"))]), (true, false, true));
        assert_eq!(says(&[promotes.clone(), ended(1, Outcome::failed("no"))]), (false, false, false));
        assert_eq!(says(&[promotes, ended(1, Outcome::Ok)]), (true, true, false));
        assert_eq!(says(&[started, said_done.clone()]), (true, false, false));
        let demoted = |before| [said_done.clone(), does(2, "west", DEMOTE, before), ended(2, Outcome::Ok)];
        assert_eq!(says(&demoted("replica")), (false, false, false), "it was found a replica");
        assert_eq!(says(&demoted("primary")), (false, true, false), "a demotion found it promoted");
    }

    #[test]
    fn a_fence_leaves_a_side_what_it_took_and_a_demotion_leaves_it_nothing() {
        let west = Region::from("west");
        let there = [does(1, "west", PROMOTE, "replica"), ended(1, Outcome::Ok)];
        let then = |verb, before| [does(2, "west", verb, before), ended(2, Outcome::Ok)];
        let fenced = knows(&[&there[..], &then(FENCE, "primary")[..]].concat());
        assert!(fenced.may_hold(&west) && fenced.wrote(&west));
        let down = [&there[..], &then(DEMOTE, "primary")[..]].concat();
        assert!(!knows(&down).may_hold(&west));
        let fence = [does(3, "west", FENCE, "replica"), ended(3, Outcome::Ok)];
        assert!(!knows(&[down, fence.to_vec()].concat()).may_hold(&west), "it had stepped down before");
    }

    #[test]
    fn the_last_word_on_each_side_counts() {
        let (east, west) = (Region::from("east"), Region::from("west"));
        let there = [does(1, "west", PROMOTE, "replica"), ended(1, Outcome::Ok)];
        let down = [does(2, "west", DEMOTE, "primary"), ended(2, Outcome::Ok)];
        let back = [does(3, "east", PROMOTE, "fenced"), ended(3, Outcome::Ok)];
        let known = knows(&[&there[..], &down[..], &back[..]].concat());
        assert!(!known.may_hold(&west) && known.may_hold(&east));
        assert!(known.promoted(&east) > known.promoted(&west));
        let known = knows(&[&there[..], &down[..1]].concat());
        assert!(known.may_hold(&west), "nobody knows whether it stepped down");
    }

    #[test]
    fn a_side_that_was_promoted_in_its_place_got_nothing() {
        let (east, west) = (Region::from("east"), Region::from("west"));
        let known = knows(&[
            does(1, "east", PROMOTE, "primary"),
            ended(1, Outcome::Ok),
            does(2, "west", PROMOTE, "replica"),
            ended(2, Outcome::Ok),
        ]);
        assert_eq!((known.promoted(&east), known.promoted(&west)), (None, Some(At(2))));
    }

    #[test]
    fn home_is_who_wrote_before_and_where_nobody_said_all_but_whom_the_drill_promotes() {
        let (east, west, authority) = (Region::from("east"), Region::from("west"), authority());
        let known = knows(&[]);
        assert!(known.is_home(&east, &authority) && !known.is_home(&west, &authority));
        let (sent, done) = (At(0), At(0));
        let saw =
            |region, outcome| What::Observed { what: wrote_before(&authority, region), sent, done, outcome };
        let known = knows(&[saw(&east, Outcome::failed("no")), saw(&west, Outcome::Ok)]);
        assert!(!known.is_home(&east, &authority) && known.is_home(&west, &authority));
    }
}
