//! A world in memory: a Kubernetes API per region, the controllers behind it, the network between them.
//!
//! ```text
//! kube::Client ─► api ─► state (store, clock, availability) ◄── control ◄─► what runs in the pods
//!                 │ one file per group of verbs
//! ```
//! `store` is a plain struct with one version per change; `state` is what a region's parts share; `api` speaks HTTP.

pub mod api;
pub mod assembly;
pub mod clock;
pub mod net;
pub mod spec;
pub mod state;
pub mod store;
#[doc(hidden)]
pub mod truth;

pub use assembly::{Sandbox, SandboxError};
pub use spec::SandboxSpec;
