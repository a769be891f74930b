//! Writes the evidence folder: an event is on disk when `append` returns, but for those that only bind rows.
//!
//! Rows are buffered, since there may be thousands a second: they are on disk before the next event, which may depend on them, and written
//! at least once a second of the run's clock. They are evidence once an event binds them: every few seconds, so that a run that is killed
//! shows all but the last of what it saw. A write that fails part of the way is taken back, so
//! that a journal never holds half a line that its writer knows of. A resumed journal takes events only: nobody probes in `heal`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use super::chain::{BadLine, Chain, GENESIS, Next, line, sha256};
use super::rows::{Block, open};
use super::{JOURNAL, TORN};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::model::event::{Event, Sink, SinkError, What};
use crate::model::name::Sha256;
use crate::model::sample::RowFile;
use crate::model::time::{At, Duration};

/// At most this many rows of a file stand in a block.
pub const BLOCK: u64 = 512;

/// Rows are bound when the last time that all were is as long ago.
pub const BOUND_EVERY: Duration = Duration::from_secs(10);

/// Rows are written out when the last time is as long ago.
const WRITTEN_EVERY: Duration = Duration::from_secs(1);

/// What the records of one undo take at most, beside a repetition of the effect's own: its start, its end, its conflicts, and the fence
/// that may have to come before it.
const UNDO_RECORDS: u64 = 8192;

/// Why a folder could not be opened for writing.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{path}: {why}: name a folder that can be written, and that holds no other run")]
    File { path: PathBuf, why: io::Error },
    #[error("journal.jsonl, line {line}: {bad}; it is not continued, `drillmaster verify` says more")]
    Broken { line: u64, bad: BadLine },
    #[error("`{0}` is no path under inputs/")]
    InputPath(String),
}

/// A folder that is being written.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    journal: File,
    /// Bytes of the lines that are on disk.
    bytes: u64,
    /// Bytes beyond them that undoing may need.
    owed: u64,
    seq: u64,
    head: Sha256,
    files: BTreeMap<RowFile, Rows>,
    /// When the rows were last written out.
    written: At,
    /// When all of them were last bound.
    bound: At,
    resumed: bool,
    /// The run is over, and is healed.
    healing: bool,
}

/// A file of rows that is being written.
#[derive(Debug)]
struct Rows {
    file: BufWriter<File>,
    /// Whether it holds rows that may not be on disk.
    dirty: bool,
    block: Block,
}

impl Rows {
    fn put_on_disk(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.flush()?;
            self.file.get_ref().sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }
}

