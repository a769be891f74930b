//! A small run made by hand, for the tests of reports and runbooks: checkout fails over to west and loses some writes.

use std::collections::BTreeMap;

use serde_json::json;

use crate::measure::{
    self, Actual, Checked, FaultShown, Loss, Mark, Measured, Moment, Records, Series, ServiceMeasured,
};
use crate::model::event::{Ended, Event, Outcome, Said, What};
use crate::model::evidence::Evidence;
use crate::model::name::{Name, StepId};
use crate::model::plan::{self, Action, OnTimeout, Plan, Stage, Wait};
use crate::model::sample::{Failure, Sample, Seen, Stages, Write, WriteSeen};
use crate::model::target::{Objective, ObjectiveKind, Origin, Overall, Verdict};
use crate::model::time::{At, Duration, Interval, Span};
use crate::verdict::{Judged, Judgement};

pub fn at(seconds: f64) -> At {
    At((seconds * 1e3).round() as i64 * 1_000_000)
}

fn length(seconds: f64) -> Duration {
    Duration::from_millis((seconds * 1e3).round() as u64)
}

fn between(a: f64, b: f64) -> Interval {
    Interval::between(at(a), at(b))
}

fn span(least: f64, most: f64) -> Span {
    Span { least: length(least), most: Some(length(most)) }
}

fn step(id: &str, stage: Stage, runbook: Option<&str>, budget: Option<f64>, action: Action) -> plan::Step {
    plan::Step {
        id: id.into(),
        stage,
        title: None,
        role: None,
        runbook: runbook.map(str::to_owned),
        budget: budget.map(length),
        timeout: length(600.0),
        on_timeout: OnTimeout::Finding,
        action,
    }
}

fn recover(kind: &str, region: &str, moves_authority: bool) -> Action {
    Action::Recover { recover: json!({kind: {}}), region: region.into(), moves_authority }
}

/// The steps, with their begin and end.
fn steps() -> Vec<(plan::Step, Option<(f64, f64)>)> {
    let proof =
        plan::Proof { by: plan::ProofBy::Objects, within: length(20.0), until: plan::ProofUntil::Restored };
    let fault = Action::Fault { fault: json!({"isolate": {}}), region: "east".into(), proof };
    let declare = Action::Declare { role: "duty-manager".into(), escalation: Vec::new() };
    vec![
        (step("lose-east", Stage::Inject, None, None, fault), Some((60.0, 60.2))),
        (
            step(
                "alert",
                Stage::Detect,
                Some("#the-alert"),
                Some(120.0),
                Action::Wait(Wait::Alert("CheckoutDown".into())),
            ),
            Some((60.2, 130.7)),
        ),
        (step("declare", Stage::Declare, Some("#declare"), Some(240.0), declare), Some((130.7, 243.1))),
        (
            step(
                "promote-west",
                Stage::Failover,
                Some("#promote-the-database"),
                Some(120.0),
                recover("promote", "west", true),
            ),
            Some((243.1, 264.4)),
        ),
        (
            step(
                "traffic-west",
                Stage::Failover,
                Some("#switch-traffic"),
                Some(20.0),
                recover("dnsSwitch", "west", false),
            ),
            Some((264.4, 301.9)),
        ),
        (
            step("hold", Stage::Operate, None, None, Action::Wait(Wait::Duration(length(300.0)))),
            Some((320.0, 620.0)),
        ),
        (
            step("east-back", Stage::Failback, None, None, Action::RemoveFault { step: "lose-east".into() }),
            Some((620.0, 640.5)),
        ),
        (step("traffic-east", Stage::Failback, None, Some(60.0), recover("dnsSwitch", "east", false)), None),
    ]
}

