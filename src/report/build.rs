//! From what was measured and judged to the view: the run, its verdict in words, its promises, its services.
//!
//! Pure, and it decides nothing: verdicts and intervals come as they are. What happened step by step is the file `story`, what
//! probes and ledgers saw the file `rows`.

use super::chart::{Window, gauge};
use super::view::{
    FromOrigin, Headline, Input, Instant, Lasted, Latency, Length, Objective, Outstanding, Phase, Run,
    Service, View,
};
use super::{actions, rows, story, words};
use crate::measure::{Actual, Finding, Interrupted, Interruption, Measured, ServiceMeasured};
use crate::model::event::{Ended, What};
use crate::model::evidence::{Evidence, Header};
use crate::model::name::Name;
use crate::model::target::{ObjectiveKind, Origin, Overall, Verdict};
use crate::model::time::{At, Duration};
use crate::verdict::{Judged, Judgement};

/// The view of a run.
pub fn view(evidence: &Evidence, measured: &Measured, judged: &Judged) -> View {
    let window = Window { from: At(0), to: run_end(evidence).max(At(1)) };
    let objectives: Vec<Objective> = judged.objectives.iter().map(objective).collect();
    let run = run(evidence, measured);
    let mut view = View {
        schema: super::view::SCHEMA,
        verdict: headline(&run, measured, judged),
        run,
        objectives,
        actions: Vec::new(),
        services: measured
            .services
            .iter()
            .map(|(name, service)| self::service(name, service, window))
            .collect(),
        stages: story::stages(measured, window),
        steps: story::steps(evidence, measured, window),
        responses: story::responses(measured),
        people: story::people(evidence),
        proofs: story::proofs(measured),
        ledgers: rows::ledgers(evidence, measured, window),
        probes: rows::probes(evidence, measured, window),
        guards: story::guards(evidence),
        calibration: story::calibration(evidence),
        findings: findings(measured.findings.iter().chain(&judged.findings)),
        deviations: story::deviations(evidence),
        outstanding: outstanding(evidence),
        expectations: evidence.header().map(|header| header.plan.expectations.clone()).unwrap_or_default(),
        method: method(evidence),
        inputs: inputs(evidence),
        ticks: window.ticks(),
    };
    view.actions = actions::owed(&view, judged);
    view
}

/// The instant at which the run was over; healing and signing off may follow days later.
fn run_end(evidence: &Evidence) -> At {
    let ended = evidence.events.iter().find(|event| matches!(event.what, What::RunEnded { .. }));
    ended.map_or(evidence.end(), |event| event.at)
}

