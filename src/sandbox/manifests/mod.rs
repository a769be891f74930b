//! A region's objects from files as teams have them: manifests, Helm renders, and what `kubectl get -o yaml` prints.
//!
//! ```text
//! text ─► read (objects with places) ─► fate (loaded, or left to whoever makes it again) ─► scrub (what a server adds goes)
//!      ─► api::admit (checked as a cluster checks it) ─► owners tied again ─► account (what was left out, what is not simulated)
//! ```
//! Every object of a dump is loaded but those that somebody here makes anyway: the pods of a ReplicaSet, the slices of a Service. ReplicaSets
//! are loaded, since they are what a rollout can be undone to; finished Jobs and pods stay finished. Owners are found by their
//! names, because nobody keeps a uid. Namespaces and definitions come first; a namespace that no manifest has is made. What is wrong is
//! said of all objects at once, at its place; what would settle without a word and serve nobody is told (`silent`). Rejected: a PersistentVolume as it was (claims get theirs made anew).

mod account;
mod fate;
mod read;
mod scrub;
mod silent;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Value, json};

use super::api::{self, Kind, Misfit};
use super::control::ingress;
use super::spec::Network;
use super::stand_in::choice;
use super::store::{self, Key, Store};
use crate::document::{Diagnostic, Part, Path, Source, ordered, unknown};
use crate::model::effect::Resource;
pub use account::Account;
use fate::Fate;
pub use read::Given;
use scrub::Scrubbed;

/// The texts of what a spec names: a file, or everything below a folder, in the order of the names.
pub fn of<'a>(
    texts: &'a BTreeMap<String, Arc<Source>>,
    named: &str,
) -> impl Iterator<Item = &'a Arc<Source>> + use<'a> {
    let named = named.trim_end_matches('/').to_owned();
    let below = format!("{named}/");
    texts.iter().filter(move |(path, _)| **path == named || path.starts_with(&below)).map(|(_, text)| text)
}

/// Where the values of Secrets stand in a text, in its order: also in what `kubectl apply` notes of them.
pub fn secrets(text: &Source) -> Vec<Range<usize>> {
    let given = read::read(&Arc::new(text.clone())).unwrap_or_default();
    let mut places: Vec<Range<usize>> =
        given.iter().filter(|given| given.kind() == "Secret").flat_map(Given::secret_values).collect();
    places.sort_by_key(|place| place.start);
    places
}

/// Stores the objects of some texts in a region with this range of addresses.
///
/// # Errors
/// Everything that is wrong with them, at once.
pub fn load<'a>(
    store: &mut Store,
    texts: impl Iterator<Item = &'a Arc<Source>>,
    range: Network,
) -> Result<Account, Vec<Diagnostic>> {
    let (mut given, mut found) = (vec![], vec![]);
    for text in texts {
        match read::read(text) {
            Ok(objects) => given.extend(objects),
            Err(errors) => found.extend(errors),
        }
    }
    let mut load =
        Load { store, range, found, account: Account::default(), made: BTreeMap::new(), owned: vec![] };
    let fates = fate::of(&given);
    let mut loaded = vec![];
    for (given, fate) in given.iter().zip(fates) {
        match fate {
            Fate::Loaded => loaded.push(given),
            Fate::LeftOut(why) => load.account.left_out(why, given),
        }
    }
    loaded.sort_by_key(|given| match given.kind() {
        "Namespace" => 0,
        "CustomResourceDefinition" => 1,
        "Node" => 2,
        // What it names must be there.
        "Pod" => 4,
        _ => 3,
    });
    loaded.into_iter().for_each(|given| load.take(given));
    load.tie_owners();
    load.account.silent = silent::lines(load.store);
    load.account.assumed = ingress::assumed(load.store);
    if load.found.is_empty() { Ok(load.account) } else { Err(ordered(load.found)) }
}

struct Load<'a, 'b> {
    store: &'b mut Store,
    range: Network,
    found: Vec<Diagnostic>,
    account: Account,
    /// What was made here, and what it was made from.
    made: BTreeMap<Key, &'a Given>,
    /// Who owned what was made here.
    owned: Vec<(Key, Vec<Value>)>,
}

