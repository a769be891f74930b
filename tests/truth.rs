//! A thousand rehearsals against the simulated truth: what is reported must hold what really happened, and be narrow.
//!
//! The truth is told by `Sandbox::truth`, which knows links, caches and stores, and nothing of probes, events or measurements; and by
//! an ear at the socket of the ledger's client, since whether a write was acknowledged is what its client got, whatever it makes of it.
//! All draws come from fixed seeds, so that what fails once fails again; two threads, a runtime each. `cargo test --release --test
//! truth`: without optimisation it takes minutes.

#![expect(clippy::unwrap_used, reason = "a test may")]

#[path = "truth/documents.rs"]
mod documents;
#[path = "truth/ear.rs"]
mod ear;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex};

use documents::Draw;
use drillmaster::cli::rehearsal::{Rehearsal, runtime};
use drillmaster::engine::{self, Shown, Watcher};
use drillmaster::journal::Memory;
use drillmaster::measure::{Actual, Measured, Moment, measure};
use drillmaster::model::event::What;
use drillmaster::model::evidence::Evidence;
use drillmaster::model::target::{ObjectiveKind, Verdict};
use drillmaster::model::time::{At, Duration, Interval, Span};
use drillmaster::sandbox::truth::{LedgerTruth, Truth};
use drillmaster::verdict::judge;
use drillmaster::world::watch;
use ear::Heard;

const REHEARSALS: u64 = 1_000;
const THROUGH_AN_INGRESS: u64 = 60;
const THREADS: u64 = 2;
const VANTAGES: [&str; 2] = ["outside", "west"];

/// What really happened.
#[derive(Debug, Clone)]
struct Happened {
    failed: At,
    restored: At,
    /// Acknowledged to the client, and missing in what serves.
    lost: BTreeSet<u64>,
    /// Stored by a node that took them, and missing, while no acknowledgement reached the client.
    unanswered: BTreeSet<u64>,
}

impl Happened {
    /// From the truth and what reached the client's own socket, at the instant of the read-back.
    fn of(truth: &Truth, heard: &Heard, lasting: Duration) -> Happened {
        let (acknowledged, gone) = (heard.acknowledged(), gone(&truth.ledgers()));
        let mut happened = Happened {
            failed: At(i64::MAX),
            restored: At(i64::MIN),
            lost: &gone & &acknowledged,
            unanswered: &gone - &acknowledged,
        };
        for vantage in VANTAGES {
            let (failed, restored) = outage(&truth.served(&vantage.into(), "orders.shop.example"), lasting);
            happened.failed = happened.failed.min(failed);
            happened.restored = happened.restored.max(restored);
        }
        happened
    }

    fn took(&self) -> Duration {
        self.restored.since(self.failed)
    }
}

/// The first failure of one vantage, and the first instant after it since which it was served for as long as the clause asks.
fn outage(served: &[(At, bool)], lasting: Duration) -> (At, At) {
    let down = served.iter().position(|(_, serves)| !serves).unwrap();
    let until = |index: usize| served.get(index + 1).map_or(At(i64::MAX), |(at, _)| *at);
    let up = (down..served.len())
        .find(|index| served[*index].1 && until(*index).since(served[*index].0) >= lasting);
    (served[down].0, served[up.unwrap()].0)
}

/// What some node took and what serves no longer has.
fn gone(ledgers: &[LedgerTruth]) -> BTreeSet<u64> {
    let west = ledgers.iter().find(|ledger| ledger.region == "west".into()).unwrap();
    let present: BTreeSet<u64> = west.present.iter().map(|taken| taken.number).collect();
    let accepted = ledgers.iter().flat_map(|ledger| &ledger.accepted).map(|taken| taken.number);
    accepted.filter(|number| !present.contains(number)).collect()
}