fn run(evidence: &Evidence, measured: &Measured) -> Run {
    let end = run_end(evidence);
    let (how, why) = match &measured.ended {
        None => ("incomplete", Some("the journal ends before the run does".to_owned())),
        Some(Ended::Completed) => ("completed", None),
        Some(Ended::Refused { guard, why }) => ("refused", Some(format!("the guard {guard}: {why}"))),
        Some(Ended::Aborted { why }) => ("aborted", Some(why.clone())),
        Some(Ended::Crashed { why }) => ("crashed", Some(why.clone())),
        Some(Ended::Interrupted) => ("interrupted", None),
    };
    let header = evidence.header();
    let plan = header.map(|header| header.plan);
    let of = |text: fn(&Header<'_>) -> String| header.as_ref().map(text).unwrap_or_default();
    let wall = |at: At| header.map(|h| words::wall(h.wall_unix_ns.saturating_add(at.0))).unwrap_or_default();
    Run {
        id: of(|header| header.run.to_string()),
        drill: of(|header| header.plan.drill.to_string()),
        purpose: of(|header| header.plan.purpose.clone()),
        drill_type: plan.map(|plan| story::word(&plan.drill_type)).unwrap_or_default(),
        announced: plan.is_some_and(|plan| plan.announced),
        rehearsal: header.is_some_and(|header| header.rehearsal),
        seed: header.and_then(|header| header.seed).map(|seed| seed.to_string()),
        version: of(|header| header.version.to_owned()),
        started: wall(At(0)),
        ended: wall(end),
        lasted: end.since(At(0)).into(),
        complete: evidence.is_complete(),
        how: how.to_owned(),
        why,
        lost: plan.and_then(|plan| plan.lost.as_ref()).map(ToString::to_string),
        takes_over: plan.and_then(|plan| plan.takes_over.as_ref()).map(ToString::to_string),
        absent: plan.map(|plan| plan.absent.iter().map(ToString::to_string).collect()).unwrap_or_default(),
        gaps: evidence.gaps.clone(),
    }
}

fn headline(run: &Run, measured: &Measured, judged: &Judged) -> Headline {
    let judged_word = match judged.overall {
        Overall::Met => "Met",
        Overall::Indeterminate | Overall::Inconclusive => "Not shown",
        Overall::Invalid => "Invalid",
        Overall::Missed => "Missed",
    };
    let judged_sentence = match judged.overall {
        Overall::Met => "Every promise that this run exercised was kept.".to_owned(),
        Overall::Indeterminate => {
            format!(
                "Not decided: {}. The target lies inside what was measured.",
                named(judged, Verdict::Indeterminate)
            )
        }
        Overall::Inconclusive => "Too little was seen to say whether every promise was kept.".to_owned(),
        Overall::Invalid => "The run is invalid, so its numbers say nothing about the promises.".to_owned(),
        Overall::Missed => format!("Broken: {}.", named(judged, Verdict::Missed)),
    };
    let (word, sentence) = match &measured.ended {
        None => (
            "Incomplete",
            format!("The evidence ends before the run does. What is known so far: {judged_sentence}"),
        ),
        Some(Ended::Refused { .. }) => (
            "Refused",
            "A guard refused the start. Nothing was touched, and nothing was measured.".to_owned(),
        ),
        Some(Ended::Aborted { .. }) => ("Aborted", format!("The run was aborted. {judged_sentence}")),
        Some(Ended::Crashed { .. }) => {
            ("Crashed", format!("A bug in drillmaster stopped the run. {judged_sentence}"))
        }
        Some(Ended::Interrupted) => ("Interrupted", format!("The run was interrupted. {judged_sentence}")),
        Some(Ended::Completed) => (judged_word, judged_sentence),
    };
    Headline {
        overall: judged.overall,
        word: word.to_owned(),
        sentence,
        why: tally(judged)
            .iter()
            .chain(&judged.invalid)
            .chain(&run.why)
            .map(|why| words::sentence(why))
            .collect(),
        confidence: confidence(judged),
    }
}

/// The promises that went so, by name.
fn named(judged: &Judged, verdict: Verdict) -> String {
    let these = judged.objectives.iter().filter(|judgement| judgement.verdict == verdict);
    let names = these.map(|judgement| {
        format!("{} of {}", title(judgement.objective.kind).to_lowercase(), judgement.objective.service)
    });
    names.collect::<Vec<_>>().join("; ")
}

/// How many promises went how, all of them.
fn tally(judged: &Judged) -> Option<String> {
    let all = [
        Verdict::Met,
        Verdict::Missed,
        Verdict::Indeterminate,
        Verdict::Inconclusive,
        Verdict::Void,
        Verdict::NotExercised,
    ];
    let counts = all.into_iter().filter_map(|verdict| {
        let count = judged.objectives.iter().filter(|judgement| judgement.verdict == verdict).count();
        (count > 0).then(|| format!("{count} {}", verdict_words(verdict).0.to_lowercase()))
    });
    let counts: Vec<String> = counts.collect();
    (!counts.is_empty()).then(|| {
        format!("Of {}: {}.", words::count(judged.objectives.len() as u64, "promise"), counts.join(", "))
    })
}

/// How sure we are, in one sentence.
fn confidence(judged: &Judged) -> String {
    let widths = judged.objectives.iter().filter_map(|o| o.actual.as_ref()?.span()?.width());
    match widths.max() {
        Some(Duration::ZERO) => "Each time above is exact: it stands in the journal.".to_owned(),
        Some(width) => format!(
            "Each time is an interval that holds the true one. The widest above spans {}.",
            words::at_most(width)
        ),
        None => "No time could be bounded on both sides.".to_owned(),
    }
}

fn objective(judgement: &Judgement) -> Objective {
    let Judgement { objective, verdict, prewarned, actual, records, why } = judgement;
    let span = actual.as_ref().and_then(Actual::span);
    let shown = shown(judgement);
    let (word, sign) = verdict_words(*verdict);
    Objective {
        service: objective.service.to_string(),
        kind: objective.kind,
        title: title(objective.kind).to_owned(),
        origin: (objective.kind == ObjectiveKind::Rta).then_some(objective.origin),
        store: objective.store.as_ref().map(ToString::to_string),
        promise: promise(judgement),
        target: objective.target.map(Length::from),
        actual: span.as_ref().map(Lasted::from),
        records: *records,
        shown,
        verdict: *verdict,
        prewarned: *prewarned,
        word: if *prewarned { format!("{word} (pre-warned)") } else { word.to_owned() },
        sign,
        // The interval stands beside it, rounded outwards.
        why: span.map_or_else(|| why.clone(), |span| why.replacen(&format!("{span}, "), "", 1)),
        gauge: span.filter(|_| objective.target.is_some()).map(|span| gauge(&span, objective.target)),
    }
}

/// What was measured, in words: a time, a count, or why there is neither.
fn shown(judgement: &Judgement) -> String {
    let kind = judgement.objective.kind;
    // What nobody read counts as nothing, not as nothing damaged.
    let seen = kind != ObjectiveKind::Integrity || judgement.verdict != Verdict::Inconclusive;
    let what = if kind == ObjectiveKind::Integrity { "damaged write" } else { "lost write" };
    let counted = judgement.records.filter(|_| seen).map(|records| {
        let exactly = words::count(records.exactly, what);
        if records.at_most > records.exactly {
            format!("{exactly}, at most {}", records.at_most)
        } else {
            exactly
        }
    });
    let time = judgement.actual.as_ref().map(|actual| match actual {
        Actual::Took(span) => words::span(span),
        Actual::NotApplicable { .. } => "not applicable".to_owned(),
        Actual::NotExercised { .. } => "not exercised".to_owned(),
        Actual::Unseen { .. } => "not seen".to_owned(),
    });
    match (time, counted) {
        (Some(time), Some(counted)) => format!("{time} ({counted})"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => "not seen".to_owned(),
    }
}

fn title(kind: ObjectiveKind) -> &'static str {
    match kind {
        ObjectiveKind::Rta => "Recovery time",
        ObjectiveKind::Rpa => "Data loss",
        ObjectiveKind::Integrity => "Integrity of data",
        ObjectiveKind::Response => "Response of people",
        ObjectiveKind::Failback => "Way back",
        ObjectiveKind::Mtpd => "Tolerable outage",
        ObjectiveKind::Exposure => "Time without redundancy",
    }
}

fn promise(judgement: &Judgement) -> String {
    let objective = &judgement.objective;
    let within = objective.target.map(words::at_most);
    match (objective.kind, within) {
        (ObjectiveKind::Integrity, _) => "nothing corrupt, accepted twice or resurrected".to_owned(),
        (ObjectiveKind::Rta, Some(target)) => match objective.origin {
            Origin::Fault => format!("back within {target} of the fault"),
            Origin::Impact => format!("back within {target} of the first failure"),
            Origin::Declaration => format!("back within {target} of the declaration"),
        },
        (ObjectiveKind::Rpa, Some(target)) => format!("at most the last {target} of writes lost"),
        (ObjectiveKind::Response, Some(target)) => format!("answered within {target}"),
        (ObjectiveKind::Response, None) => "answered in time".to_owned(),
        (ObjectiveKind::Failback, Some(target)) => match objective.rpo {
            Some(Duration::ZERO) => format!("down for at most {target} on the way back, and no write lost"),
            Some(rpo) => format!(
                "down for at most {target} on the way back, and at most the last {} of writes lost",
                words::at_most(rpo)
            ),
            None => format!("down for at most {target} on the way back"),
        },
        (ObjectiveKind::Mtpd, Some(target)) => format!("data verified within {target}"),
        (ObjectiveKind::Exposure, Some(target)) => format!("redundant again within {target}"),
        (
            ObjectiveKind::Rta
            | ObjectiveKind::Rpa
            | ObjectiveKind::Failback
            | ObjectiveKind::Mtpd
            | ObjectiveKind::Exposure,
            None,
        ) => "no target".to_owned(),
    }
}

fn verdict_words(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Met => ("Met", "✓"),
        Verdict::NotExercised => ("Not exercised", "–"),
        Verdict::Indeterminate => ("Not decided", "≈"),
        Verdict::Inconclusive => ("Not shown", "?"),
        Verdict::Void => ("Void", "⊘"),
        Verdict::Missed => ("Missed", "✗"),
    }
}

