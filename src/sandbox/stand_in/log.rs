//! What a container has printed: of the incarnation that runs, or ran last, and of the one before it.

use std::collections::VecDeque;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::model::time::At;
use crate::sandbox::state::{Line, Printed};

/// How many lines are kept; the oldest go first.
const LINES: usize = 1_000;

/// The log of one container.
#[derive(Debug, Default)]
pub struct Log {
    lines: VecDeque<Line>,
    before: VecDeque<Line>,
    followers: Vec<UnboundedSender<Line>>,
}

impl Log {
    /// Another incarnation begins.
    pub fn begin(&mut self) {
        self.end();
        if !self.lines.is_empty() {
            self.before = std::mem::take(&mut self.lines);
        }
    }

    /// The incarnation prints a line.
    pub fn print(&mut self, at: At, text: impl Into<String>) {
        let line = Line { at, text: text.into() };
        self.followers.retain(|follower| follower.send(line.clone()).is_ok());
        self.lines.push_back(line);
        if self.lines.len() > LINES {
            self.lines.pop_front();
        }
    }

    /// The incarnation has ended: nobody has to wait for more.
    pub fn end(&mut self) {
        self.followers.clear();
    }

    /// What was printed so far.
    pub fn read(&self) -> Printed {
        Printed { so_far: self.lines.iter().cloned().collect(), more: None }
    }

    /// What the incarnation before printed, if there was one.
    pub fn previous(&self) -> Option<Printed> {
        (!self.before.is_empty())
            .then(|| Printed { so_far: self.before.iter().cloned().collect(), more: None })
    }

    /// What was printed so far, and what will be until the incarnation ends.
    pub fn follow(&mut self) -> Printed {
        let (follower, more) = unbounded_channel();
        self.followers.push(follower);
        Printed { more: Some(more), ..self.read() }
    }
}
