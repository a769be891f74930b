//! A probe sees an outage only as finely as it asks. Its period is at most a hundredth of the RTO, on the way there and back, and a tenth of
//! the time for which the service must answer to count as restored; a control probe's is no longer than those of the probes that it vouches
//! for; a recovery time may be uncertain by two periods and two timeouts (DESIGN section 5), which is within the RTO; and nothing is zero.

use super::steps;
use crate::catalogue::Service;
use crate::document::{Diagnostic, Path};
use crate::model::name::Name;
use crate::model::time::Duration;
use crate::scenario::{Probe, Scenario};

/// How many samples an RTO holds at least.
const SAMPLES: u32 = 100;

/// So many answers at least show that a service is restored ([`outage`](crate::model::outage)).
const ANSWERS: u32 = 10;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let mut found = zeros(scenario);
    found.extend(slow_controls(scenario));
    for (index, probe) in drill.spec.probes.iter().enumerate() {
        let Some(service) = probe.service.as_ref().and_then(|name| service(scenario, name)) else { continue };
        let path = Path::spec().then("probes").then(index);
        let asks = Asks { every: probe.every, timeout: probe.timeout, service };
        let help = |most| format!("ask at least every {most}");
        let too_slow_for_clause = || asks.too_slow_for_clause(scenario, path.then("every"), help);
        found.extend(asks.too_slow_for_target(scenario, &path).or_else(too_slow_for_clause));
        found.extend(asks.too_long_for_target(scenario, &path));
    }
    if let Some(ledger) = &drill.spec.workload.ledger
        && let Some(service) = service(scenario, &ledger.service)
    {
        let path = Path::spec().then("workload").then("ledger");
        let every = std::time::Duration::from_secs(1) / ledger.writes_per_second.max(1);
        let asks = Asks { every: every.into(), timeout: ledger.timeout, service };
        found.extend(asks.too_long_for_target(scenario, &path));
        found.extend(asks.too_slow_for_clause(scenario, path.then("writesPerSecond"), |most| {
            format!("write at least {} times a second", 1_000_000_000_u128.div_ceil(most.as_nanos().max(1)))
        }));
    }
    found
}

/// The longest time in whole milliseconds that is no longer than another; none where that is less than one.
fn finest(most: std::time::Duration) -> Option<Duration> {
    let milliseconds = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}

fn service<'a>(scenario: &'a Scenario, name: &Name) -> Option<&'a Service> {
    scenario.catalogue.as_ref()?.spec.service(name)
}

/// The shortest RTO of a service that the drill measures, with what names it.
fn shortest_rto(scenario: &Scenario, service: &Service) -> Option<(Duration, &'static str)> {
    let spec = &scenario.drill.spec;
    let there = match &spec.regions.lost {
        Some(lost) => service.targets.get(lost).map(|targets| targets.rto),
        None => service.targets.values().map(|targets| targets.rto).min(),
    };
    let there = there.map(|rto| (rto, "the RTO"));
    let back = service.failback.as_ref().filter(|_| !spec.stages.failback.is_empty());
    let back = back.map(|back| (back.rto, "the failback's RTO"));
    there.into_iter().chain(back).filter(|(rto, _)| *rto > Duration::ZERO).min()
}

/// What a service's times are measured with: a probe, or a ledger's writes.
struct Asks<'a> {
    every: Duration,
    timeout: Duration,
    service: &'a Service,
}

impl Asks<'_> {
    fn too_slow_for_target(&self, scenario: &Scenario, path: &Path) -> Option<Diagnostic> {
        let (rto, which) = shortest_rto(scenario, self.service)?;
        (u128::from(SAMPLES) * self.every.as_nanos() > rto.as_nanos()).then(|| {
            let message = format!(
                "too slow for {which} of {rto}: the measured time would be too coarse to say anything"
            );
            let error = scenario.drill.text.error(&path.then("every"), message);
            error.help(match finest(*rto / SAMPLES) {
                Some(most) => format!("ask at least every {most}"),
                None => format!("promise more: {which} of {rto} is too short to be measured"),
            })
        })
    }

    fn too_long_for_target(&self, scenario: &Scenario, path: &Path) -> Option<Diagnostic> {
        let (rto, which) = shortest_rto(scenario, self.service)?;
        // Where the period is too long, that is told already.
        let every = self.every.min((*rto / SAMPLES).into());
        (2 * (every.as_nanos() + self.timeout.as_nanos()) > rto.as_nanos()).then(|| {
            let message = format!(
                "a timeout of {} is too long for {which} of {rto}: where nothing answers in time, the measured time may be uncertain by more than that",
                self.timeout
            );
            let error = scenario.drill.text.error(&path.then("timeout"), message);
            error.help(match finest((*rto / 2).saturating_sub(*every)) {
                Some(most) => format!("twice a period and a timeout must be within it: write `timeout: {most}` at most"),
                None => format!("promise more: {which} of {rto} is too short to be measured"),
            })
        })
    }

    fn too_slow_for_clause(
        &self,
        scenario: &Scenario,
        path: Path,
        help: impl Fn(Duration) -> String,
    ) -> Option<Diagnostic> {
        let clause = self.service.restored.clone().unwrap_or_default();
        let is_slow = u128::from(ANSWERS) * self.every.as_nanos() > clause.lasting.as_nanos();
        (is_slow && clause.lasting > Duration::ZERO).then(|| {
            let message = format!(
                "too slow to see `{}` restored: for {} it must be asked {ANSWERS} times at least",
                self.service.name, clause.lasting
            );
            scenario.drill.text.error(&path, message).help(match finest(*clause.lasting / ANSWERS) {
                Some(most) => help(most),
                None => "lengthen `restored.for` in the catalogue: nothing is asked more than once in a millisecond".to_owned(),
            })
        })
    }
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
