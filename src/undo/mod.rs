//! What takes effects back: derived from what an effect touches, computed when undoing, folded from a journal. Pure (I3, I4).
//!
//! ```text
//! before the effect   fields::touched(before, after) ─► Undo::Restore, journalled
//! when undoing        inverse(object now, touched)    ─► a JSON patch with tests, or conflicts
//! from a journal      outstanding(events)             ─► what is still owed, newest first
//! from a journal      promotions(events)              ─► what it knows of who may write
//! ```
//! Rejected: inverse patches stored in advance (they erase what others did meanwhile) and a stack kept in memory (it dies with
//! the process).

mod fields;
mod inverse;
mod outstanding;
mod promotion;

pub use fields::{lookup, touched};
pub use inverse::{Inverse, inverse, is_restored};
pub use outstanding::{Open, later, outstanding};
pub use promotion::{Promotions, promotions, wrote_before};