fn service(name: &Name, service: &ServiceMeasured, window: Window) -> Service {
    let rta = [
        (Origin::Fault, &service.rta.fault),
        (Origin::Impact, &service.rta.impact),
        (Origin::Declaration, &service.rta.declaration),
    ];
    let mut notes = service.blind.clone();
    if service.flaps > 0 {
        notes.push(format!(
            "it came and went {} within one outage",
            words::count(service.flaps.into(), "time")
        ));
    }
    notes.extend(service.interruptions.iter().map(interruption));
    Service {
        name: name.to_string(),
        timeline: service
            .timeline
            .iter()
            .map(|(moment, mark)| Instant {
                name: moment.name().to_owned(),
                title: words::sentence(&words::apart(moment.name())),
                at: (&mark.at).into(),
                source: mark.source.clone(),
                prewarned: mark.prewarned,
                bar: window.bar(&mark.at),
            })
            .collect(),
        rta: rta.into_iter().map(|(origin, actual)| FromOrigin { origin, actual: actual.into() }).collect(),
        phases: service.phases.iter().map(|phase| self::phase(phase, window)).collect(),
        failback: (&service.failback.outage).into(),
        mtpd: (&service.mtpd).into(),
        exposure: (&service.exposure).into(),
        latency: service
            .latency
            .iter()
            .map(|latency| Latency {
                phase: latency.phase.to_string(),
                answers: latency.answers,
                p50: latency.p50.map(Length::from),
                p99: latency.p99.map(Length::from),
            })
            .collect(),
        notes,
    }
}

