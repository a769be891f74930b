//! A sink in memory, for tests and for what needs no folder: the same events, rows and bindings as the writer's.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256 as Hasher};

use super::chain::{GENESIS, hex, line};
use super::rows::Gathered;
use super::writer::BLOCK;
use crate::model::event::{Event, RowFilePath, Sink, SinkError, What};
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
}

/// The rows of a file that no event binds yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    pub from: u64,
    pub count: u64,
    pub hasher: Hasher,
}

impl Block {
    /// Takes a row into the block, as it stands in the file.
    pub fn take(&mut self, row: &str) {
        self.hasher.update(row);
        self.hasher.update("\n");
        self.count += 1;
    }

    /// The event that binds the block; the next block begins.
    pub fn close(&mut self, file: &RowFile) -> What {
        let hasher = std::mem::take(&mut self.hasher);
        let (from, count) = (self.from, self.count);
        self.from += count;
        self.count = 0;
        What::Rows { file: RowFilePath(file.clone()), from, count, sha256: hex(&hasher.finalize()) }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            head: GENESIS.into(),
            gathered: Gathered::default(),
            blocks: BTreeMap::new(),
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
        if !self.blocks.contains_key(file) {
            self.blocks.insert(file.clone(), Block::default());
        }
        let Some(block) = self.blocks.get_mut(file) else { return Ok(()) };
        block.take(row);
        if block.count >= BLOCK {
            let bound = block.close(file);
            self.append(at, bound)?;
        }
        Ok(())
    }

    fn bind(&mut self, at: At) -> Result<(), SinkError> {
        let open: Vec<What> = self
            .blocks
            .iter_mut()
            .filter(|(_, block)| block.count > 0)
            .map(|(file, block)| block.close(file))
            .collect();
        open.into_iter().try_for_each(|bound| self.append(at, bound).map(drop))
    }
}
