//! What a probe asks, and how its answer is judged: pure. One file and one line each.
