//! A probe sees an outage only as finely as it asks: its period is at most a hundredth of the RTO, on the way there and back, a control probe's is no longer than
//! those of the probes that it vouches for, and nothing is zero.

use super::steps;
use crate::document::{Diagnostic, Path};
use crate::model::time::Duration;
use crate::scenario::{Probe, Scenario};

/// How many samples an RTO holds at least.
const SAMPLES: u32 = 100;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let mut found = zeros(scenario);
    found.extend(slow_controls(scenario));
    for (index, probe) in drill.spec.probes.iter().enumerate() {
        let path = Path::spec().then("probes").then(index).then("every");
        let goes_back = !drill.spec.stages.failback.is_empty();
        let rto = scenario.catalogue.as_ref().and_then(|catalogue| {
            let service = catalogue.spec.service(probe.service.as_ref()?)?;
            let there = match &drill.spec.regions.lost {
                Some(lost) => service.targets.get(lost).map(|targets| targets.rto),
                None => service.targets.values().map(|targets| targets.rto).min(),
            };
            let there = there.map(|rto| (rto, "the RTO"));
            let back = service.failback.as_ref().filter(|_| goes_back);
            let back = back.map(|back| (back.rto, "the failback's RTO"));
            there.into_iter().chain(back).filter(|(rto, _)| *rto > Duration::ZERO).min()
        });
        if let Some((rto, which)) = rto
            && u128::from(SAMPLES) * probe.every.as_nanos() > rto.as_nanos()
        {
            let most = Duration::from(*rto / SAMPLES);
            let message = format!(
                "too slow for {which} of {rto}: the measured time would be too coarse to say anything"
            );
            found.push(drill.text.error(&path, message).help(format!("ask at least every {most}")));
        }
    }
    found
}

/// A vantage may be blind for as long as its control probe asks nothing.
fn slow_controls(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let mut found = Vec::new();
    for (index, control) in drill.spec.probes.iter().enumerate().filter(|(_, probe)| probe.control) {
        let vouches = |probe: &&Probe| {
            probe.service.is_some() && probe.from.iter().any(|vantage| control.from.contains(vantage))
        };
        let quickest = drill.spec.probes.iter().filter(vouches).min_by_key(|probe| probe.every);
        if let Some(probe) = quickest.filter(|probe| probe.every < control.every) {
            let path = Path::spec().then("probes").then(index).then("every");
            let message = format!("slower than the probe `{}`, for whose vantage it vouches", probe.id);
            let help = format!("ask every {}", probe.every);
            found.push(drill.text.error(&path, message).help(help));
        }
    }
    found
}

fn zeros(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let mut zero: Vec<Diagnostic> = Vec::new();
    let mut refuse = |text: &crate::document::Text, path: Path, time: Duration, what: &str| {
        if time == Duration::ZERO {
            zero.push(
                text.error(&path, format!("{what} cannot be zero"))
                    .help("write it like `100ms`, `1s` or `5m`"),
            );
        } else if !time.as_nanos().is_multiple_of(1_000_000) {
            zero.push(text.error(&path, format!("{what} is in whole milliseconds")).help("round it"));
        }
    };
    for (index, probe) in drill.spec.probes.iter().enumerate() {
        let path = Path::spec().then("probes").then(index);
        refuse(&drill.text, path.then("every"), probe.every, "a probe's period");
        refuse(&drill.text, path.then("timeout"), probe.timeout, "a probe's timeout");
    }
    if let Some(ledger) = &drill.spec.workload.ledger {
        let path = Path::spec().then("workload").then("ledger");
        refuse(&drill.text, path.then("timeout"), ledger.timeout, "a write's timeout");
    }
    for (index, abort) in drill.spec.limits.abort_when.iter().enumerate() {
        let path = Path::spec().then("limits").then("abortWhen").then(index).then("failsFor");
        refuse(&drill.text, path, abort.fails_for, "the time after which to abort");
    }
    for placed in steps(scenario) {
        if let Some(timeout) = placed.step.timeout {
            refuse(placed.text, placed.path.then("timeout"), timeout, "a step's timeout");
        }
    }
    zero
}
