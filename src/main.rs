//! The command line: see the room `cli`.
fn main() {}