impl Writer {
    /// A new folder; refused where there is a journal already.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn create(folder: &Path) -> Result<Writer, JournalError> {
        let path = folder.join(JOURNAL);
        let failed = |why| JournalError::File { path: path.clone(), why };
        fs::create_dir_all(folder).map_err(failed)?;
        let journal = new_file(&path).map_err(failed)?;
        Ok(Writer {
            folder: folder.to_owned(),
            journal,
            bytes: 0,
            owed: 0,
            seq: 0,
            head: GENESIS.into(),
            files: BTreeMap::new(),
            written: At(0),
            bound: At(0),
            resumed: false,
            healing: false,
        })
    }

    /// Goes on with a folder, as `heal` does. A torn last line is moved to `journal.torn`.
    ///
    /// # Errors
    /// Where it cannot be read, or a record before the last does not hold.
    pub fn resume(folder: &Path) -> Result<Writer, JournalError> {
        let path = folder.join(JOURNAL);
        let failed = |why| JournalError::File { path: path.clone(), why };
        let mut chain = Chain::new(BufReader::new(open(folder, JOURNAL).map_err(failed)?));
        let torn = loop {
            match chain.next_event().map_err(failed)? {
                Next::Event(_) => {}
                Next::Bad(bad) => return Err(JournalError::Broken { line: chain.read + 1, bad }),
                Next::Torn(bytes) => break Some(bytes),
                Next::End => break None,
            }
        };
        let journal = OpenOptions::new().append(true).open(&path).map_err(failed)?;
        if let Some(bytes) = torn {
            keep_torn(folder, &bytes).map_err(failed)?;
            journal.set_len(chain.bytes).and_then(|()| journal.sync_all()).map_err(failed)?;
        }
        Ok(Writer {
            folder: folder.to_owned(),
            journal,
            bytes: chain.bytes,
            owed: 0,
            seq: chain.read,
            head: chain.head,
            files: BTreeMap::new(),
            written: At(0),
            bound: At(0),
            resumed: true,
            healing: true,
        })
    }

    /// Keeps the exact bytes of an input under `inputs/`, and gives the digest that `runStarted` names.
    ///
    /// # Errors
    /// Where the path leaves the folder, or the file cannot be written.
    pub fn input(&mut self, path: &str, bytes: &[u8]) -> Result<Sha256, JournalError> {
        if !is_inside(path) {
            return Err(JournalError::InputPath(path.to_owned()));
        }
        let path = self.folder.join("inputs").join(path);
        let written = new_file(&path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.map_err(|why| JournalError::File { path, why })?;
        Ok(sha256(bytes))
    }

    /// The head of the chain: known from elsewhere, it proves that nothing was cut off.
    pub fn head(&self) -> &Sha256 {
        &self.head
    }

    /// Before an effect, takes the space of its undo's records on disk (I6), and keeps it free of other records: a disk that fills
    /// up refuses the next effect, and not the healing of the last one. File systems without reservations go without.
    fn reserve(&mut self, what: &What, length: u64) -> io::Result<()> {
        let owed = match what {
            what if self.is_reserved_for(what) => return Ok(()),
            What::EffectIntended { .. } => self.owed + length + UNDO_RECORDS,
            _ => self.owed,
        };
        if owed > 0 {
            match fallocate(&self.journal, FallocateFlags::KEEP_SIZE, self.bytes, length + owed) {
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(full) => return Err(full.into()),
            }
        }
        self.owed = owed;
        Ok(())
    }

    /// Whether an event goes into space that was reserved: so do effects that healing needs itself, as a fence.
    fn is_reserved_for(&self, what: &What) -> bool {
        what.has_reserved_space() || self.healing && matches!(what, What::EffectIntended { .. })
    }

    /// Writes a line, and waits for the disk where somebody depends on the event: what rows say is in their files already, and the next
    /// event takes their line along.
    fn put(&mut self, line: &str, waits: bool) -> io::Result<()> {
        let sync = |journal: &File| if waits { journal.sync_data() } else { Ok(()) };
        let written = self.journal.write_all(line.as_bytes()).and_then(|()| sync(&self.journal));
        if written.is_err() {
            self.journal.set_len(self.bytes)?;
        }
        written
    }

    fn put_rows_on_disk(&mut self) -> io::Result<()> {
        self.files.values_mut().try_for_each(Rows::put_on_disk)
    }

    /// Hands rows to the system when it is time, without waiting for the disk.
    fn write_rows(&mut self, at: At) -> io::Result<()> {
        if at.since(self.written) >= WRITTEN_EVERY {
            self.written = at;
            self.files.values_mut().try_for_each(|rows| rows.file.flush())?;
        }
        Ok(())
    }

    fn close(&mut self, at: At, file: &RowFile) -> Result<(), SinkError> {
        let Some(rows) = self.files.get_mut(file).filter(|rows| rows.block.count > 0) else {
            return Ok(());
        };
        rows.put_on_disk().map_err(refused)?;
        let bound = rows.block.close(file);
        self.append(at, bound).map(drop)
    }
}

impl Sink for Writer {
    fn append(&mut self, at: At, what: What) -> Result<Event, SinkError> {
        // Their own rows are on disk before they are bound.
        let waits = !matches!(what, What::Rows { .. });
        self.healing |= matches!(what, What::AbortRequested { .. } | What::HealStarted { .. });
        if waits {
            match self.put_rows_on_disk() {
                // A full disk that takes no row still takes what healing has reserved.
                Err(_) if self.is_reserved_for(&what) => {}
                written => written.map_err(refused)?,
            }
        }
        let event = Event { seq: self.seq, at, what };
        let (mut text, head) = line(&self.head, &event).map_err(refused)?;
        text.push('\n');
        self.reserve(&event.what, text.len() as u64).map_err(refused)?;
        self.put(&text, waits).map_err(refused)?;
        self.bytes += text.len() as u64;
        self.seq += 1;
        self.head = head;
        Ok(event)
    }

    fn row(&mut self, at: At, file: &RowFile, row: &str) -> Result<(), SinkError> {
        if self.resumed || row.contains('\n') {
            let why = if self.resumed { "a resumed journal takes no rows" } else { "a row is one line" };
            return Err(SinkError { why: why.to_owned() });
        }
        if !self.files.contains_key(file) {
            let mut opened = BufWriter::new(new_file(&self.folder.join(file.path())).map_err(refused)?);
            writeln!(opened, "{}", file.header()).map_err(refused)?;
            self.files.insert(file.clone(), Rows { file: opened, dirty: true, block: Block::default() });
        }
        let Some(rows) = self.files.get_mut(file) else { return Ok(()) };
        writeln!(rows.file, "{row}").map_err(refused)?;
        rows.dirty = true;
        rows.block.take(row);
        if rows.block.count >= BLOCK {
            self.close(at, file)?;
        }
        if at.since(self.bound) >= BOUND_EVERY {
            return self.bind(at);
        }
        self.write_rows(at).map_err(refused)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.put_rows_on_disk().map_err(refused)
    }

