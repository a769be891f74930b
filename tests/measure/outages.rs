//! What is an outage of the drill, what ends it, and whether the fault was there: one drill for each way to be wrong about it.

use serde_json::{Value, json};

use drillmaster::measure::{Measured, Moment};
use drillmaster::model::event::Ended;
use drillmaster::model::target::{Overall, Verdict};
use drillmaster::model::time::At;

use super::drill::{Drill, S, nanos, objective, of, rta, secs};

/// Without writes, and with a promise for the way back.
fn probes_alone() -> Drill {
    let objectives = vec![rta("60s", "impact"), objective("failback", Some("10s"), None)];
    Drill { with_ledger: false, objectives, ..Drill::default() }
}

fn verdicts(drill: &Drill) -> Vec<Verdict> {
    drill.judged().1.objectives.iter().map(|judgement| judgement.verdict).collect()
}

fn both(from: f64, to: f64) -> Vec<(&'static str, f64, f64)> {
    vec![("outside", from, to), ("west", from, to)]
}

fn invalid(drill: &Drill) -> String {
    drill.judged().1.invalid.unwrap_or_default()
}

#[test]
fn what_is_made_ready_before_the_fault_recovers_nothing() {
    let warmed = Drill { warmed: true, ..Drill::default() };
    assert_eq!(warmed.verdict(), (Overall::Met, Verdict::Met));
    let (measured, _) = warmed.judged();
    assert_eq!(of(&measured).timeline[&Moment::FailoverStarted].at.latest, At(80 * S));
    let reverted = Drill { fault_shows: Some((60.0, 70.0)), until: "recovery", ..warmed.clone() };
    assert_eq!(reverted.verdict(), (Overall::Invalid, Verdict::Void));
    let mut failed = warmed;
    failed.down.push(("west", 45.0, 50.0));
    assert_eq!(failed.verdict(), (Overall::Invalid, Verdict::Void), "steady state was lost at 45 s");
}
