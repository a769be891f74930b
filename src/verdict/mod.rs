//! Measurements against targets → verdicts: pure, and only `met` passes (I7).
//!
//! Each objective is judged by its own rule; then the run as a whole is looked at: an invalid one says nothing, one that did
//! not come to its end meets nothing. Rejected: scores, since a number hides which promise was broken.

mod findings;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::measure::{Actual, Finding, Interrupted, Loss, Measured, Moment, Records, Rta, ServiceMeasured};
use crate::model::event::{Ended, Outcome, What};
use crate::model::evidence::Evidence;
use crate::model::name::StepId;
use crate::model::plan::{Action, Plan, Stage, Step};
use crate::model::target::{Objective, ObjectiveKind, Origin, Overall, Verdict};
use crate::model::time::{Duration, Span};

/// Why a reading stands for nothing that came after it.
const OUTDATED: &str =
    "something was done, or a write failed, after it was read back, and it was not read whole again";

/// How a run went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    pub overall: Overall,
    /// In the order of the plan's objectives.
    pub objectives: Vec<Judgement>,
    /// Why the run says nothing about its objectives.
    pub invalid: Option<String>,
    pub findings: Vec<Finding>,
}

/// How one objective went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    pub objective: Objective,
    pub verdict: Verdict,
    /// People had to act, and knew that it was a drill.
    pub prewarned: bool,
    /// What was measured against a duration; `None` for integrity.
    pub actual: Option<Actual>,
    /// What was counted: for rpa and failback, lost writes; for integrity, damaged ones.
    pub records: Option<Records>,
    /// One sentence.
    pub why: String,
}

/// Judges a run.
pub fn judge(evidence: &Evidence, measured: &Measured) -> Judged {
    let Some(header) = evidence.header() else {
        let invalid = Some("the journal has no beginning".to_owned());
        return Judged {
            overall: Overall::Invalid,
            objectives: Vec::new(),
            invalid,
            findings: measured.findings.clone(),
        };
    };
    let court = Court {
        plan: header.plan,
        measured,
        people_acted: evidence.events.iter().any(|event| matches!(event.what, What::Asked { .. })),
        incomplete: incomplete(evidence, measured).or_else(|| unchecked(header.plan, measured)),
        invalid: invalid(measured),
    };
    let objectives: Vec<Judgement> = court.plan.objectives.iter().map(|one| court.judgement(one)).collect();
    let overall = overall(&objectives, court.invalid.is_some(), court.incomplete.is_some());
    Judged {
        overall,
        objectives,
        findings: findings::findings(measured, court.incomplete),
        invalid: court.invalid,
    }
}

/// The worst wins; a run in which nothing could be judged passes nothing.
fn overall(objectives: &[Judgement], invalid: bool, incomplete: bool) -> Overall {
    let each = objectives.iter().filter_map(|judgement| match judgement.verdict {
        Verdict::Met => Some(Overall::Met),
        Verdict::NotExercised => None,
        Verdict::Indeterminate => Some(Overall::Indeterminate),
        Verdict::Inconclusive => Some(Overall::Inconclusive),
        Verdict::Void => Some(Overall::Invalid),
        Verdict::Missed => Some(Overall::Missed),
    });
    let whole = invalid.then_some(Overall::Invalid).into_iter();
    let whole = whole.chain(incomplete.then_some(Overall::Inconclusive));
    each.chain(whole).max().unwrap_or(Overall::Inconclusive)
}

/// Why the run's numbers say nothing about its objectives.
fn invalid(measured: &Measured) -> Option<String> {
    let steady = &measured.steady;
    let what = if steady.since.is_none() { "there was no steady state" } else { "steady state was lost" };
    let lost = steady.lost.as_ref().map(|why| format!("{what}: {why}"));
    lost.or_else(|| measured.faults.iter().find_map(|fault| fault.invalid.clone()))
}

/// Why the run did not come to its end as planned.
fn incomplete(evidence: &Evidence, measured: &Measured) -> Option<String> {
    match &measured.ended {
        None => Some("the journal ends before the run does".to_owned()),
        Some(Ended::Refused { guard, why }) => Some(format!("the guard {guard} refused the start: {why}")),
        Some(Ended::Aborted { why }) => Some(format!("the run was aborted: {why}")),
        Some(Ended::Crashed { why }) => Some(format!("the run was stopped by {why}")),
        Some(Ended::Interrupted) => Some("the run was interrupted".to_owned()),
        Some(Ended::Completed) => evidence.gaps.first().map(|gap| format!("evidence is missing: {gap}")),
    }
}

