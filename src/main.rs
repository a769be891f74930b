//! The binary: the command line, and the allocator that it runs with. See the crate's documentation for the picture.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    drillmaster::cli::main()
}
