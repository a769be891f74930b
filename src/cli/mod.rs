//! The command line: one file per subcommand, and `exit` for what they return. The only room that prints.
//!
//! People read stderr; stdout is for what a program asked for. A display that cannot be written stops nothing.

pub mod exit;
pub mod heal;
pub mod ledger;
pub mod plan;
pub mod progress;
pub mod report;
