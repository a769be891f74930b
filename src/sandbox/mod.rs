//! A world in memory: a Kubernetes API per region, the controllers behind it, the network between them.
//!
//! ```text
//! kube::Client ─► api ─► state (store, clock, availability) ◄── control ◄─► stand_in: what runs in the pods
//!                 │ one file per group of verbs              one file per controller
//! Net ─► net: who reaches whom, DNS with its caches           assembly: all of it from a SandboxSpec
//! ```
//! `store` is a plain struct with one version per change; `state` is what a region's parts share; `api` speaks HTTP.

pub mod alerting;
pub mod api;
pub mod assembly;
pub mod clock;
pub mod commands;
pub mod control;
pub mod happenings;
pub mod net;
pub mod people;
pub mod spec;
pub mod stand_in;
pub mod state;
pub mod store;
#[doc(hidden)]
pub mod truth;

pub use assembly::{Sandbox, SandboxError};
pub use spec::SandboxSpec;
