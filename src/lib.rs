//! drillmaster runs disaster recovery drills on Kubernetes, measures the recovery time and data loss that really happened,
//! compares them with the targets, and proves what it says.
//!
//! ```text
//! scenario ─► plan ─► engine ──Event──► journal ─► measure ─► verdict ─► report
//! (YAML in)    ▲       │ ▲                                        └────► runbook
//!          catalogue   ▼ │ observations
//!                     world = regions (kube::Client each) + net + clock + people + alerts + commands
//!                     ├─ cluster: kubeconfig contexts, real sockets, real time
//!                     └─ sandbox: an in-memory Kubernetes per region, simulated network, virtual time (`serve`: on loopback)
//! ```
//! One direction: a room knows only what stands left of it (`tests/architecture.rs` holds the table). A run is one linear stream
//! of owned events, and every result is a pure function of it.

pub mod catalogue;
pub mod cli;
pub mod cluster;
pub mod document;
pub mod engine;
pub mod fault;
pub mod guard;
pub mod http;
pub mod inventory;
pub mod journal;
pub mod kinds;
pub mod ledger;
pub mod measure;
pub mod model;
pub mod plan;
pub mod probe;
pub mod prober;
pub mod recovery;
pub mod report;
pub mod runbook;
pub mod sandbox;
pub mod scenario;
pub mod serve;
pub mod undo;
pub mod verdict;
pub mod world;