/// A check of the stage `verify` that did not end well, or was never made: what it should have shown was not shown.
fn unchecked(plan: &Plan, measured: &Measured) -> Option<String> {
    let went_well = |id: &StepId| {
        measured
            .steps
            .iter()
            .any(|step| step.step == *id && step.outcome.as_ref().is_some_and(Outcome::is_ok))
    };
    let is_check = |step: &&Step| step.stage == Stage::Verify && matches!(step.action, Action::Check(_));
    let failed = plan.all_steps().filter(is_check).find(|step| !went_well(&step.id))?;
    Some(format!("the check {} did not show what it should", failed.id))
}

/// What an objective is judged with.
struct Court<'a> {
    plan: &'a Plan,
    measured: &'a Measured,
    people_acted: bool,
    incomplete: Option<String>,
    invalid: Option<String>,
}

/// A verdict before the run as a whole is looked at.
struct Opinion {
    verdict: Verdict,
    actual: Option<Actual>,
    records: Option<Records>,
    why: String,
}

impl Opinion {
    fn new(verdict: Verdict, why: impl ToString) -> Self {
        Self { verdict, actual: None, records: None, why: why.to_string() }
    }
}

impl Court<'_> {
    fn judgement(&self, objective: &Objective) -> Judgement {
        let service = self.measured.services.get(&objective.service);
        let opinion = match (objective.kind, service) {
            (ObjectiveKind::Rpa, _) => self.rpa(objective),
            (ObjectiveKind::Integrity, _) => self.integrity(objective),
            (ObjectiveKind::Response, _) => self.response(objective),
            (_, None) => Opinion::new(Verdict::Inconclusive, "the service was not measured"),
            (ObjectiveKind::Rta, Some(service)) => interrupted(
                objective,
                service,
                false,
                self.under_load(objective, rta(objective, &service.rta)),
            ),
            (ObjectiveKind::Failback, Some(service)) => {
                interrupted(objective, service, true, self.failback(objective, service))
            }
            (ObjectiveKind::Mtpd, Some(service)) => {
                interrupted(objective, service, false, mtpd(objective, service))
            }
            (ObjectiveKind::Exposure, Some(service)) => timed(objective.target, &service.exposure),
        };
        let Opinion { verdict, actual, records, why } = self.in_this_run(opinion, service);
        let by_people = match objective.kind {
            ObjectiveKind::Rta | ObjectiveKind::Mtpd | ObjectiveKind::Response => true,
            ObjectiveKind::Rpa
            | ObjectiveKind::Integrity
            | ObjectiveKind::Failback
            | ObjectiveKind::Exposure => false,
        };
        let prewarned = verdict == Verdict::Met && by_people && self.plan.announced && self.people_acted;
        Judgement { objective: objective.clone(), verdict, prewarned, actual, records, why }
    }

    /// An invalid run says nothing, but that a target was missed by a service that had been steady; one that came to no end, or was stopped
    /// before the service was impacted, meets nothing.
    fn in_this_run(&self, mut opinion: Opinion, service: Option<&ServiceMeasured>) -> Opinion {
        let stopped_before_it = match &self.measured.ended {
            None => true,
            Some(Ended::Completed) => false,
            Some(
                Ended::Aborted { .. } | Ended::Crashed { .. } | Ended::Interrupted | Ended::Refused { .. },
            ) => service.is_none_or(|service| {
                let happened = |moment| service.timeline.contains_key(&moment);
                !happened(Moment::Impacted) && !happened(Moment::FailbackStarted)
            }),
        };
        let steady = self.measured.steady.lost.is_none();
        match (&self.invalid, &self.incomplete, opinion.verdict) {
            (_, _, Verdict::NotExercised) => {}
            (Some(_), _, Verdict::Missed) if steady => {}
            (Some(why), ..) => {
                opinion.verdict = Verdict::Void;
                opinion.why = format!("the run is invalid: {why}");
            }
            (None, Some(why), Verdict::Met) if stopped_before_it => {
                opinion.verdict = Verdict::Inconclusive;
                opinion.why = why.clone();
            }
            (None, Some(_) | None, _) => {}
        }
        opinion
    }

    /// A service that must be restored under load is not shown to be by probes alone (I7).
    fn under_load(&self, objective: &Objective, opinion: Opinion) -> Opinion {
        let service = self.plan.service(&objective.service);
        match (opinion.verdict, service.and_then(|service| service.restored.load)) {
            (Verdict::Met, Some(load)) => {
                let why = format!("{}, but not shown under {load} of the peak load", opinion.why);
                Opinion { verdict: Verdict::Inconclusive, why, ..opinion }
            }
            _ => opinion,
        }
    }

    fn losses(&self, objective: &Objective) -> impl Iterator<Item = &Loss> {
        let (service, store) = (objective.service.clone(), objective.store.clone());
        self.measured
            .losses
            .iter()
            .filter(move |loss| store.as_ref().map_or(loss.service == service, |store| loss.store == *store))
    }

    /// The reading that stands for the recovery: the last before the way back that is not moot.
    fn recovered(&self, objective: &Objective) -> Option<&Loss> {
        self.losses(objective).filter(|loss| !loss.way_back && !loss.is_moot).last()
    }

    fn rpa(&self, objective: &Objective) -> Opinion {
        if objective.store.is_none() {
            return Opinion::new(Verdict::Inconclusive, "no ledger writes to a store of this service");
        }
        // Who went back before anything was read has the loss of both ways in the first reading after it.
        let Some(loss) = self.recovered(objective).or_else(|| self.losses(objective).next()) else {
            return Opinion::new(Verdict::Inconclusive, "the store was not read back");
        };
        let Records { exactly, at_most } = loss.records;
        let mut opinion = timed(objective.target, &loss.rpa);
        if !loss.is_read_whole {
            return opinion;
        }
        opinion.records = Some(loss.records);
        opinion.why =
            format!("{}; {} lost", opinion.why, number(exactly, "acknowledged write", ["was", "were"]));
        if at_most > exactly {
            let missing = number(at_most - exactly, "write", ["of unknown end is", "of unknown end are"]);
            opinion.why = format!("{}, and {missing} missing", opinion.why);
        }
        if loss.is_outdated {
            opinion.why = format!("{}; {OUTDATED}", opinion.why);
        }
        opinion
    }

    fn integrity(&self, objective: &Objective) -> Opinion {
        // Each write counts once, however often it was read; what was repaired before the last reading of the recovery is none.
        let (mut damaged, mut read) = (BTreeSet::new(), 0_u64);
        let mut unseen = None;
        let recovered = self.recovered(objective).map(|loss| loss.pass);
        let counts = |loss: &&Loss| loss.way_back || loss.is_moot || Some(loss.pass) == recovered;
        for loss in self.losses(objective).filter(counts) {
            let Loss { store, found, .. } = loss;
            let numbers = found.corrupt.iter().chain(&found.dual_accepted).chain(&found.resurrected);
            damaged.extend(numbers.map(|number| (store, *number)));
            read += loss.acknowledged;
            if loss.is_outdated {
                unseen = Some(OUTDATED.to_owned());
            }
            if let (Actual::Unseen { why, .. }, false, false) = (&loss.rpa, loss.is_read_whole, loss.is_moot)
            {
                unseen = Some(why.clone());
            }
        }
        let damaged = damaged.len() as u64;
        let records = Some(Records { exactly: damaged, at_most: damaged });
        let opinion = match (damaged, unseen, read) {
            (1.., ..) => Opinion::new(
                Verdict::Missed,
                format!(
                    "{} corrupt, accepted by two sides, or back after it was lost",
                    number(damaged, "write", ["is", "are"])
                ),
            ),
            (0, Some(why), _) => Opinion::new(Verdict::Inconclusive, why),
            (0, None, 0) => Opinion::new(Verdict::Inconclusive, "no acknowledged write was read back"),
            (0, None, _) => {
                Opinion::new(Verdict::Met, "nothing is corrupt, accepted by two sides, or back from the dead")
            }
        };
        Opinion { records, ..opinion }
    }

    fn response(&self, objective: &Objective) -> Opinion {
        let judged = self.measured.responses.iter().filter_map(|response| {
            let target = response.target.or(objective.target)?;
            let mut opinion = timed(Some(target), &response.took);
            let by = response.role.as_ref().map(|role| format!(" by {role}")).unwrap_or_default();
            let told = format!("{}{by} in the step {}", response.kind, response.step);
            let since = response.took.span().map(|_| format!(", counted from {}", response.since));
            opinion.why = format!("{told}{}: {}", since.unwrap_or_default(), opinion.why);
            Some(opinion)
        });
        // One that could not be timed stands for none that was.
        let worst = judged.max_by_key(|opinion| (opinion.verdict != Verdict::NotExercised, opinion.verdict));
        worst.unwrap_or_else(|| {
            Opinion::new(Verdict::NotExercised, "nobody was asked anything whose promised time came due")
        })
    }

    fn failback(&self, objective: &Objective, service: &ServiceMeasured) -> Opinion {
        let planned = self.plan.all_steps().any(|step| step.stage == Stage::Failback);
        if !planned {
            return Opinion::new(Verdict::NotExercised, "the drill has no failback");
        }
        let has_ledger = self.plan.ledgers.iter().any(|ledger| ledger.service == objective.service);
        let mut opinion = timed(objective.target, &service.failback.outage);
        opinion.records = service.failback.lost;
        let is_done = service.timeline.contains_key(&Moment::FailbackDone);
        match (service.failback.lost, opinion.verdict) {
            (_, Verdict::Missed) => {}
            (Some(Records { exactly: lost @ 1.., .. }), _) => {
                let data = self.lost_on_the_way_back(objective, lost);
                if data.verdict > opinion.verdict {
                    opinion.verdict = data.verdict;
                }
                opinion.why = format!("{}; {}", opinion.why, data.why);
                if !is_done && opinion.verdict < Verdict::Inconclusive {
                    opinion.verdict = Verdict::Inconclusive;
                    opinion.why = format!("{}; the failback did not come to its end", opinion.why);
                }
            }
            (_, _) if !is_done => {
                opinion.verdict = Verdict::Inconclusive;
                opinion.why = "the failback did not come to its end".to_owned();
            }
            (None, _) if has_ledger => {
                opinion.verdict = Verdict::Inconclusive;
                opinion.why = "the store was not read back whole before and after the failback".to_owned();
            }
            (None, _) if objective.rpo.is_some() && !has_ledger => {
                opinion.verdict = Verdict::Inconclusive;
                opinion.why = format!("{}; no ledger writes to a store of this service", opinion.why);
            }
            (Some(_) | None, _) => {}
        }
        opinion
    }

    /// Acknowledged writes were lost on the way back: how much of the time, against the failback's RPO. One without is a planned way back,
    /// which loses nothing.
    fn lost_on_the_way_back(&self, objective: &Objective, lost: u64) -> Opinion {
        let told = format!("{} lost on the way back", number(lost, "acknowledged write", ["was", "were"]));
        let allowed = objective.rpo.filter(|rpo| *rpo > Duration::ZERO);
        let loss = self.losses(objective).filter(|loss| loss.way_back && !loss.is_moot).last();
        let (Some(allowed), Some(loss)) = (allowed, loss) else { return Opinion::new(Verdict::Missed, told) };
        let opinion = timed(Some(allowed), &loss.rpa);
        Opinion { why: format!("{told}: {}", opinion.why), ..opinion }
    }
}

