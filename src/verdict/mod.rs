//! Measurements against targets → verdicts: pure, and only `met` passes (I7).

use serde::{Deserialize, Serialize};

use crate::measure::{Actual, Finding, Measured, Records};
use crate::model::evidence::Evidence;
use crate::model::target::{Objective, Overall, Verdict};

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
pub fn judge(_evidence: &Evidence, _measured: &Measured) -> Judged {
    Judged { overall: Overall::Inconclusive, objectives: Vec::new(), invalid: None, findings: Vec::new() }
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