/// `no write was acknowledged from 30.8s on, for 29.3s to 29.5s (writes to orders-postgres from outside)`
fn interruption(one: &Interruption) -> String {
    let what = match one.what {
        Interrupted::Recovered => "it failed again",
        Interrupted::Writes => "no write was acknowledged",
        Interrupted::Silent => "nobody could see it",
    };
    let when = if one.way_back { ", on the way back" } else { "" };
    let Interruption { begin, took, source, .. } = one;
    let took = match (one.what, took.span()) {
        (_, Some(span)) => format!("for {}", words::span(&span)),
        (Interrupted::Silent, None) => "not all the time".to_owned(),
        (Interrupted::Recovered | Interrupted::Writes, None) => {
            "for a time that was not seen to its end".to_owned()
        }
    };
    format!("{what} from {} on, {took}{when} ({source})", begin.latest)
}

fn phase(phase: &crate::measure::Phase, window: Window) -> Phase {
    let span = phase.took.map(|took| took.span).or(phase.open);
    let time = span.map_or("not exercised".to_owned(), |span| words::span(&span));
    Phase {
        name: phase.name.to_string(),
        from: words::apart(phase.from.name()),
        to: words::apart(phase.to.name()),
        actual: span.map(|span| (&span).into()),
        text: if phase.prewarned { format!("{time} (pre-warned)") } else { time },
        bar: phase.took.map(|took| {
            window.bar(&crate::model::time::Interval::between(took.begin.earliest, took.end.latest))
        }),
    }
}