/// The origin that the objective names; where it did not happen, a service that is not back passes nothing.
fn rta(objective: &Objective, rta: &Rta) -> Opinion {
    let actual = rta.from(objective.origin);
    let back = rta.impact.span().is_some_and(|span| span.most.is_some());
    match actual {
        Actual::NotApplicable { why } if !back => Opinion {
            actual: Some(actual.clone()),
            ..Opinion::new(Verdict::Inconclusive, format!("{why}, and the service is not shown to be back"))
        },
        Actual::Took(_)
        | Actual::NotApplicable { .. }
        | Actual::NotExercised { .. }
        | Actual::Unseen { .. } => timed(objective.target, actual),
    }
}

/// Until the data was verified; a recovery that alone took too long is too long in a drill that verifies nothing as well.
fn mtpd(objective: &Objective, service: &ServiceMeasured) -> Opinion {
    let recovery = service.rta.impact.span().map(|span| Actual::Took(Span::at_least(span.least)));
    match (&service.mtpd, recovery.map(|actual| timed(objective.target, &actual))) {
        (Actual::NotExercised { .. }, Some(opinion)) if opinion.verdict == Verdict::Missed => opinion,
        (mtpd, _) => timed(objective.target, mtpd),
    }
}

/// A promise that holds for the outage alone is not kept where the service failed again, or took no writes, for longer than it allows:
/// the worst decides, and the longest of each sort is told. What belongs to the fault counts from where the promise does.
fn interrupted(
    objective: &Objective,
    service: &ServiceMeasured,
    way_back: bool,
    opinion: Opinion,
) -> Opinion {
    let of_this = service.interruptions.iter().filter(|one| one.way_back == way_back);
    let mut told = BTreeMap::new();
    for one in of_this {
        let each = match &one.rta {
            Some(times) => rta(objective, times),
            None => timed(objective.target, &one.took),
        };
        let took = each.actual.as_ref().and_then(Actual::span);
        let why = match (took, each.verdict) {
            (Some(span), Verdict::Met) => span.to_string(),
            _ => each.why,
        };
        let key = (each.verdict, took.map(|span| span.least));
        let words = words(one.what, one.rta.is_some().then_some(objective.origin), took);
        told.entry(words)
            .and_modify(|(known, told_why, times)| {
                *times += 1;
                if key > *known {
                    (*known, *told_why) = (key, why.clone());
                }
            })
            .or_insert((key, why, 1));
    }
    told.into_iter().fold(opinion, |opinion, (words, ((verdict, _), why, times))| {
        let worse =
            verdict != Verdict::NotExercised && verdict > opinion.verdict && objective.target.is_some();
        let verdict = if worse { verdict } else { opinion.verdict };
        let often = if times == 1 { String::new() } else { format!(", the worst of {times} times") };
        Opinion { verdict, why: format!("{}; {words} {why}{often}", opinion.why), ..opinion }
    })
}

