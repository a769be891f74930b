//! A fault that nobody saw take effect makes a run invalid, so each says beforehand how it will show.

use super::{Placed, steps};
use crate::document::Diagnostic;
use crate::scenario::{Action, Proof, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    steps(scenario).iter().filter_map(of_step).collect()
}

fn of_step(placed: &Placed<'_>) -> Option<Diagnostic> {
    let path = placed.path.then("proof");
    let is_fault = matches!(placed.step.action, Action::Fault(_));
    match &placed.step.proof {
        None if is_fault => Some(
            placed
                .text
                .error(&placed.path.then("id"), format!("the fault `{}` lacks a proof", placed.step.id))
                .help("add `proof: {probe: ID, failsWithin: 20s}`, or `proof: {objectsWithin: 20s}`"),
        ),
        None => None,
        Some(_) if !is_fault => Some(
            Diagnostic::error("only a fault needs a proof", Some(placed.text.place_of_key(&path)))
                .help("remove it; a `check` step checks other things"),
        ),
        Some(proof) => wrong(proof).map(|(message, help)| {
            Diagnostic::error(message, Some(placed.text.place_of_key(&path))).help(help)
        }),
    }
}

fn wrong(proof: &Proof) -> Option<(&'static str, &'static str)> {
    match (&proof.probe, proof.fails_within, proof.objects_within) {
        (Some(_), Some(_), None) | (None, None, Some(_)) => None,
        (Some(_), None, None) => {
            Some(("the proof does not say how soon the probe must fail", "add `failsWithin: 20s`"))
        }
        (None, Some(_), None) => Some(("the proof does not say which probe must fail", "add `probe: ID`")),
        (None, None, None) => Some((
            "the proof says nothing",
            "write `{probe: ID, failsWithin: 20s}`, or `{objectsWithin: 20s}`",
        )),
        (_, _, Some(_)) => Some((
            "a proof is either a probe's or the objects'",
            "keep `probe` with `failsWithin`, or `objectsWithin`",
        )),
    }
}