fn plan() -> Plan {
    let probe = |id: &str, from: &[&str], every| plan::Probe {
        id: id.into(),
        service: (id == "checkout").then(|| "checkout".into()),
        control: false,
        every: length(every),
        timeout: length(1.0),
        from: from.iter().map(|from| (*from).into()).collect(),
        fresh_every: 1,
        ask: json!({"http": {}}),
    };
    Plan {
        drill: "checkout-region-failover".into(),
        purpose: "Checkout survives the loss of east within its targets.".to_owned(),
        drill_type: plan::DrillType::Full,
        announced: true,
        absent: vec!["crisis-director".into()],
        lost: Some("east".into()),
        takes_over: Some("west".into()),
        regions: vec!["east".into(), "west".into()],
        namespaces: vec!["shop".into()],
        services: Vec::new(),
        objectives: Vec::new(),
        severity: None,
        expectations: vec!["Sessions survive".to_owned(), "Orders stay in order".to_owned()],
        probes: vec![probe("checkout", &["outside", "west"], 0.5), probe("east-direct", &["outside"], 0.5)],
        ledgers: Vec::new(),
        steady_state: length(30.0),
        limits: plan::Limits { max_duration: length(7200.0), abort_when: Vec::new() },
        steps: steps().into_iter().map(|(step, _)| step).collect(),
        point_of_no_return: Some("promote-west".into()),
        authorities: Vec::new(),
        whole: Vec::new(),
        ladder: Vec::new(),
        longest: plan::LongestPath::default(),
        blast_radius: Vec::new(),
        runbook: Some("runbooks/checkout-failover.md".to_owned()),
    }
}

fn samples(down_from: f64, down_to: f64) -> Vec<Sample> {
    let sample = |i: i32| {
        let sent = f64::from(i) * 0.5;
        let down = (down_from..down_to).contains(&sent);
        Sample {
            scheduled: at(sent),
            sent: at(sent),
            completed: at(if down { sent + 1.0 } else { sent + 0.012 }),
            seen: match down {
                true => Seen::Failed(Failure::Timeout),
                false if (700..706).contains(&i) => Seen::Gap,
                false => Seen::Ok,
            },
            address: None,
            answered_by: None,
            stages: Stages::default(),
        }
    };
    (0..1320).map(sample).collect()
}

fn writes() -> Vec<Write> {
    let write = |number: u64| {
        let sent = number as f64 * 0.2;
        let seen = match sent {
            sent if (60.1..302.0).contains(&sent) => WriteSeen::Unknown(Failure::Timeout),
            sent => WriteSeen::Ok { epoch: if sent < 100.0 { 1 } else { 2 } },
        };
        Write { number, scheduled: at(sent), sent: at(sent), completed: at(sent + 0.02), seen, address: None }
    };
    (1..3300).map(write).collect()
}

/// What the run left.
pub fn evidence() -> Evidence {
    let mut events = vec![(
        0.0,
        What::RunStarted {
            journal: 0,
            version: "0.1.0".to_owned(),
            run: "7c1f0a9e52b44d10".into(),
            rehearsal: true,
            wall_unix_ns: 1_767_225_600_000_000_000,
            seed: Some(42),
            inputs: BTreeMap::from([
                ("checkout.yaml".to_owned(), "ab".repeat(32).into()),
                ("catalogue.yaml".to_owned(), "cd".repeat(32).into()),
            ]),
            plan: Box::new(plan()),
        },
    )];
    events.push((
        0.1,
        What::Guarded { guard: "steady-state".into(), outcome: Outcome::Ok, overridden_by: None },
    ));
    let no_ticket = Outcome::failed("no change ticket");
    events.push((
        0.1,
        What::Guarded {
            guard: "change-window".into(),
            outcome: no_ticket,
            overridden_by: Some("ops".into()),
        },
    ));
    events.push((
        8.0,
        What::Calibrated {
            vantage: None,
            truth: span(2.0, 2.0),
            measured: span(1.9, 2.6),
            outcome: Outcome::Ok,
        },
    ));
    for (step, times) in steps() {
        if let Some((from, to)) = times {
            events.push((from, What::StepStarted { step: step.id.clone() }));
            events.push((to, What::StepEnded { step: step.id, outcome: Outcome::Ok }));
        }
    }
    let said = What::Said {
        step: Some("declare".into()),
        role: "duty-manager".into(),
        who: "Simulated Sam".into(),
        simulated: true,
        said: Said::Declared,
        text: "east is gone".to_owned(),
    };
    events.push((243.0, said));
    events.push((
        650.0,
        What::Held { step: "traffic-east".into(), why: "the record did not change".to_owned() },
    ));
    events.push((660.0, What::RunEnded { how: Ended::Completed }));
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    let numbered = events.into_iter().enumerate();
    Evidence {
        events: numbered.map(|(seq, (when, what))| Event { seq: seq as u64, at: at(when), what }).collect(),
        samples: BTreeMap::from([
            (("checkout".into(), "outside".into()), samples(60.2, 301.5)),
            (("checkout".into(), "west".into()), samples(60.2, 297.0)),
            (("east-direct".into(), "outside".into()), samples(60.2, 639.0)),
        ]),
        writes: BTreeMap::from([("orders-postgres".into(), writes())]),
        reads: BTreeMap::new(),
        gaps: Vec::new(),
    }
}

