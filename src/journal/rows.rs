//! Rows by their file, as they become evidence.

use std::collections::BTreeMap;

use crate::model::event::Event;
use crate::model::evidence::Evidence;
use crate::model::name::{Name, ProbeId, Vantage};
use crate::model::sample::{Found, Row, RowFile, Sample, Write};

/// The rows of a run by their file.
#[derive(Debug, Clone, Default)]
pub(super) struct Gathered {
    samples: BTreeMap<(ProbeId, Vantage), Vec<Sample>>,
    writes: BTreeMap<Name, Vec<Write>>,
    reads: BTreeMap<(Name, u32), Vec<Found>>,
}

impl Gathered {
    /// Adds a row of a file.
    pub fn add(&mut self, file: &RowFile, row: &str) -> Result<(), String> {
        fn read<R: Row>(file: &RowFile, row: &str) -> Result<R, String> {
            R::read(row).ok_or_else(|| {
                format!(
                    "`{}` is no row of {}",
                    row.chars().take(80).collect::<String>().escape_debug(),
                    file.path()
                )
            })
        }
        match file {
            RowFile::Probe(probe, vantage) => {
                let sample = read(file, row)?;
                self.samples.entry((probe.clone(), vantage.clone())).or_default().push(sample);
            }
            RowFile::Writes(store) => {
                let write = read(file, row)?;
                self.writes.entry(store.clone()).or_default().push(write);
            }
            RowFile::Read(store, pass) => {
                let found = read(file, row)?;
                self.reads.entry((store.clone(), *pass)).or_default().push(found);
            }
        }
        Ok(())
    }

    /// The whole evidence, each file in its own order.
    pub fn into_evidence(mut self, events: Vec<Event>, gaps: Vec<String>) -> Evidence {
        for samples in self.samples.values_mut() {
            samples.sort_by_key(|sample| (sample.sent, sample.scheduled, sample.completed));
        }
        for writes in self.writes.values_mut() {
            writes.sort_by_key(|write| write.number);
        }
        Evidence { events, samples: self.samples, writes: self.writes, reads: self.reads, gaps }
    }
}
