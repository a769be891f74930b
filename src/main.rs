//! The binary: the command line and nothing else. See the crate's documentation for the picture.

use std::process::ExitCode;

fn main() -> ExitCode {
    drillmaster::cli::main()
}