/// One rehearsal: what was reported, beside what happened.
#[derive(Debug, Clone)]
struct Outcome {
    draw: Draw,
    happened: Happened,
    impacted: Interval,
    restored: Interval,
    rta: Span,
    /// What else the same target judges: how long from the impact until writes were back, and how long the service failed again.
    interrupted: Vec<Span>,
    lost: BTreeSet<u64>,
    unknown_missing: BTreeSet<u64>,
    /// What the verdicts say of targets below, inside, at the end of and above the interval.
    verdicts: Vec<(&'static str, Duration, Verdict)>,
}

fn rehearse(draw: Draw) -> Outcome {
    let seed = draw.seed;
    let folder = tempfile::tempdir().unwrap();
    let inputs = draw.inputs(folder.path());
    let sink = Arc::new(Mutex::new(Memory::default()));
    let told = Arc::new(Mutex::new(None));
    let (telling, lasting) = (told.clone(), Duration::from_millis(draw.lasting));
    runtime().unwrap().block_on(async {
        let rehearsal = Rehearsal::prepare(&inputs, seed, 0).await.unwrap();
        let (truth, heard) = (rehearsal.sandbox.truth(), Heard::default());
        let mut world = rehearsal.sandbox.world();
        heard.listen(&mut world, &rehearsal.plan.ledgers[0].from);
        let watcher: Watcher = Box::new(move |_, shown| {
            if let Shown::Event(event) = shown
                && matches!(event.what, What::ReadBack { pass: 1, .. })
            {
                *telling.lock().unwrap() = Some(Happened::of(&truth, &heard, lasting));
            }
        });
        let (_sender, interrupted) = watch::channel(false);
        let (plan, head) = (rehearsal.plan.clone(), rehearsal.head.clone());
        engine::run(world, plan, head, sink.clone(), watcher, interrupted).await;
    });
    let happened = told.lock().unwrap().clone().unwrap_or_else(|| panic!("{draw:?}: not read back"));
    let evidence = sink.lock().unwrap().evidence();
    let measured = measure(&evidence);
    reported(draw, happened, &evidence, &measured)
}

fn reported(draw: Draw, happened: Happened, evidence: &Evidence, measured: &Measured) -> Outcome {
    let service = &measured.services["orders"];
    let Actual::Took(rta) = &service.rta.impact else { panic!("{draw:?}: {:?}", service.rta.impact) };
    let interruptions = service.interruptions.iter().filter(|one| !one.way_back);
    let found = &measured.losses[0].found;
    let at = |moment| service.timeline[&moment].at;
    Outcome {
        impacted: at(Moment::Impacted),
        restored: at(Moment::Restored),
        rta: *rta,
        interrupted: interruptions
            .filter_map(|one| one.rta.as_ref().map_or(&one.took, |rta| &rta.impact).span())
            .collect(),
        lost: found.lost.iter().copied().collect(),
        unknown_missing: found.unknown_missing.iter().copied().collect(),
        verdicts: verdicts(&draw, evidence, measured, *rta),
        draw,
        happened,
    }
}

/// Judges the same evidence with other targets.
fn verdicts(
    draw: &Draw,
    evidence: &Evidence,
    measured: &Measured,
    rta: Span,
) -> Vec<(&'static str, Duration, Verdict)> {
    let mut random = fastrand::Rng::with_seed(draw.seed ^ 0x7a76e7);
    let (least, most) = (rta.least.nanos(), rta.most.unwrap().nanos());
    let targets = [
        ("below", random.i64(1..least)),
        ("inside", random.i64(least..most)),
        ("at its least", least),
        ("at its most", most),
        ("above", random.i64(most..2 * most)),
    ];
    let mut evidence = evidence.clone();
    targets
        .into_iter()
        .map(|(place, target)| {
            let target = Duration::from_nanos(u64::try_from(target).unwrap());
            let What::RunStarted { plan, .. } = &mut evidence.events[0].what else { unreachable!() };
            let mut objectives = plan.objectives.iter_mut();
            objectives.find(|one| one.kind == ObjectiveKind::Rta).unwrap().target = Some(target);
            let judged = judge(&evidence, measured);
            let mut judgements = judged.objectives.iter();
            let rta = judgements.find(|one| one.objective.kind == ObjectiveKind::Rta).unwrap();
            (place, target, rta.verdict)
        })
        .collect()
}

/// Why an outcome is not as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Violation {
    TruthBeforeBegin,
    TruthAfterBegin,
    TruthBeforeEnd,
    TruthAfterEnd,
    TruthOutsideInterval,
    OriginTooWide,
    TooWide,
    LostOthers,
    UnansweredUntold,
    Verdict,
}

