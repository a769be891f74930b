//! What a probe asks, and how its answer is judged: pure. One file and one line each.
//!
//! ```text
//! ask() ─► the prober's client for that protocol ─► judge(answer) ─► Seen
//! ```
//! How to add one: a file here with the type of its parameters, its doc comment (what it does; then a paragraph that begins
//! `Cannot:`), its `EXAMPLE` and its [`Probe`]; and its line below. A new protocol also needs its variant of [`Ask`], which
//! then names the arm that the prober lacks.

use crate::model::effect::Request;
use crate::model::sample::Seen;

/// What a probe asks, by protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Http(Request),
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    Http { status: u16, body: &'a [u8] },
}

/// What every probe can say about itself.
pub trait Probe: Send + Sync {
    /// What it asks, each time the same.
    fn ask(&self) -> Ask;

    /// The header of an answer that names who answered, where it asks for one.
    fn answered_by(&self) -> Option<&str> {
        None
    }

    /// What an answer means.
    fn judge(&self, answer: Answer<'_>) -> Seen;
}

crate::kinds! {
    /// How a service is asked whether it is up.
    pub enum ProbeKind: Probe {
        http::Http as "http",
    }
}