impl<'a> Load<'a, '_> {
    fn take(&mut self, given: &'a Given) {
        let Some(kind) = api::kind_of(self.store, given.api_version(), given.kind()) else {
            return self.unserved(given);
        };
        let mut scrubbed = scrub::scrub(given, &kind, self.store, self.range);
        match api::prune(&kind, &mut scrubbed.object) {
            Err(misfit) => return self.say(given, vec![misfit]),
            Ok(unknown) if given.is_dumped() && !unknown.is_empty() => {
                self.account.not_simulated("fields that the sandbox does not know are dropped", given);
            }
            Ok(unknown) if !unknown.is_empty() => return self.say(given, unknown),
            Ok(_) => {}
        }
        let misnamed = misnamed_stand_ins(given);
        if !misnamed.is_empty() {
            return self.found.extend(misnamed);
        }
        let key = Key::of(&kind.resource, &scrubbed.object);
        if self.store.get(&key).is_some() {
            return self.exists(given, &key, &scrubbed.object);
        }
        self.make_namespace(&key);
        match api::admit(self.store, &kind, scrubbed.object.clone()) {
            Ok(stored) => self.keep(given, &kind, Key::of(&kind.resource, &stored), scrubbed),
            Err(misfits) => self.say(given, misfits),
        }
    }

    /// Notes what was made, and gives it the status that nobody here would make anew.
    fn keep(&mut self, given: &'a Given, kind: &Kind, key: Key, scrubbed: Scrubbed) {
        if let Some(status) = scrubbed.status
            && kind.has_status()
            && let Err(error) = self.store.update(&key, json!({"status": status}), store::Part::Status)
        {
            self.found.push(given.error("status", error.to_string()));
        }
        for why in scrubbed.not_simulated {
            self.account.not_simulated(why, given);
        }
        if !scrubbed.owners.is_empty() {
            self.owned.push((key.clone(), scrubbed.owners));
        }
        self.made.insert(key, given);
    }

    /// An object that is there already: twice in the manifests, or one that every cluster has.
    fn exists(&mut self, given: &Given, key: &Key, object: &Value) {
        if let Some(first) = self.made.get(key) {
            let message =
                format!("{} stands in the manifests twice; first at {}", given.title(), first.place());
            self.found.push(given.error("metadata.name", message).help("keep one of them"));
        } else if key.is(&Resource::nodes()) {
            let message = format!("the region has a node `{}` already", key.name());
            let help = "rename it, or take it out of the SandboxSpec's `nodes`";
            self.found.push(given.error("metadata.name", message).help(help));
        } else if key.is(&Resource::namespaces()) {
            let mut merged = self.store.get(key).map(|known| (**known).clone()).unwrap_or_default();
            for field in ["labels", "annotations"] {
                for (name, value) in object["metadata"][field].as_object().into_iter().flatten() {
                    merged["metadata"][field][name] = value.clone();
                }
            }
            if let Err(error) = self.store.update(key, merged, store::Part::AllButStatus) {
                self.found.push(given.error("metadata", error.to_string()));
            }
        } else {
            self.account.left_out(fate::OF_A_CLUSTER, given);
        }
    }

    fn make_namespace(&mut self, key: &Key) {
        let Some(name) = key.namespace() else { return };
        let resource = Resource::namespaces();
        if self.store.get(&Key::new(&resource, None, name)).is_none()
            && self.store.create(&resource, json!({"metadata": {"name": name}})).is_ok()
        {
            self.account.made_namespace(name);
        }
    }

    /// A kind that is not served: a mistake where Kubernetes has none such, else something that nobody here can play.
    fn unserved(&mut self, given: &Given) {
        let (api_version, kind) = (given.api_version(), given.kind());
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        if matches!(group, "kustomize.config.k8s.io" | "drillmaster.dev") {
            let help = match group {
                "drillmaster.dev" => "keep the drill's own documents out of the manifests' folder",
                _ => "write what it makes into a file: `kubectl kustomize FOLDER > FILE`",
            };
            let message = format!("a {kind} is no object of a cluster");
            return self.found.push(given.error("kind", message).help(help));
        }
        let (versions, kinds) = api::near(self.store, api_version, kind);
        let kubernetes = !group.contains('.') || group.ends_with(".k8s.io");
        // Kubernetes serves this one besides the version that is served here.
        let older = (api_version, kind) == ("autoscaling/v1", "HorizontalPodAutoscaler");
        if kubernetes && !older && !versions.is_empty() {
            let message = format!("`{kind}` is not served as `{api_version}`");
            let help = format!("write `apiVersion: {}`", versions.join("` or `apiVersion: "));
            return self.found.push(given.error("apiVersion", message).help(help));
        }
        let names = || kinds.iter().map(String::as_str);
        let (message, help) = unknown("kind", kind, names(), names());
        if let Some(help) = help.filter(|_| kubernetes && !older && message.contains("did you mean")) {
            return self.found.push(given.error("kind", message).help(help));
        }
        let why = match kubernetes {
            true => "left out, since the sandbox serves no such kind",
            false => "left out, since no CustomResourceDefinition of theirs is among the manifests",
        };
        self.account.not_simulated(why, given);
    }

    fn say(&mut self, given: &Given, misfits: Vec<Misfit>) {
        for Misfit { field, why, unknown } in misfits {
            let message = format!("{}: {why}", given.title());
            let help = match unknown {
                true => "remove it or mend its name: `kubectl explain` names the fields of each kind",
                false => "a cluster would refuse it too: mend it in the file",
            };
            let error =
                if unknown { given.error_at_key(&field, message) } else { given.error(&field, message) };
            self.found.push(error.help(help));
        }
    }

    /// Ties what was owned to its owners as they are now; an owner that is not here is forgotten.
    fn tie_owners(&mut self) {
        for (key, owners) in std::mem::take(&mut self.owned) {
            let tied: Vec<Value> = owners.iter().filter_map(|owner| self.tied(&key, owner)).collect();
            if tied.len() < owners.len()
                && let Some(given) = self.made.get(&key)
            {
                self.account.without_owner(given);
            }
            let Some(object) = self.store.get(&key).filter(|_| !tied.is_empty()) else { continue };
            let mut object = (**object).clone();
            object["metadata"]["ownerReferences"] = json!(tied);
            if let (Err(error), Some(given)) =
                (self.store.update(&key, object, store::Part::AllButStatus), self.made.get(&key))
            {
                self.found.push(given.error("metadata.ownerReferences", error.to_string()));
            }
        }
    }

    fn tied(&self, key: &Key, owner: &Value) -> Option<Value> {
        let text = |field: &str| owner[field].as_str();
        let kind = api::kind_of(self.store, text("apiVersion")?, text("kind")?)?;
        let namespace = key.namespace().filter(|_| kind.namespaced);
        let known = self.store.get(&Key::new(&kind.resource, namespace, text("name")?))?;
        let mut owner = owner.clone();
        owner["uid"] = known["metadata"]["uid"].clone();
        Some(owner)
    }
}

