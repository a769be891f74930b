//! The files that a SandboxSpec's manifests stand for, and what of them may be kept.

use std::fs;
use std::ops::Range;
use std::path::Path;

use crate::journal::chain::sha256;

/// The most files below a folder.
const MOST_FILES: usize = 500;

/// How deep folders nest.
const DEEPEST: usize = 8;

/// Files that say that a folder is made into manifests by another tool first, and how.
const RECIPES: [(&str, &str); 4] = [
    ("Chart.yaml", "is a Helm chart: render it into a file with `helm template NAME FOLDER`"),
    (
        "kustomization.yaml",
        "is a kustomization: write what it makes into a file with `kubectl kustomize FOLDER`",
    ),
    (
        "kustomization.yml",
        "is a kustomization: write what it makes into a file with `kubectl kustomize FOLDER`",
    ),
    ("Kustomization", "is a kustomization: write what it makes into a file with `kubectl kustomize FOLDER`"),
];

/// The file of this path from a folder, or every YAML and JSON file below the folder of this path, in the order of their names.
///
/// # Errors
/// Where there is none, or there are too many; in words that follow the path.
pub fn files(folder: &Path, named: &str) -> Result<Vec<String>, String> {
    let named = named.trim_end_matches('/');
    if !folder.join(named).is_dir() {
        return Ok(vec![named.to_owned()]);
    }
    let mut found = Vec::new();
    walk(folder, named, DEEPEST, &mut found)?;
    match found.len() {
        0 => Err("is a folder without a YAML or JSON file".to_owned()),
        count if count > MOST_FILES => Err(format!("is a folder with more than {MOST_FILES} files")),
        _ => Ok(found),
    }
}

fn walk(folder: &Path, below: &str, deep: usize, found: &mut Vec<String>) -> Result<(), String> {
    if deep == 0 {
        return Err(format!("is a folder that nests deeper than {DEEPEST}"));
    }
    let entries = fs::read_dir(folder.join(below)).map_err(|error| format!("cannot be read: {error}"))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    if let Some((_, why)) = RECIPES.iter().find(|(file, _)| names.iter().any(|name| name == file)) {
        return Err((*why).to_owned());
    }
    for name in names.iter().filter(|name| !name.starts_with('.')) {
        let path = format!("{below}/{name}");
        if folder.join(&path).is_dir() {
            walk(folder, &path, deep - 1, found)?;
        } else if [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
        if found.len() > MOST_FILES {
            return Ok(());
        }
    }
    Ok(())
}

/// A text with digests in place of what stands at some places.
pub fn redacted(text: &str, places: &[Range<usize>]) -> Vec<u8> {
    let mut kept = String::new();
    let mut from = 0;
    for place in places.iter().filter(|place| place.start < place.end) {
        let (Some(before), Some(value)) = (text.get(from..place.start), text.get(place.clone())) else {
            continue;
        };
        kept.push_str(before);
        kept.push_str(&format!("\"sha256:{}\"", sha256(value.as_bytes()).0));
        kept.push_str(if value.ends_with('\n') { "\n" } else { "" });
        from = place.end;
    }
    kept.push_str(text.get(from..).unwrap_or_default());
    kept.into_bytes()
}
