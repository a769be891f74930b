//! A world in memory: a Kubernetes API per region, the controllers behind it, the network between them.
//!
//! ```text
//! kube::Client ─► api ─► state (store, clock, availability) ◄── control ◄─► stand_in (what runs in the pods)
//!                 │ one file per group of verbs         └─► net (who reaches whom) ◄──┘
//! ```
//! `store` is a plain struct with one version per change; `state` is what a region's parts share; `api` speaks HTTP;
//! `manifests` fills a store from files; `assembly` puts all of it together, with the people and the alerting around it.

pub mod alerting;
pub mod api;
pub mod assembly;
pub mod checks;
pub mod clock;
pub mod commands;
pub mod control;
pub mod events;
pub mod happenings;
pub mod manifests;
pub mod net;
pub mod people;
pub mod readiness;
pub mod spec;
pub mod stand_in;
pub mod state;
pub mod store;
#[cfg(test)]
mod tests;
#[doc(hidden)]
pub mod truth;

/// The version of Kubernetes that the sandbox is like.
pub const KUBERNETES: &str = "v1.37.0";

pub use assembly::{Sandbox, SandboxError};
pub use spec::SandboxSpec;
