//! Tests of the prober in virtual time.
