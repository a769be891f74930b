//! Tests of the whole ledger in virtual time.
