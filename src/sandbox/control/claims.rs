//! Claims of volumes: one that a pod uses stays until the pod is gone, and its volume goes when it does.
//!
//! A finalizer does the first, as Kubernetes' storage protection does. What becomes of the volume is its reclaim policy's to say.

use serde_json::json;

use super::super::store::{Change, ChangeKind, Key, Mark, Store, Write};
use super::{Controller, Processes, Reconciled, at, itself, marked, read, volumes};
use crate::model::effect::Resource;
use crate::model::time::At;

const PROTECTION: &str = "kubernetes.io/pvc-protection";

/// The claim protection controller, and the part of the volume controller that reclaims.
pub struct Claims;

impl Controller for Claims {
    fn name(&self) -> &'static str {
        "claims"
    }

    fn concerns(&self, _: &Store, change: &Change) -> Vec<Key> {
        let over = change.kind == ChangeKind::Deleted || read::ended(&change.object);
        if change.key.is(&Resource::pods()) && over {
            let namespace = change.key.namespace();
            return volumes::claims(&change.object)
                .map(|name| Key::new(&Resource::claims(), namespace, name))
                .collect();
        }
        itself(change, &Resource::claims())
    }

    fn reconcile(&self, store: &Store, key: &Key, _: At, _: &dyn Processes) -> Reconciled {
        let Some(claim) = at(store, key) else { return reclaimed(store, key).into() };
        let mut kept = read::list(claim, "/metadata/finalizers").to_vec();
        let is = kept.iter().any(|each| each == PROTECTION);
        let should = !read::terminating(claim) || (is && used(store, key));
        if is == should {
            return Reconciled::nothing();
        }
        kept.retain(|each| each != PROTECTION);
        kept.extend(should.then(|| json!(PROTECTION)));
        let mut object = claim.clone();
        object["metadata"]["finalizers"] = json!(kept);
        vec![Write::Update { key: key.clone(), object }].into()
    }
}

/// Whether a pod that stands on a node and is not over names a claim.
fn used(store: &Store, claim: &Key) -> bool {
    marked(store, &mark(claim), &Resource::pods(), None)
        .any(|pod| !read::text(pod, "/spec/nodeName").is_empty() && !read::ended(pod))
}

fn mark(claim: &Key) -> Mark {
    Mark::Claim(claim.namespace().unwrap_or_default().to_owned(), claim.name().to_owned())
}

/// Writes for the volumes of a claim that is gone.
fn reclaimed(store: &Store, claim: &Key) -> Vec<Write> {
    marked(store, &mark(claim), &super::volumes(), None)
        .map(|volume| {
            let key = Key::of(&super::volumes(), volume);
            match read::text(volume, "/spec/persistentVolumeReclaimPolicy") {
                "Delete" => Write::Delete { key },
                _ => Write::Status { key, status: json!({"phase": "Released"}) },
            }
        })
        .collect()
}
