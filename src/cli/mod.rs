//! (being written)
pub mod ledger;