/// What was interrupted, before its length or why nobody knows it; where it counts from an origin, before the time until it was over.
fn words(what: Interrupted, from: Option<Origin>, took: Option<Span>) -> String {
    let is_known = took.is_some();
    let origin = match from.filter(|_| is_known) {
        Some(Origin::Fault) => "the fault",
        Some(Origin::Impact) => "the first failure",
        Some(Origin::Declaration) => "the declaration",
        None => {
            let words = match (what, is_known) {
                (Interrupted::Recovered, true) => "it failed again for",
                (Interrupted::Recovered, false) => "it failed again:",
                (Interrupted::Writes, true) => "no write was acknowledged for",
                (Interrupted::Writes, false) => "no write was acknowledged for a while:",
                (Interrupted::Silent, true) => "nobody could see it for",
                (Interrupted::Silent, false) => "nobody could see it all the time:",
            };
            return words.to_owned();
        }
    };
    let ended = took.is_some_and(|span| span.most.is_some());
    let back = match (what, ended) {
        (Interrupted::Writes, true) => "writes were back after",
        (Interrupted::Writes, false) => "no write was acknowledged again for",
        (Interrupted::Recovered | Interrupted::Silent, true) => "it was back after",
        (Interrupted::Recovered | Interrupted::Silent, false) => "it was not back for",
    };
    format!("counted from {origin}, {back}")
}

