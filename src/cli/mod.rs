//! (being written)

pub mod answer;
pub mod explain;
pub mod inputs;
pub mod new;
pub mod schema;
pub mod validate;
