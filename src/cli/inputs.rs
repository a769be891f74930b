//! A drill file and everything that it refers to, from its folder or from files given with `-f`.
//!
//! Documents are found by `metadata.name`; two with one name are an error. A document is as trusted as its folder: the
//! runbook and the manifests lie in it, symbolic links included, and are bounded. The exact bytes of all that was used are
//! kept for the evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use super::files::{bytes_of, read_below, real, yaml_files};
use super::manifests;
use crate::catalogue::{self, ServiceCatalogue};
use crate::cluster::{self, EnvironmentSpec};
use crate::document::{
    self, Diagnostic, Document, Kind, Look, Path, Place, Source, Untyped, ordered, refused,
};
use crate::journal::chain::sha256;
use crate::model::name::{Name, Sha256};
use crate::plan;
use crate::sandbox::{self, SandboxSpec};
use crate::scenario::checks::{
    self,
    leaves_folder::{NO_PLACE_BELOW, stays_inside},
};
use crate::scenario::{Drill, Procedure, Scenario, Surroundings};

/// Every kind of document that a file may hold.
pub const KINDS: [&str; 5] =
    [Drill::KIND, ServiceCatalogue::KIND, SandboxSpec::KIND, EnvironmentSpec::KIND, Procedure::KIND];

/// All that a run needs to know.
#[derive(Debug)]
pub struct Inputs {
    pub scenario: Scenario,
    /// The regions of a rehearsal; on real clusters there may be none.
    pub sandbox: Option<Document<SandboxSpec>>,
    /// The real clusters, and the folder where their document's paths begin.
    pub environment: Option<(Document<EnvironmentSpec>, PathBuf)>,
    /// The runbook's path, as the drill names it, and its text.
    pub runbook: Option<(String, String)>,
    /// The sandbox's manifests by their path, as its document names them.
    pub manifests: BTreeMap<String, String>,
    /// The exact bytes of every file that was used, by its path from the drill's folder.
    pub files: BTreeMap<String, Vec<u8>>,
    pub warnings: Findings,
}

impl Inputs {
    /// The digest of every file that was used.
    pub fn digests(&self) -> BTreeMap<String, Sha256> {
        self.files.iter().map(|(path, bytes)| (path.clone(), sha256(bytes))).collect()
    }

    /// Diagnostics about these documents, as a person reads them.
    pub fn rendered(&self, diagnostics: &[Diagnostic], look: Look) -> String {
        document::render(diagnostics, self.warnings.sources.iter().map(AsRef::as_ref), look)
    }
}

/// Diagnostics with the texts that they speak of.
#[derive(Debug, Default)]
pub struct Findings {
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Vec<Arc<Source>>,
}

impl Findings {
    /// As a person reads them.
    pub fn render(&self, look: Look) -> String {
        document::render(&self.diagnostics, self.sources.iter().map(Arc::as_ref), look)
    }

    /// Whether one of them is an error.
    pub fn refused(&self) -> bool {
        refused(&self.diagnostics)
    }
}

/// Loads a drill file and what it refers to, for a rehearsal.
///
/// # Errors
/// Everything that is wrong with the documents, at once.
pub fn load(drill: &FilePath, more: &[PathBuf]) -> Result<Inputs, Findings> {
    load_for(drill, more, None)
}

/// Loads a drill file and what it refers to: for the clusters of an environment file, or for a rehearsal without one.
///
/// # Errors
/// Everything that is wrong with the documents, at once.
pub fn load_for(
    drill: &FilePath,
    more: &[PathBuf],
    environment: Option<&FilePath>,
) -> Result<Inputs, Findings> {
    let mut loader = Loader::at(folder_of(drill));
    let inputs = loader.load(drill, more, environment);
    let files = std::mem::take(&mut loader.files);
    let found = loader.found();
    match inputs {
        Some(inputs) if !found.refused() => Ok(Inputs { files, warnings: found, ..inputs }),
        Some(_) | None => Err(found),
    }
}

/// Loads an environment file, and says where its paths begin.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn environment(file: &FilePath) -> Result<(Document<EnvironmentSpec>, PathBuf), Findings> {
    let mut loader = Loader::at(folder_of(file));
    let environment = loader.environment(file);
    let found = loader.found();
    environment.filter(|_| !found.refused()).ok_or(found)
}

