//! The simulated network: who reaches whom, how fast, and what names resolve to.
//!
//! ```text
//! objects of each region ─► index (pods, services, policies) ─► routes ─► network ─► pipe ─► a pod's process
//!                        │          └► ingress (rules) ─► proxy (a controller, which asks over the same network)
//!                        └► names (ExternalDNS, 5 s later) ─► resolver of each place ─┘
//! ```
//! Nothing here polls. A route is worked out once, and kept until an object, a process or a happening changes the network; a
//! change also cuts the open connections that it forbids.

pub mod index;
pub mod ingress;
pub mod names;
pub mod network;
pub mod pipe;
pub mod policy;
mod proxy;
pub mod resolver;
#[cfg(test)]
mod tests;

pub use network::{Listener, Network, Source, View};
