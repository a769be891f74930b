//! (being written)

pub mod assembly;
pub mod spec;

pub use assembly::{Sandbox, SandboxError};
pub use spec::SandboxSpec;
