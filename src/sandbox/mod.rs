//! (being written)

pub mod assembly;
pub mod clock;
pub mod net;
pub mod spec;
#[doc(hidden)]
pub mod truth;

pub use assembly::{Sandbox, SandboxError};
pub use spec::SandboxSpec;
