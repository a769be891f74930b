//! Files of rows: blocks that an event binds, and rows as they become evidence.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::Path;

use sha2::{Digest, Sha256 as Hasher};

use super::chain::{Line, bounded_line, hex};
use crate::model::event::{Event, RowFilePath, What};
use crate::model::evidence::Evidence;
use crate::model::name::{Name, ProbeId, Sha256, Vantage};
use crate::model::sample::{Found, Row, RowFile, Sample, Write};

/// A longer row is no row of ours.
const LONGEST_ROW: usize = 4096;
/// More files than any drill has; a journal that names more is hostile.
const MOST_FILES: usize = 4096;

/// The rows of a file that no event binds yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    pub from: u64,
    pub count: u64,
    hasher: Hasher,
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

/// A file of an evidence folder that may be read: neither a link nor a pipe, which a hostile bundle could hold, nor behind a link within
/// the folder. (The folder itself is whoever's who names it.)
///
/// # Errors
/// Where there is none, or it is something else.
pub fn open(folder: &Path, within: &str) -> io::Result<File> {
    let refused = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
    let above = Path::new(within).ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    for above in above {
        if !fs::symlink_metadata(folder.join(above))?.is_dir() {
            return Err(refused(format!("{} is no plain folder", above.display())));
        }
    }
    let path = folder.join(within);
    if !fs::symlink_metadata(&path)?.is_file() {
        return Err(refused("it is no plain file".to_owned()));
    }
    File::open(path)
}

/// How far each file of rows has been read.
#[derive(Debug, Default)]
pub(super) struct Bound {
    places: BTreeMap<RowFile, Place>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    rows: u64,
    bytes: u64,
}

/// What is wrong with a file of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadRows {
    /// From 1, with the header.
    pub line: Option<u64>,
    pub what: String,
}

impl Bound {
    /// Reads the block that an event binds, gives each row away, and checks the digest at the end.
    pub fn block(
        &mut self,
        folder: &Path,
        file: &RowFile,
        (from, count, sha256): (u64, u64, &Sha256),
        mut take: impl FnMut(&str) -> Result<(), String>,
    ) -> Result<(), BadRows> {
        let at_all = |what: String| BadRows { line: None, what };
        if !self.places.contains_key(file) && self.places.len() >= MOST_FILES {
            return Err(at_all(format!("more than {MOST_FILES} files of rows")));
        }
        let place = self.places.entry(file.clone()).or_default();
        if from != place.rows {
            return Err(at_all(format!("row {} should be bound next, and row {from} is", place.rows)));
        }
        let unreadable = |why: io::Error| at_all(format!("it cannot be read: {why}"));
        let mut rows = BufReader::new(open(folder, &file.path()).map_err(unreadable)?);
        rows.seek(SeekFrom::Start(place.bytes)).map_err(unreadable)?;
        let mut line = Vec::new();
        if place.bytes == 0 {
            let read = bounded_line(&mut rows, &mut line, LONGEST_ROW).map_err(unreadable)?;
            if read != Line::Whole || line != file.header().as_bytes() {
                return Err(BadRows { line: Some(1), what: "not the header of such a file".to_owned() });
            }
            place.bytes = line.len() as u64 + 1;
        }
        let first = place.rows + 2;
        let mut block = Block { from, ..Block::default() };
        while block.count < count {
            let here = |what: &str| BadRows { line: Some(place.rows + 2), what: what.to_owned() };
            match bounded_line(&mut rows, &mut line, LONGEST_ROW).map_err(unreadable)? {
                Line::Whole => {}
                Line::Torn | Line::End => return Err(here("a row that an event binds is missing")),
                Line::TooLong => return Err(here("a row of more than 4096 bytes")),
            }
            let row = std::str::from_utf8(&line).map_err(|_| here("a row that is no text"))?;
            take(row).map_err(|what| here(&what))?;
            block.take(row);
            place.rows += 1;
            place.bytes += line.len() as u64 + 1;
        }
        let bound = What::Rows { file: RowFilePath(file.clone()), from, count, sha256: sha256.clone() };
        if block.close(file) != bound {
            // The digest is of the block as a whole; no record says which of its rows it is.
            let last = first + count.saturating_sub(1);
            let what =
                format!("one of the rows on lines {first} to {last} is not the one that the journal binds");
            return Err(BadRows { line: Some(first), what });
        }
        Ok(())
    }

    /// What stands in the files of rows after the last bound row, or in files that no event names.
    pub fn unbound(&self, folder: &Path) -> Vec<(String, BadRows)> {
        let mut found = Vec::new();
        for name in ["probes", "ledger"] {
            for path in names(&folder.join(name)) {
                let path = format!("{name}/{path}");
                let file = RowFile::from_path(&path);
                let place = file.as_ref().and_then(|file| self.places.get(file)).copied().unwrap_or_default();
                let size = fs::symlink_metadata(folder.join(&path)).map_or(0, |about| about.len());
                if place.rows == 0 || size > place.bytes {
                    let what = match place.rows {
                        0 => "no event binds it".to_owned(),
                        rows => format!("what follows row {rows} is bound by no event"),
                    };
                    found.push((path, BadRows { line: Some(place.rows + 2), what }));
                }
            }
        }
        found
    }
}

/// The names in a folder, in order; none where there is no such folder, or a link.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let plain = fs::symlink_metadata(folder).is_ok_and(|about| about.is_dir());
    let entries = plain.then(|| fs::read_dir(folder).ok()).flatten().into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.take(MOST_FILES).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Whether a text is a row of a file.
pub(super) fn is_row(file: &RowFile, row: &str) -> Result<(), String> {
    match file {
        RowFile::Probe(..) => parse::<Sample>(row).map(drop),
        RowFile::Writes(_) => parse::<Write>(row).map(drop),
        RowFile::Read(..) => parse::<Found>(row).map(drop),
    }
}

fn parse<R: Row>(row: &str) -> Result<R, String> {
    R::read(row).ok_or_else(|| {
        format!("no row of such a file: `{}`", row.chars().take(80).collect::<String>().escape_debug())
    })
}

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
        match file {
            RowFile::Probe(probe, vantage) => {
                let sample = parse(row)?;
                self.samples.entry((probe.clone(), vantage.clone())).or_default().push(sample);
            }
            RowFile::Writes(store) => {
                let write = parse(row)?;
                self.writes.entry(store.clone()).or_default().push(write);
            }
            RowFile::Read(store, pass) => {
                let found = parse(row)?;
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
