//! Simulated regions answer what a drill's probes ask: one that nobody there answers would only say that everything is down.

use crate::document::{Diagnostic, Path};
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    if scenario.surroundings.as_ref().is_none_or(|surroundings| !surroundings.simulated) {
        return Vec::new();
    }
    let probes = drill.spec.probes.iter().enumerate();
    let unanswered =
        probes.filter_map(|(index, probe)| {
            let why = probe.ask.behaviour().unrehearsed()?;
            let message = format!("a rehearsal cannot answer the probe `{}`: {why}", probe.id);
            let kind = Path::spec().then("probes").then(index).then(probe.ask.name());
            Some(Diagnostic::error(message, Some(drill.text.place_of_key(&kind))).help(
                "run the drill with `--env`, and leave out `sandbox`; or rehearse it without this probe",
            ))
        });
    unanswered.collect()
}
