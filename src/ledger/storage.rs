//! Where a node's changes are kept: in memory, or in a file of one line per change.
//!
//! The file is only ever appended to, and each append is on disk before it is acknowledged. A last line without its end was never
//! acknowledged, so it is cut off; any other line that cannot be read is an error. The file is locked for as long as it is open: two nodes on
//! one file would be two primaries of one epoch. Left out: compaction.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::Change;

/// The longest line that is read.
const LINE_LIMIT: u64 = 64 * 1024;

/// Why changes cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("cannot use {path}: {source}; check that the folder exists, is writable and has space")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{path} is damaged at line {line}: put a copy of the file in its place, or start with an empty folder"
    )]
    Damaged { path: PathBuf, line: u64 },
    #[error("another ledger has {path} open: give this one its own --data")]
    Taken { path: PathBuf },
    #[error("the storage failed before: restart the node")]
    Failed,
}

/// Keeps changes, in order.
pub trait Storage: Send {
    /// All changes that were kept.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn load(&mut self) -> Result<Vec<Change>, StorageError>;

    /// Keeps changes; when this returns, they are durable.
    ///
    /// # Errors
    /// Where they are not: nobody knows then which of them are.
    fn append(&mut self, changes: &[Change]) -> Result<(), StorageError>;
}

/// Changes in memory; clones share them, so that a restarted node finds them again.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Vec<Change>>>);

impl Storage for Memory {
    fn load(&mut self) -> Result<Vec<Change>, StorageError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn append(&mut self, changes: &[Change]) -> Result<(), StorageError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(changes);
        Ok(())
    }
}

/// Changes in a file.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    file: fs::File,
    /// Set by a failed append: what the file holds is then not known.
    failed: bool,
}

impl File {
    /// Opens `ledger.jsonl` in a folder, or makes both.
    ///
    /// # Errors
    /// Where it cannot be opened for writing, or another node has it open.
    pub fn open(folder: &Path) -> Result<File, StorageError> {
        let path = folder.join("ledger.jsonl");
        let opened = fs::create_dir_all(folder).and_then(|()| {
            let file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
            fs::File::open(folder)?.sync_all()?;
            Ok(file)
        });
        match opened.map(|file| (file.try_lock(), file)) {
            Ok((Ok(()), file)) => Ok(File { path, file, failed: false }),
            Ok((Err(TryLockError::WouldBlock), _)) => Err(StorageError::Taken { path }),
            Ok((Err(TryLockError::Error(source)), _)) | Err(source) => Err(StorageError::Io { path, source }),
        }
    }

    fn error(&self) -> impl Fn(io::Error) -> StorageError + use<> {
        let path = self.path.clone();
        move |source| StorageError::Io { path: path.clone(), source }
    }
}

impl Storage for File {
    fn load(&mut self) -> Result<Vec<Change>, StorageError> {
        let error = self.error();
        self.file.seek(SeekFrom::Start(0)).map_err(&error)?;
        let mut reader = BufReader::new(&self.file);
        let (mut changes, mut line, mut whole) = (Vec::new(), Vec::new(), 0);
        loop {
            line.clear();
            let length = reader.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line).map_err(&error)?;
            let ended = line.ends_with(b"\n");
            if !ended && (length as u64) < LINE_LIMIT {
                break;
            }
            let damaged =
                || StorageError::Damaged { path: self.path.clone(), line: changes.len() as u64 + 1 };
            changes.push(serde_json::from_slice(&line).map_err(|_| damaged())?);
            whole += length as u64;
        }
        if !line.is_empty() {
            self.file.set_len(whole).and_then(|()| self.file.sync_all()).map_err(&error)?;
        }
        Ok(changes)
    }

    fn append(&mut self, changes: &[Change]) -> Result<(), StorageError> {
        if self.failed {
            return Err(StorageError::Failed);
        }
        let mut lines = Vec::new();
        for change in changes {
            serde_json::to_writer(&mut lines, change).map_err(|error| self.error()(error.into()))?;
            lines.push(b'\n');
        }
        let kept = self.file.write_all(&lines).and_then(|()| self.file.sync_data());
        self.failed = kept.is_err();
        kept.map_err(self.error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Entry, Logged};

    fn change(epoch: u64) -> Change {
        Change::Append(Logged { epoch, entry: Entry::Began })
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_nothing_before_it_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        File::open(folder.path()).unwrap().append(&[change(1), Change::Fence]).unwrap();
        let path = folder.path().join("ledger.jsonl");
        let bytes = fs::read(&path).unwrap();
        let first = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for length in first..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            let mut file = File::open(folder.path()).unwrap();
            assert_eq!(file.load().unwrap(), [change(1)], "cut at {length}");
            file.append(&[change(2)]).unwrap();
            assert_eq!(file.load().unwrap(), [change(1), change(2)], "cut at {length}");
        }
    }

    #[test]
    fn a_file_that_a_node_has_open_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = File::open(folder.path()).unwrap();
        let taken = File::open(folder.path()).unwrap_err();
        assert!(matches!(&taken, StorageError::Taken { path } if path.ends_with("ledger.jsonl")), "{taken}");
        first.append(&[change(1)]).unwrap();
        drop(first);
        assert_eq!(File::open(folder.path()).unwrap().load().unwrap(), [change(1)]);
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = File::open(folder.path()).unwrap();
        file.append(&[change(1)]).unwrap();
        file.file.write_all(b"{\"append\"\n").unwrap();
        file.append(&[change(2)]).unwrap();
        assert!(matches!(file.load(), Err(StorageError::Damaged { line: 2, .. })));
        file.file.write_all(&vec![b'x'; 100_000]).unwrap();
        assert!(matches!(file.load(), Err(StorageError::Damaged { line: 2, .. })));
    }
}