/// Loads a file with a sandbox spec, or with a drill that names one: the spec, and its manifests.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn sandbox(file: &FilePath) -> Result<(Document<SandboxSpec>, BTreeMap<String, String>), Findings> {
    let mut loader = Loader::at(folder_of(file));
    let sandbox = loader.sandbox_of(file);
    let found = loader.found();
    sandbox.filter(|_| !found.refused()).ok_or(found)
}

/// Everything that is wrong with the manifests of a sandbox spec in a file.
pub fn of_manifests(sandbox: &Document<SandboxSpec>, file: &FilePath) -> Findings {
    let mut loader = Loader::at(folder_of(file));
    loader.manifests(sandbox, file);
    loader.found()
}

/// The folder that a file stands in: where the paths in it begin.
pub(super) fn folder_of(file: &FilePath) -> PathBuf {
    match file.parent() {
        Some(parent) if parent != FilePath::new("") => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

struct Loader {
    folder: PathBuf,
    /// Documents by kind and name, and where each came from.
    shelf: BTreeMap<(String, Name), Vec<Shelved>>,
    found: Findings,
    files: BTreeMap<String, Vec<u8>>,
    /// Neighbours that cannot be read: another drill's affair, unless a name is not found.
    unread: Findings,
    missing: bool,
    /// Around single fields that are wrong: what else is wrong there may follow from that.
    around: Vec<Place>,
    /// More is wrong with a document's shape than single fields, or nobody knows which is meant.
    unreadable: bool,
}

#[derive(Clone)]
struct Shelved {
    document: Untyped,
    file: PathBuf,
}

impl Loader {
    fn at(folder: PathBuf) -> Loader {
        Loader {
            folder,
            shelf: BTreeMap::new(),
            found: Findings::default(),
            files: BTreeMap::new(),
            unread: Findings::default(),
            missing: false,
            around: Vec::new(),
            unreadable: false,
        }
    }

    /// All that was found, in order.
    fn found(self) -> Findings {
        let mut found = self.found;
        if self.missing {
            found.diagnostics.extend(self.unread.diagnostics);
            found.sources.extend(self.unread.sources);
        }
        found.diagnostics = ordered(found.diagnostics);
        found
    }

    fn load(&mut self, file: &FilePath, more: &[PathBuf], environment: Option<&FilePath>) -> Option<Inputs> {
        let source = self.source(file)?;
        let documents = self.note(document::documents(&source).map_err(|error| vec![error]))?;
        let (drills, others): (Vec<Untyped>, Vec<Untyped>) =
            documents.into_iter().partition(|document| document.kind == Drill::KIND);
        let drill = match drills.as_slice() {
            [drill] => self.typed::<Drill>(drill),
            [] => {
                let message = format!("`{}` holds no Drill", file.display());
                self.say(
                    Diagnostic::error(message, None)
                        .help("name the file of the drill; what it needs is found"),
                );
                others.iter().filter(|other| !KINDS.contains(&other.kind.as_str())).for_each(|other| {
                    self.found.diagnostics.extend(other.unknown_kind(&KINDS));
                });
                None
            }
            [_, second, ..] => {
                let message = format!("a second Drill, `{}`, stands in the same file", second.name);
                self.say(
                    second
                        .error(&Path::default().then("kind"), message)
                        .help("give each drill a file of its own"),
                );
                None
            }
        }?;
        for document in others {
            self.shelve(document, file);
        }
        self.fill_shelf(file, more);
        let catalogue = self.referred::<ServiceCatalogue>(drill.spec.catalogue.as_ref());
        let environment = environment.map(|file| self.environment(file));
        let known = |name: &Name| self.shelf.contains_key(&(SandboxSpec::KIND.to_owned(), name.clone()));
        // On clusters it is needed for their rights only.
        let rehearsed = environment.is_none() || drill.spec.sandbox.as_ref().is_some_and(known);
        let sandbox = if rehearsed { self.sandbox(&drill) } else { None };
        let procedures: Vec<_> = checks::named_procedures(&drill.spec)
            .into_iter()
            .filter_map(|name| self.referred::<Procedure>(Some(&name)))
            .collect();
        let runbook = self.runbook(&drill);
        let manifests =
            sandbox.as_ref().map(|(sandbox, file)| self.manifests(sandbox, file)).unwrap_or_default();
        // What would follow from a document that is there and cannot be read is noise.
        if self.unreadable {
            return None;
        }
        let before = self.found.diagnostics.len();
        if let Some(catalogue) = &catalogue {
            self.found.diagnostics.extend(catalogue::checks::all(catalogue));
        }
        if let Some((sandbox, _)) = &sandbox {
            self.found.diagnostics.extend(sandbox::checks::all(sandbox));
        }
        let environment = environment.flatten();
        let surroundings = match &environment {
            Some((environment, _)) => Some(around(&environment.spec)),
            None => sandbox.as_ref().map(|(sandbox, _)| surroundings(&sandbox.spec)),
        };
        let scenario = Scenario { drill, catalogue, procedures, surroundings };
        self.found.diagnostics.extend(checks::all(&scenario));
        self.found.diagnostics.extend(plan::too_long(&scenario));
        let meant = self.found.diagnostics.split_off(before);
        self.found.diagnostics.extend(document::unless_it_follows(meant, &self.around));
        Some(Inputs {
            scenario,
            sandbox: sandbox.map(|(sandbox, _)| sandbox),
            environment,
            runbook,
            manifests,
            files: BTreeMap::new(),
            warnings: Findings::default(),
        })
    }

    fn say(&mut self, diagnostic: Diagnostic) {
        self.found.diagnostics.push(diagnostic);
    }

    /// The document; where single fields of it are wrong, that is noted, and it goes on without them until all is checked.
    fn typed<T: Kind>(&mut self, document: &Untyped) -> Option<Document<T>> {
        let errors = match document.typed() {
            Ok(document) => return Some(document),
            Err(errors) => errors,
        };
        let rest = document.rest();
        self.unreadable |= rest.is_none();
        self.found.diagnostics.extend(errors);
        let (document, around) = rest?;
        self.around.extend(around);
        Some(document)
    }

    /// The value, or its diagnostics noted.
    fn note<T>(&mut self, result: Result<T, Vec<Diagnostic>>) -> Option<T> {
        result.map_err(|errors| self.found.diagnostics.extend(errors)).ok()
    }

    /// A file that is used: its text, its bytes kept.
    fn source(&mut self, file: &FilePath) -> Option<Arc<Source>> {
        let bytes = self.note(bytes_of(file).map_err(|error| vec![error]))?;
        let source = Source::from_bytes(&file.display().to_string(), &bytes).map_err(|error| vec![error]);
        let source = Arc::new(self.note(source)?);
        self.keep(file, bytes);
        self.found.sources.push(source.clone());
        Some(source)
    }

    fn keep(&mut self, file: &FilePath, bytes: Vec<u8>) {
        let within = file.strip_prefix(&self.folder).ok();
        let name = within.or_else(|| file.file_name().map(FilePath::new)).unwrap_or(file);
        let name = name.display().to_string();
        let name = name.trim_start_matches("./").replace('\\', "/");
        // Another file of that name, from another folder, keeps its own bytes.
        let free = |name: &String| self.files.get(name).is_none_or(|held| *held == bytes);
        let numbered = (2_u32..).map(|number| format!("{number}/{name}"));
        if let Some(name) = std::iter::once(name.clone()).chain(numbered).find(free) {
            self.files.insert(name, bytes);
        }
    }

    fn shelve(&mut self, document: Untyped, file: &FilePath) {
        if KINDS.contains(&document.kind.as_str()) {
            let key = (document.kind.clone(), document.name.clone());
            self.shelf.entry(key).or_default().push(Shelved { document, file: file.to_owned() });
        }
    }

    /// Everything that a name could mean: the files given, and the folder's. A neighbour that cannot be read is noted: what it holds
    /// may be what is missing.
    fn fill_shelf(&mut self, drill: &FilePath, more: &[PathBuf]) {
        // A file that is given twice, or that a link leads to as well, is one.
        let mut seen = BTreeSet::from([real(drill)]);
        for file in more {
            if !seen.insert(real(file)) {
                continue;
            }
            let bytes = self.note(bytes_of(file).map_err(|error| vec![error]));
            let source = bytes.and_then(|bytes| {
                self.note(
                    Source::from_bytes(&file.display().to_string(), &bytes).map_err(|error| vec![error]),
                )
            });
            let Some(source) = source.map(Arc::new) else { continue };
            self.found.sources.push(source.clone());
            for document in
                self.note(document::documents(&source).map_err(|error| vec![error])).unwrap_or_default()
            {
                self.shelve(document, file);
            }
        }
        let (files, left_out) = yaml_files(&self.folder);
        if left_out > 0 {
            let message = format!(
                "{left_out} of the YAML files in `{}` were not looked through",
                self.folder.display()
            );
            let error = Diagnostic::error(message, None);
            self.unread.diagnostics.push(error.help("give the file that is meant with `-f`"));
        }
        for file in files {
            if !seen.insert(real(&file)) {
                continue;
            }
            let source =
                bytes_of(&file).and_then(|bytes| Source::from_bytes(&file.display().to_string(), &bytes));
            let documents = source.map(Arc::new).and_then(|source| {
                document::documents(&source).inspect_err(|_| self.unread.sources.push(source.clone()))
            });
            match documents {
                Ok(documents) => documents.into_iter().for_each(|document| self.shelve(document, &file)),
                Err(error) => self.unread.diagnostics.push(error),
            }
        }
    }

    /// The one document with a name; none where there is none, which a check then says at the reference.
    fn referred<T: Kind>(&mut self, name: Option<&Name>) -> Option<Document<T>> {
        self.shelved::<T>(name?).map(|(document, _)| document)
    }

    fn shelved<T: Kind>(&mut self, name: &Name) -> Option<(Document<T>, PathBuf)> {
        let candidates = self.shelf.get(&(T::KIND.to_owned(), name.clone())).cloned().unwrap_or_default();
        match candidates.as_slice() {
            [] => {
                self.missing = true;
                None
            }
            [one] => {
                if self.found.sources.iter().all(|source| source.path != one.document.source.path) {
                    self.found.sources.push(one.document.source.clone());
                }
                if let Ok(bytes) = bytes_of(&one.file) {
                    self.keep(&one.file, bytes);
                }
                let document = self.typed::<T>(&one.document)?;
                Some((document, one.file.clone()))
            }
            several => {
                self.unreadable = true;
                let files: Vec<String> =
                    several.iter().map(|one| format!("`{}`", one.file.display())).collect();
                let message =
                    format!("more than one {} is called `{name}`: {}", T::KIND, files.join(" and "));
                self.say(Diagnostic::error(message, None).help("rename one, or move it to another folder"));
                None
            }
        }
    }

    fn sandbox(&mut self, drill: &Document<Drill>) -> Option<(Document<SandboxSpec>, PathBuf)> {
        let name = drill.spec.sandbox.as_ref()?;
        let before = self.found.diagnostics.len();
        let sandbox = self.shelved::<SandboxSpec>(name);
        if sandbox.is_none() && self.found.diagnostics.len() == before {
            self.say(
                drill
                    .text
                    .error(&Path::spec().then("sandbox"), format!("there is no SandboxSpec `{name}` here"))
                    .help("put it into the drill's folder, or give its file with `-f`"),
            );
        }
        sandbox
    }

    /// The one Environment of a file.
    fn environment(&mut self, file: &FilePath) -> Option<(Document<EnvironmentSpec>, PathBuf)> {
        let one = self.only::<EnvironmentSpec>(file)?;
        let environment = self.typed::<EnvironmentSpec>(&one)?;
        self.found.diagnostics.extend(cluster::checks::all(&environment));
        Some((environment, folder_of(file)))
    }

    /// The one document of a kind in a file.
    fn only<T: Kind>(&mut self, file: &FilePath) -> Option<Untyped> {
        let source = self.source(file)?;
        let documents = self.note(document::documents(&source).map_err(|error| vec![error]))?;
        let mut of_kind = documents.into_iter().filter(|document| document.kind == T::KIND);
        match (of_kind.next(), of_kind.next()) {
            (Some(one), None) => return Some(one),
            (None, _) => {
                self.say(Diagnostic::error(format!("`{}` holds no {}", file.display(), T::KIND), None));
            }
            (Some(_), Some(second)) => {
                let message = format!("a second {}, `{}`, stands in the same file", T::KIND, second.name);
                let error = second.error(&Path::default().then("kind"), message);
                self.say(error.help("give each a file of its own"));
            }
        }
        None
    }

    /// The sandbox spec of a file, or of the drill in it, with its manifests.
    fn sandbox_of(&mut self, file: &FilePath) -> Option<(Document<SandboxSpec>, BTreeMap<String, String>)> {
        let source = self.source(file)?;
        let documents = self.note(document::documents(&source).map_err(|error| vec![error]))?;
        let drill = documents.iter().find(|document| document.kind == Drill::KIND);
        let (sandbox, file) = match drill {
            Some(drill) => {
                let drill = self.typed::<Drill>(drill)?;
                self.fill_shelf(file, &[]);
                documents.iter().cloned().for_each(|document| self.shelve(document, file));
                self.sandbox(&drill)?
            }
            None => {
                let one = self.only::<SandboxSpec>(file)?;
                (self.typed::<SandboxSpec>(&one)?, file.to_owned())
            }
        };
        self.found.diagnostics.extend(sandbox::checks::all(&sandbox));
        let manifests = self.manifests(&sandbox, &file);
        Some((sandbox, manifests))
    }

    fn runbook(&mut self, drill: &Document<Drill>) -> Option<(String, String)> {
        let named = drill.spec.runbook.as_ref().filter(|path| stays_inside(path))?;
        match self.text_below(&self.folder.clone(), named) {
            Ok(text) => Some((named.clone(), text)),
            Err(why) => {
                let path = Path::spec().then("runbook");
                self.say(
                    drill
                        .text
                        .error(&path, format!("`{named}` {why}"))
                        .help("name a file below the drill's folder"),
                );
                None
            }
        }
    }

    /// The texts of a sandbox's manifests by their path, and everything that is wrong with them noted.
    fn manifests(&mut self, sandbox: &Document<SandboxSpec>, file: &FilePath) -> BTreeMap<String, String> {
        let folder = folder_of(file);
        let mut sources = BTreeMap::new();
        let before = self.found.diagnostics.len();
        for (region, spec) in sandbox.spec.regions.iter().enumerate() {
            for (index, named) in spec.manifests.iter().enumerate() {
                if let Err(why) = self.manifest(&folder, named, &mut sources) {
                    let path = Path::spec().then("regions").then(region).then("manifests").then(index);
                    let error = sandbox.text.error(&path, format!("`{named}` {why}"));
                    self.say(error.help("name a file or a folder of manifests below this document's folder"));
                }
            }
        }
        // Regions that contradict themselves hold nothing.
        if self.found.diagnostics.len() == before && sandbox::checks::all(sandbox).is_empty() {
            self.found.diagnostics.extend(sandbox::checks::manifests(sandbox, &sources));
        }
        let texts = sources.iter().map(|(path, source)| (path.clone(), source.text.clone())).collect();
        if self.found.diagnostics.len() > before {
            self.found.sources.extend(sources.into_values());
        }
        texts
    }

    /// Reads a file of manifests, or a folder of them. What is kept of a Secret for the evidence is a digest of each value.
    fn manifest(
        &mut self,
        folder: &FilePath,
        named: &str,
        sources: &mut BTreeMap<String, Arc<Source>>,
    ) -> Result<(), String> {
        if !stays_inside(named) {
            return Err(NO_PLACE_BELOW.to_owned());
        }
        for path in manifests::files(folder, named)? {
            let (file, text) = read_below(folder, &path)?;
            let source = Source::new(&file.display().to_string(), &text);
            let secrets = sandbox::manifests::secrets(&source);
            let kept = if secrets.is_empty() {
                text.into_bytes()
            } else {
                manifests::redacted(&source.text, &secrets)
            };
            self.keep(&file, kept);
            sources.insert(path, Arc::new(source));
        }
        Ok(())
    }

    /// The text of a file below a folder; kept for the evidence.
    fn text_below(&mut self, folder: &FilePath, named: &str) -> Result<String, String> {
        let (file, text) = read_below(folder, named)?;
        self.keep(&file, text.clone().into_bytes());
        Ok(text)
    }
}

fn surroundings(sandbox: &SandboxSpec) -> Surroundings {
    Surroundings {
        simulated: true,
        regions: sandbox.regions.iter().map(|region| region.name.clone()).collect(),
        alerts: Some(sandbox.alerts.iter().map(|alert| alert.name.clone()).collect()),
    }
}

/// What an environment has: whether an alert exists only its source knows.
fn around(environment: &EnvironmentSpec) -> Surroundings {
    let regions = environment.regions.iter().map(|region| region.name.clone()).collect();
    Surroundings { regions, simulated: false, alerts: None }
}
