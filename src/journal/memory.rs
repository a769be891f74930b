//! A sink in memory, for tests and for what needs no folder: the same events, rows and bindings as the writer's.

use std::collections::BTreeMap;

use super::chain::{GENESIS, line};
use super::rows::{Block, Gathered};
use super::writer::{BLOCK, BOUND_EVERY};
use crate::model::event::{Event, Sink, SinkError, What};
use crate::model::evidence::Evidence;
use crate::model::name::Sha256;
use crate::model::sample::RowFile;
use crate::model::time::At;

/// Evidence in memory.
#[derive(Debug)]
pub struct Memory {
    events: Vec<Event>,
    head: Sha256,
    gathered: Gathered,
    blocks: BTreeMap<RowFile, Block>,
    /// When all rows were last bound.
    bound: At,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            head: GENESIS.into(),
            gathered: Gathered::default(),
            blocks: BTreeMap::new(),
            bound: At(0),
        }
    }
}

impl Memory {
    /// The events so far.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The head of the chain.
    pub fn head(&self) -> &Sha256 {
        &self.head
    }

    /// What a reader of the folder would get.
    pub fn evidence(&self) -> Evidence {
        let gaps = self.blocks.iter().filter(|(_, block)| block.count > 0).map(|(file, block)| {
            format!("{}: the last {} rows are bound by no event", file.path(), block.count)
        });
        self.gathered.clone().into_evidence(self.events.clone(), gaps.collect())
    }
}

impl Sink for Memory {
    fn append(&mut self, at: At, what: What) -> Result<Event, SinkError> {
        let event = Event { seq: self.events.len() as u64, at, what };
        let (_, head) = line(&self.head, &event).map_err(|why| SinkError { why: why.to_string() })?;
        self.head = head;
        self.events.push(event.clone());
        Ok(event)
    }

    fn row(&mut self, at: At, file: &RowFile, row: &str) -> Result<(), SinkError> {
        self.gathered.add(file, row).map_err(|why| SinkError { why })?;
        let block = self.blocks.entry(file.clone()).or_default();
        block.take(row);
        if block.count >= BLOCK {
            let bound = block.close(file);
            self.append(at, bound)?;
        }
        if at.since(self.bound) >= BOUND_EVERY {
            return self.bind(at);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn bind(&mut self, at: At) -> Result<(), SinkError> {
        self.bound = at;
        let open: Vec<What> = self
            .blocks
            .iter_mut()
            .filter(|(_, block)| block.count > 0)
            .map(|(file, block)| block.close(file))
            .collect();
        open.into_iter().try_for_each(|bound| self.append(at, bound).map(drop))
    }
}