fn findings<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    for finding in findings {
        let about = if finding.what.contains(finding.about.as_str()) {
            String::new()
        } else {
            format!("{}: ", finding.about)
        };
        let text = format!("{about}{}", finding.what);
        if !said.contains(&text) {
            said.push(text);
        }
    }
    said
}

/// What the last reverter left.
fn outstanding(evidence: &Evidence) -> Vec<Outstanding> {
    let left = evidence.events.iter().rev().find_map(|event| {
        let What::HealEnded { outstanding, .. } = &event.what else { return None };
        Some(outstanding)
    });
    let say = |left: &crate::model::event::Outstanding| Outstanding {
        what: left.what.clone(),
        advice: left.advice.clone(),
    };
    left.into_iter().flatten().map(say).collect()
}

fn inputs(evidence: &Evidence) -> Vec<Input> {
    let Some(What::RunStarted { inputs, .. }) = evidence.events.first().map(|event| &event.what) else {
        return Vec::new();
    };
    inputs.iter().map(|(path, sha256)| Input { path: path.clone(), sha256: sha256.to_string() }).collect()
}

/// How it was measured, and how finely.
fn method(evidence: &Evidence) -> Vec<String> {
    let mut method = vec![
        "Every time is an interval that holds the true one: an answer proves that the service was up at some instant between sending and answer, a failure that it was down at some instant of it. Bounds are rounded outwards.".to_owned(),
        "Probes are open loop: their instants of sending are fixed at the start and never wait for an answer. What could not be sent in time is a gap and counts neither as up nor as down.".to_owned(),
        "A promise is kept only where the upper bound lies within the target; missing data never passes.".to_owned(),
        "Data loss is that of the named store as the drill's own numbered writes saw it; other writes may have fared otherwise.".to_owned(),
    ];
    let probes = evidence.header().map(|header| &header.plan.probes[..]).unwrap_or_default();
    if probes.iter().any(|probe| probe.service.is_some() && probe.from.len() > 1) {
        method.push("A service is without it from its first vantage's failure to its last vantage's recovery. A vantage that saw no failure may have missed one between two of its answers: the interval reaches to those next to it.".to_owned());
    }
    for probe in probes {
        let overtaken = if probe.timeout >= probe.every {
            ", or to an answer's time more where a later probe was answered before an earlier one"
        } else {
            ""
        };
        method.push(format!(
            "Probe {}: every {}, an answer awaited {}, so one bound is known to at most {}{overtaken}.",
            probe.id,
            probe.every,
            probe.timeout,
            probe.every.plus(probe.timeout)
        ));
    }
    method.extend(evidence.events.iter().filter_map(|event| of_agents(&event.what)));
    method
}

/// What is known of an agent as an instrument.
fn of_agents(what: &What) -> Option<String> {
    match what {
        What::Calibrated { vantage: Some(vantage), truth, measured, .. } => Some(format!(
            "At {vantage} an agent asked, by a clock of its own. Before, it measured a known pause of {} as {}.",
            words::span(truth),
            words::span(measured)
        )),
        What::ClockKnown { vantage, within } => Some(format!(
            "The clock of the agent at {vantage} was known to {} or better at every sample; what it saw is wider by that, which its times hold already.",
            words::at_most(*within)
        )),
        _ => None,
    }
}
