//! The one place where outcomes become exit codes; they are a contract with scripts (README, "Exit codes").

use std::process::ExitCode;

use crate::engine::Finished;
use crate::model::event::Ended;
use crate::model::target::Overall;

/// Everything is as promised.
pub const MET: u8 = 0;
/// A bug in drillmaster.
pub const BUG: u8 = 1;
/// Wrong usage, or a document that does not validate.
pub const USAGE: u8 = 2;
/// An objective was missed.
pub const MISSED: u8 = 10;
/// Not shown: inconclusive or indeterminate.
pub const NOT_SHOWN: u8 = 11;
/// The run was invalid.
pub const INVALID: u8 = 12;
/// The evidence, its reports or what was asked for could not be written, or the evidence does not verify.
pub const JOURNAL: u8 = 13;
/// Clusters are not healed.
pub const NOT_HEALED: u8 = 14;
/// A guard refused the start.
pub const REFUSED: u8 = 15;
/// Interrupted, and healed.
pub const INTERRUPTED: u8 = 130;

/// The exit code of a finished run: what is not healed outranks the rest, then what is not on record.
pub fn of_run(finished: &Finished, overall: Overall) -> u8 {
    if !finished.outstanding.is_empty() {
        return NOT_HEALED;
    }
    if finished.journal.is_some() {
        return JOURNAL;
    }
    match finished.how {
        Ended::Refused { .. } => REFUSED,
        Ended::Interrupted => INTERRUPTED,
        Ended::Crashed { .. } => BUG,
        Ended::Completed | Ended::Aborted { .. } => of_verdict(overall),
    }
}

/// The exit code of a finished run whose reports are not there, `because` is the code of why: what is not healed outranks that, too.
pub fn without_reports(finished: &Finished, because: u8) -> u8 {
    if finished.outstanding.is_empty() { because } else { NOT_HEALED }
}

/// The exit code of a verdict.
pub fn of_verdict(overall: Overall) -> u8 {
    match overall {
        Overall::Met => MET,
        Overall::Missed => MISSED,
        Overall::Indeterminate | Overall::Inconclusive => NOT_SHOWN,
        Overall::Invalid => INVALID,
    }
}

/// For `main`.
pub fn code(code: u8) -> ExitCode {
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Outstanding;

    #[test]
    fn what_is_not_healed_outranks_every_other_outcome() {
        let left = vec![Outstanding { effect: None, what: "x".into(), advice: "y".into() }];
        let broken = Finished { how: Ended::Interrupted, outstanding: left, journal: Some("full".into()) };
        assert_eq!(of_run(&broken, Overall::Missed), NOT_HEALED);
        let unwritten = Finished { outstanding: vec![], ..broken };
        assert_eq!(of_run(&unwritten, Overall::Missed), JOURNAL);
        let interrupted = Finished { journal: None, ..unwritten };
        assert_eq!(of_run(&interrupted, Overall::Met), INTERRUPTED);
        let crashed = Finished { how: Ended::Crashed { why: "a bug".into() }, ..interrupted };
        assert_eq!(of_run(&crashed, Overall::Met), BUG);
        let done = Finished { how: Ended::Completed, ..crashed };
        assert_eq!(of_run(&done, Overall::Inconclusive), NOT_SHOWN);
    }
}