impl Outcome {
    /// Everything that is wrong with it.
    fn violations(&self) -> Vec<Violation> {
        let Outcome { happened, impacted, restored, .. } = self;
        let unit = Duration::from_millis(self.draw.period + self.draw.timeout);
        let width = self.rta.width().unwrap();
        let verdict = |(place, target, verdict): &(&str, Duration, Verdict)| {
            let of_probes = match *place {
                "below" => Verdict::Missed,
                "inside" | "at its least" => Verdict::Indeterminate,
                _ => Verdict::Met,
            };
            let spans = self.interrupted.iter().filter(|span| span.most.is_none_or(|most| most > *target));
            let over = spans.clone().any(|span| span.least > *target);
            let as_expected = match (of_probes, spans.count()) {
                (of_probes, 0) => *verdict == of_probes,
                _ if over => *verdict == Verdict::Missed,
                (Verdict::Missed, _) => *verdict == Verdict::Missed,
                _ => *verdict == Verdict::Indeterminate,
            };
            let untrue = (*verdict == Verdict::Met && happened.took() > *target)
                || (*verdict == Verdict::Missed && happened.took() <= *target);
            !as_expected || untrue
        };
        [
            (happened.failed < impacted.earliest, Violation::TruthBeforeBegin),
            (happened.failed > impacted.latest, Violation::TruthAfterBegin),
            (happened.restored < restored.earliest, Violation::TruthBeforeEnd),
            (happened.restored > restored.latest, Violation::TruthAfterEnd),
            (!self.rta.contains(happened.took()), Violation::TruthOutsideInterval),
            (impacted.width() > unit, Violation::OriginTooWide),
            (width > unit.plus(impacted.width()), Violation::TooWide),
            (happened.lost != self.lost, Violation::LostOthers),
            (!happened.unanswered.is_subset(&self.unknown_missing), Violation::UnansweredUntold),
            (self.verdicts.iter().any(verdict), Violation::Verdict),
        ]
        .into_iter()
        .filter_map(|(is, violation)| is.then_some(violation))
        .collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Happened { failed, restored, lost, unanswered } = &self.happened;
        writeln!(f, "{:?}", self.draw)?;
        writeln!(f, "failed {failed:?} in {:?}", self.impacted)?;
        writeln!(f, "restored {restored:?} in {:?}", self.restored)?;
        writeln!(
            f,
            "lost {lost:?} and {unanswered:?}\nreported {:?} and {:?}",
            self.lost, self.unknown_missing
        )?;
        write!(f, "{:?}", self.verdicts)
    }
}

static OUTCOMES: LazyLock<Vec<Outcome>> = LazyLock::new(|| {
    let share = |thread: u64| {
        move || {
            (0..REHEARSALS)
                .filter(|seed| seed % THREADS == thread)
                .map(Draw::new)
                .map(rehearse)
                .collect::<Vec<_>>()
        }
    };
    let threads: Vec<_> = (0..THREADS).map(|thread| std::thread::spawn(share(thread))).collect();
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
});

#[test]
fn a_thousand_rehearsals_report_what_really_happened() {
    check(&OUTCOMES);
}

#[test]
fn rehearsals_through_an_ingress_report_what_really_happened() {
    let draws = (0..THROUGH_AN_INGRESS).map(Draw::through_an_ingress);
    check(&draws.map(rehearse).collect::<Vec<_>>());
}

/// None is wrong, and most lost enough.
fn check(outcomes: &[Outcome]) {
    let wrong: Vec<_> = outcomes
        .iter()
        .map(|outcome| (outcome, outcome.violations()))
        .filter(|(_, all)| !all.is_empty())
        .collect();
    let mut counts: BTreeMap<Violation, usize> = BTreeMap::new();
    for violation in wrong.iter().flat_map(|(_, violations)| violations) {
        *counts.entry(*violation).or_default() += 1;
    }
    if let Some((outcome, _)) = wrong.first() {
        panic!("{} of {} are wrong, {counts:?}, the first:\n{outcome}", wrong.len(), outcomes.len());
    }
    let many = outcomes.iter().filter(|outcome| outcome.happened.lost.len() >= 20).count();
    assert!(2 * many >= outcomes.len(), "only {many} runs lost twenty records");
}

type Shift = fn(&mut Outcome, Duration);

#[test]
fn shifting_any_bound_by_one_period_is_noticed() {
    let shifts: [(&str, Violation, Shift); 6] = [
        ("impacted, from below", Violation::TruthBeforeBegin, |it, by| {
            it.impacted.earliest = it.impacted.earliest.plus(by);
        }),
        ("impacted, from above", Violation::TruthAfterBegin, |it, by| {
            it.impacted.latest = it.impacted.latest.minus(by);
        }),
        ("restored, from below", Violation::TruthBeforeEnd, |it, by| {
            it.restored.earliest = it.restored.earliest.plus(by);
        }),
        ("restored, from above", Violation::TruthAfterEnd, |it, by| {
            it.restored.latest = it.restored.latest.minus(by);
        }),
        ("the recovery time, from below", Violation::TruthOutsideInterval, |it, by| {
            it.rta.least = it.rta.least.plus(by);
        }),
        ("the recovery time, from above", Violation::TruthOutsideInterval, |it, by| {
            it.rta.most = it.rta.most.map(|most| most.minus(by));
        }),
    ];
    for (what, expected, shift) in shifts {
        let noticed = OUTCOMES.iter().filter(|outcome| {
            let mut shifted = (*outcome).clone();
            shift(&mut shifted, Duration::from_millis(outcome.draw.period));
            shifted.violations().contains(&expected)
        });
        let noticed = noticed.count();
        println!("{what}: noticed in {noticed} runs");
        assert!(noticed >= OUTCOMES.len() / 50, "{what}: noticed in {noticed} runs only");
    }
}
