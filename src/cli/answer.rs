//! What a command that only reads says: printing and exit codes are the caller's.

/// The output of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// For stdout; exit code 0.
    Said(String),
    /// What was wrong, for stderr; exit code 2.
    Refused(String),
}
