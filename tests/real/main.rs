//! Drills on two real Kubernetes clusters: `tests/regions/regions.py with DIR` starts them and runs these tests outside of both, where an
//! orchestrator stands. The ledger runs there as real containers of this very program.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

#[path = "../live/drill.rs"]
mod drill;
mod drills;
mod privilege;
mod regions;

fn in_real_time<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}
