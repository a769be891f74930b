//! The canary workload: a small replicated record service, and the client that writes numbered records to it.
//!
//! ```text
//! client ──POST──► service ──decide──► node (pure) ──Change──► storage, then node.apply
//!                     │ ▲
//!   replicate ◄──poll─┘ └── control: status, promote, demote, fence, resync, …
//! ```
//! One primary takes writes; a replica follows it asynchronously by long polls, so that what was acknowledged and not yet shipped is
//! truly lost at a failover. A stale primary that comes back stays primary until it is fenced, as real databases do.
//! The same code is served on a socket and runs inside the sandbox. Rejected: consensus, since the drill must be able to lose data.

pub mod client;
mod config;
mod control;
mod log;
mod node;
mod replicate;
mod service;
pub mod socket;
mod storage;
pub mod wire;

pub use config::{BadConfig, Config};
pub use control::{Ran, control};
pub use node::{Change, Entry, Logged, Node, Record, Refused, Role};
pub use service::{NotDone, Service, serve_connection, serve_local};
pub use storage::{File, Memory, Storage, StorageError};

#[cfg(test)]
mod tests;