    fn bind(&mut self, at: At) -> Result<(), SinkError> {
        self.bound = at;
        let files: Vec<RowFile> = self.files.keys().cloned().collect();
        files.iter().try_for_each(|file| self.close(at, file))
    }
}

fn refused(why: impl ToString) -> SinkError {
    SinkError { why: why.to_string() }
}

/// Whether a path from elsewhere stays inside the folder that it is put under.
pub(super) fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Makes a file that is still there after a power cut: its folder is on disk as well.
fn new_file(path: &Path) -> io::Result<File> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let file = OpenOptions::new().append(true).create_new(true).open(path)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        File::open(above)?.sync_all()?;
    }
    Ok(file)
}

fn keep_torn(folder: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(folder.join(TORN))?;
    file.write_all(bytes)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use serde_json::json;

    use super::*;
    use crate::model::effect::{Act, Effect, EffectId, Of, Ref, Resource, Undo};
    use crate::model::event::Outcome;

    #[test]
    fn the_space_of_an_undos_records_is_on_disk_before_its_effect() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(folder.path()).unwrap();
        let at = Ref::new(&"east".into(), Resource::config_maps(), Some("shop"), "settings");
        let act = Act::Create { at, object: json!({"data": {"text": "x".repeat(20_000)}}) };
        let effect = Effect { id: EffectId(1), act, of: Of::Fault };
        let undo = Undo::Nothing { because: "a test".to_owned() };
        writer.append(At(0), What::EffectIntended { step: "s".into(), effect, undo }).unwrap();
        let on_disk = || fs::metadata(folder.path().join(JOURNAL)).unwrap();
        let (length, taken) = (on_disk().len(), on_disk().blocks() * 512);
        assert!(taken >= 2 * length + UNDO_RECORDS, "{taken} bytes are taken for {length}");
        writer.append(At(1), What::StepEnded { step: "s".into(), outcome: Outcome::Ok }).unwrap();
        assert!(
            on_disk().blocks() * 512 >= on_disk().len() + length + UNDO_RECORDS,
            "another record took of it"
        );
    }

    #[test]
    fn a_row_is_on_disk_before_the_next_event_and_is_written_within_a_second_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(folder.path()).unwrap();
        let file = RowFile::Writes("orders".into());
        let rows = || fs::read_to_string(folder.path().join(file.path())).unwrap().lines().count();
        let after = |milliseconds: u64| At(0).plus(Duration::from_millis(milliseconds));
        writer.row(after(100), &file, "1").unwrap();
        assert_eq!(rows(), 0, "no system call for each row");
        writer.append(after(200), What::StepStarted { step: "s".into() }).unwrap();
        assert_eq!(rows(), 2, "the header and the row");
        writer.row(after(300), &file, "2").unwrap();
        assert_eq!(rows(), 2);
        writer.row(after(1000), &file, "3").unwrap();
        assert_eq!(rows(), 4, "a second is over");
        writer.row(after(1100), &file, "4").unwrap();
        writer.flush().unwrap();
        assert_eq!(rows(), 5);
    }

    #[test]
    fn a_row_is_evidence_within_ten_seconds_without_any_other_event() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(folder.path()).unwrap();
        let bound = || fs::read_to_string(folder.path().join(JOURNAL)).unwrap().lines().count();
        let (seldom, often) = (RowFile::Writes("orders".into()), RowFile::Writes("carts".into()));
        let after = |seconds: u64| At(0).plus(Duration::from_secs(seconds));
        writer.row(after(1), &seldom, "1").unwrap();
        for second in 2..10 {
            writer.row(after(second), &often, "1").unwrap();
        }
        assert_eq!(bound(), 0);
        writer.row(after(10), &often, "2").unwrap();
        assert_eq!(bound(), 2, "both files");
        writer.row(after(19), &often, "3").unwrap();
        assert_eq!(bound(), 2);
        writer.row(after(20), &often, "4").unwrap();
        assert_eq!(bound(), 3, "nothing is new in the other");
    }
}