fn service() -> ServiceMeasured {
    let mark = |from, to, source: &str, prewarned| Mark {
        at: between(from, to),
        source: source.to_owned(),
        prewarned,
    };
    let phase = |name: &str, from, to, begin: f64, end: f64| measure::Phase {
        name: name.into(),
        from,
        to,
        took: Some(measure::PhaseTook {
            begin: between(begin, begin + 0.5),
            end: between(end, end + 0.5),
            span: span(end - begin - 0.5, end - begin + 0.5),
            middle: length(end - begin),
        }),
        open: None,
        prewarned: name == "decision",
    };
    ServiceMeasured {
        timeline: BTreeMap::from([
            (Moment::FaultRequested, mark(60.0, 60.0, "event 5", false)),
            (Moment::FaultEffective, mark(60.0, 61.0, "probe east-direct from outside", false)),
            (Moment::Impacted, mark(60.0, 61.5, "probe checkout from outside", false)),
            (Moment::Detected, mark(130.7, 130.7, "event 8", false)),
            (Moment::Declared, mark(243.0, 243.0, "event 10", true)),
            (Moment::FailoverStarted, mark(243.1, 243.1, "event 12", false)),
            (Moment::FirstSuccess, mark(296.5, 297.0, "probe checkout from west", false)),
            (Moment::Restored, mark(301.0, 301.6, "probe checkout from outside", false)),
            (Moment::FaultRemoved, mark(640.5, 640.5, "event 17", false)),
        ]),
        rta: measure::Rta {
            fault: Actual::Took(span(240.0, 241.6)),
            impact: Actual::Took(span(239.5, 241.6)),
            declaration: Actual::Took(span(58.0, 58.6)),
        },
        phases: vec![
            phase("detection", Moment::Impacted, Moment::Detected, 60.5, 130.7),
            phase("decision", Moment::Detected, Moment::Declared, 130.7, 243.0),
            phase("recovery", Moment::FailoverStarted, Moment::Restored, 243.1, 301.3),
            measure::Phase {
                name: "verification".into(),
                from: Moment::Restored,
                to: Moment::DataVerified,
                took: None,
                open: None,
                prewarned: false,
            },
        ],
        failback: measure::Failback {
            outage: Actual::Took(span(0.0, 1.5)),
            begin: None,
            end: None,
            lost: None,
        },
        interruptions: vec![],
        mtpd: Actual::unseen("the data was never verified"),
        exposure: Actual::Took(Span::at_least(length(416.9))),
        latency: ["before", "during", "after"]
            .map(|phase| measure::Latency {
                phase: phase.into(),
                answers: if phase == "during" { 0 } else { 120 },
                p50: (phase != "during").then(|| length(0.012)),
                p99: (phase != "during").then(|| length(0.03)),
            })
            .to_vec(),
        blind: Vec::new(),
        flaps: 1,
    }
}

