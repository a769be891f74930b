//! What runs in the pods: a stand-in for each container.
//!
//! ```text
//! region's changes ─► follow ─► processes (one per container incarnation) ─► ledger | http | nothing
//!                         └───► net (addresses, listeners)       ▲
//!                            kubelet, exec, logs ────────────────┘ asks
//! ```
//! `choice` says which: the project's own ledger, an HTTP service, one that runs to its end, or one that only exists.

pub mod choice;
mod fetch;
mod follow;
mod http;
mod ledger;
mod log;
mod processes;

pub use fetch::get;
pub use follow::follow;
pub use http::HttpStandIn;
pub use ledger::{Dated, Kept, Storages};
pub use processes::Pods;