/// A time against its target: met only if its upper bound lies within, missed only if its lower bound lies over it.
fn timed(target: Option<Duration>, actual: &Actual) -> Opinion {
    let (verdict, why) = match (actual, target) {
        (Actual::Unseen { why, at_least: Some(least) }, Some(target)) if *least > target => {
            (Verdict::Missed, format!("at least {least}, over the target of {target}; {why}"))
        }
        (Actual::Unseen { why, .. }, _) => (Verdict::Inconclusive, why.clone()),
        (Actual::NotExercised { why } | Actual::NotApplicable { why }, _) => {
            (Verdict::NotExercised, why.clone())
        }
        (Actual::Took(span), None) => (Verdict::NotExercised, format!("{span}; no time was promised")),
        (Actual::Took(span), Some(target)) => {
            let verdict = match span.most {
                Some(most) if most <= target => Verdict::Met,
                Some(_) | None if span.least > target => Verdict::Missed,
                Some(_) => Verdict::Indeterminate,
                None => Verdict::Inconclusive,
            };
            let relation = match verdict {
                Verdict::Met => "within",
                Verdict::Missed => "over",
                Verdict::Indeterminate => "around",
                Verdict::Inconclusive | Verdict::Void | Verdict::NotExercised => {
                    "without end, and not yet over"
                }
            };
            (verdict, format!("{span}, {relation} the target of {target}"))
        }
    };
    Opinion { verdict, actual: Some(actual.clone()), records: None, why }
}

/// `1 write was`, `2 writes were`: a number of things with what follows one and several.
fn number(count: u64, thing: &str, [one, several]: [&str; 2]) -> String {
    if count == 1 { format!("1 {thing} {one}") } else { format!("{count} {thing}s {several}") }
}

/// The exit code that a verdict asks for (DESIGN section 6).
pub fn exit_code(overall: Overall) -> u8 {
    match overall {
        Overall::Met => 0,
        Overall::Missed => 10,
        Overall::Indeterminate | Overall::Inconclusive => 11,
        Overall::Invalid => 12,
    }
}