/// Annotations of a pod, or of a pod's template, that choose no stand-in: another word, or a container that there is not.
fn misnamed_stand_ins(given: &Given) -> Vec<Diagnostic> {
    const WORDS: [&str; 4] = ["ledger", "http", "completes", "idle"];
    let steps = if given.kind() == "Pod" { vec![] } else { vec![Part::from("spec"), Part::from("template")] };
    let pod = if given.kind() == "Pod" { &given.object } else { &given.object["spec"]["template"] };
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let names: Vec<&str> = containers.filter_map(|container| container["name"].as_str()).collect();
    let annotations = pod["metadata"]["annotations"].as_object().into_iter().flatten();
    let chosen =
        annotations.filter_map(|(key, word)| Some((key, key.strip_prefix(choice::ANNOTATION)?, word)));
    chosen
        .filter_map(|(key, container, word)| {
            let way = Path(steps.clone()).then("metadata").then("annotations").then(key.as_str());
            let word = word.as_str().unwrap_or_default();
            let (what, name, known) = match names.contains(&container) {
                false => ("container", container, names.as_slice()),
                true if !WORDS.contains(&word) => ("stand-in", word, WORDS.as_slice()),
                true => return None,
            };
            let (message, help) = unknown(what, name, known.iter().copied(), known.iter().copied());
            let error = given.error_in(&way, message);
            Some(match help {
                Some(help) => error.help(help),
                None => error,
            })
        })
        .collect()
}
