//! What runs in the pods: a stand-in for each container, chosen by its image.
//!
//! ```text
//! region's changes ─► follow ─► processes (one per container incarnation) ─► ledger | http | nothing
//!                         └───► net (addresses, listeners)       ▲
//!                            kubelet, exec, logs ────────────────┘ asks
//! ```
//! An image with `drillmaster` in its name is the project's own ledger; any other container with a port is an HTTP service; the rest
//! only exists.

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
