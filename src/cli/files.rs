//! The files that documents stand in: bounded, and below their folder, symbolic links included.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path as FilePath, PathBuf};

use crate::document::Diagnostic;
use crate::scenario::checks::leaves_folder::{NO_PLACE_BELOW, stays_inside};

/// The longest file in bytes.
pub(super) const LONGEST_FILE: u64 = 10 << 20;

/// The most files that are looked through for a name.
const MOST_FILES: usize = 500;

/// A file below a folder, and its text.
pub(super) fn read_below(folder: &FilePath, named: &str) -> Result<(PathBuf, String), String> {
    if !stays_inside(named) {
        return Err(NO_PLACE_BELOW.to_owned());
    }
    let file = folder.join(named);
    let real =
        |path: &FilePath| path.canonicalize().map_err(|error| format!("cannot be read: {}", plainly(&error)));
    if !real(&file)?.starts_with(real(folder)?) {
        return Err("is a link that leads out of the folder".to_owned());
    }
    if !file.is_file() {
        return Err("is not a file".to_owned());
    }
    let bytes = bytes_of(&file).map_err(|error| error.message)?;
    let text = String::from_utf8(bytes).map_err(|_| "is no text: save it as UTF-8".to_owned())?;
    Ok((file, text))
}

/// The bytes of a file, if they are not too many.
pub(super) fn bytes_of(file: &FilePath) -> Result<Vec<u8>, Diagnostic> {
    let wrong = |why: &str| Diagnostic::error(format!("cannot read `{}`: {why}", file.display()), None);
    let open = || {
        if !fs::metadata(file)?.is_file() {
            return Err(std::io::Error::other("it is not a file"));
        }
        let mut bytes = Vec::new();
        File::open(file)?.take(LONGEST_FILE + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = open().map_err(|error| wrong(&plainly(&error)).help("check the path"))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LONGEST_FILE {
        return Err(wrong("it has more than 10 MiB").help("is this the right file?"));
    }
    Ok(bytes)
}

/// An error of the system without its number.
fn plainly(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "it may not be read".to_owned(),
        _ => error.to_string(),
    }
}

/// A file by the one path that it has behind all links; one that is not there by its own.
pub(super) fn real(file: &FilePath) -> PathBuf {
    file.canonicalize().unwrap_or_else(|_| file.to_owned())
}

/// The YAML files of a folder, in order, and how many there are beside them.
pub(super) fn yaml_files(folder: &FilePath) -> (Vec<PathBuf>, usize) {
    let is_yaml =
        |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml") && path.is_file();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_yaml).collect();
    files.sort();
    let left_out = files.len().saturating_sub(MOST_FILES);
    files.truncate(MOST_FILES);
    (files, left_out)
}