/// What it measured.
#[expect(clippy::too_many_lines, reason = "it is one value, written out")]
pub fn measured() -> Measured {
    let series = |probe: &str, vantage: &str, failures| Series {
        probe: probe.into(),
        vantage: vantage.into(),
        service: (probe == "checkout").then(|| "checkout".into()),
        outages: Vec::new(),
        samples: 1320,
        failures,
        by_class: BTreeMap::from([(Failure::Timeout, failures)]),
        gaps: 6,
        strays: 0,
    };
    let stage = |stage| {
        let times = || {
            steps().into_iter().filter(move |(step, _)| step.stage == stage).filter_map(|(_, times)| times)
        };
        let from = times().map(|times| times.0).reduce(f64::min)?;
        let to = times().map(|times| times.1).reduce(f64::max)?;
        Some(span(to - from, to - from))
    };
    let step = |(step, times): (plan::Step, Option<(f64, f64)>)| measure::StepMeasured {
        step: step.id.clone(),
        stage: step.stage,
        started: times.map(|times| at(times.0)),
        ended: times.map(|times| at(times.1)),
        outcome: times.map(|_| Outcome::Ok),
        took: times.map(|(from, to)| at(to).since(at(from))),
        budget: step.budget,
        timed_out: false,
        held: u32::from(step.id == StepId::from("traffic-east")),
        by_hand: false,
    };
    Measured {
        services: BTreeMap::from([("checkout".into(), service())]),
        losses: vec![Loss {
            service: "checkout".into(),
            store: "orders-postgres".into(),
            way_back: false,
            pass: 1,
            answered_by: "west".into(),
            is_read_whole: true,
            is_moot: false,
            is_outdated: false,
            acknowledged: 2089,
            refused: 0,
            unknown: 1210,
            found: Checked {
                lost: (290..300).collect(),
                unknown_missing: (301..330).collect(),
                ..Checked::default()
            },
            records: Records { exactly: 10, at_most: 39 },
            rpa: Actual::Took(span(2.02, 3.48)),
            removed: Some(Outcome::Ok),
        }],
        faults: vec![FaultShown {
            step: "lose-east".into(),
            requested: Some(between(60.0, 60.0)),
            effective: Some(between(60.0, 61.0)),
            gone: Some(between(638.5, 640.5)),
            owed_until: Some(at(301.6)),
            invalid: None,
            source: "probe east-direct from outside".to_owned(),
        }],
        series: vec![
            series("checkout", "outside", 483),
            series("checkout", "west", 474),
            series("east-direct", "outside", 1158),
        ],
        steady: measure::Steady { since: Some(at(30.0)), lost: None },
        stages: Stage::ALL
            .into_iter()
            .map(|of| measure::StageMeasured { stage: of, took: stage(of), budget: None })
            .collect(),
        steps: steps().into_iter().map(step).collect(),
        responses: vec![measure::Response {
            step: "declare".into(),
            kind: "declare".into(),
            role: Some("duty-manager".into()),
            who: Some("Simulated Sam".into()),
            simulated: true,
            took: Actual::Took(span(112.3, 112.3)),
            since: "the step's first page".to_owned(),
            target: Some(length(240.0)),
        }],
        excluded: Vec::new(),
        findings: vec![measure::Finding {
            about: "traffic-east".into(),
            what: "the step was not executed".to_owned(),
            region: Some("east".into()),
        }],
        announced: true,
        ended: Some(Ended::Completed),
        elapsed: at(660.0),
    }
}

/// How it was judged.
pub fn judged() -> Judged {
    let judgement = |kind, target: Option<f64>, actual: Option<Actual>, verdict, why: &str| Judgement {
        objective: Objective {
            service: "checkout".into(),
            kind,
            target: target.map(length),
            origin: Origin::Impact,
            store: (kind == ObjectiveKind::Rpa).then(|| Name::from("orders-postgres")),
            rpo: (kind == ObjectiveKind::Failback).then_some(Duration::ZERO),
            lost: Some("east".into()),
        },
        verdict,
        prewarned: kind == ObjectiveKind::Rta,
        actual,
        records: match kind {
            ObjectiveKind::Rpa => Some(Records { exactly: 10, at_most: 39 }),
            ObjectiveKind::Integrity => Some(Records::default()),
            _ => None,
        },
        why: why.to_owned(),
    };
    let took = |least, most| Some(Actual::Took(span(least, most)));
    Judged {
        overall: Overall::Missed,
        objectives: vec![
            judgement(
                ObjectiveKind::Rta,
                Some(300.0),
                took(239.5, 241.6),
                Verdict::Met,
                "the upper bound lies within the target",
            ),
            judgement(
                ObjectiveKind::Rpa,
                Some(1.0),
                took(2.02, 3.48),
                Verdict::Missed,
                "the lower bound lies over the target",
            ),
            judgement(
                ObjectiveKind::Integrity,
                None,
                None,
                Verdict::Met,
                "nothing was corrupt, accepted twice or resurrected",
            ),
            judgement(
                ObjectiveKind::Failback,
                Some(1.0),
                took(0.0, 1.5),
                Verdict::Indeterminate,
                "the target lies inside the interval",
            ),
            judgement(
                ObjectiveKind::Mtpd,
                Some(900.0),
                Some(Actual::unseen("the data was never verified")),
                Verdict::Inconclusive,
                "the data was never verified",
            ),
            judgement(
                ObjectiveKind::Exposure,
                Some(300.0),
                Some(Actual::Took(Span::at_least(length(416.9)))),
                Verdict::Missed,
                "redundancy was never restored",
            ),
        ],
        invalid: None,
        findings: Vec::new(),
    }
}
