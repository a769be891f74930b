//! A run takes some time, and nothing that it waits for beside its steps takes longer than the whole of it: the steady state, one answer, or
//! the time for which a service must answer to count as restored.
//!
//! Whether its steps fit, a plan says (`plan::too_long`).

use crate::document::{Diagnostic, Path};
use crate::model::name::Name;
use crate::model::time::Duration;
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    if drill.spec.limits.max_duration == Duration::ZERO {
        let path = Path::spec().then("limits").then("maxDuration");
        let error = drill.text.error(&path, "a run of no time cannot do anything");
        return vec![error.help("write it like `2h`")];
    }
    waits(scenario)
}

/// The steady state, and the timeouts of single probes and writes: each alone.
fn waits(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let spec = &drill.spec;
    let steady =
        (Path::spec().then("steadyState").then("for"), spec.steady_state.lasting, "the steady state");
    let probes = spec.probes.iter().enumerate().map(|(index, probe)| {
        (Path::spec().then("probes").then(index).then("timeout"), probe.timeout, "one answer of the probe")
    });
    let ledger = spec.workload.ledger.iter().map(|ledger| {
        (Path::spec().then("workload").then("ledger").then("timeout"), ledger.timeout, "one write's answer")
    });
    let most = spec.limits.max_duration;
    let measured = |name: &&Name| {
        let service = scenario.catalogue.as_ref()?.spec.service(name)?;
        let clause = service.restored.as_ref().filter(|clause| clause.lasting > most)?;
        let index = spec.services.iter().position(|one| one == *name)?;
        let message = format!(
            "`{name}` counts as restored once it has answered for {}, longer than the whole run: `maxDuration` is {most}",
            clause.lasting
        );
        let error = drill.text.error(&Path::spec().then("services").then(index), message);
        Some(error.help("allow a longer run, or shorten `restored.for` in the catalogue"))
    };
    let never: Vec<Diagnostic> = spec.services.iter().filter_map(|name| measured(&name)).collect();
    let over = std::iter::once(steady).chain(probes).chain(ledger);
    let over = over.filter(|(_, time, _)| *time > most);
    let said = over.map(|(path, time, what)| {
        let message = format!("{what} may take {time}, longer than the whole run: `maxDuration` is {most}");
        drill.text.error(&path, message).help("shorten it, or allow a longer run")
    });
    said.chain(never).collect()
}
