//! Volumes: made in the zone of the first pod that claims them, and found only there from then on.
//!
//! So a pod with a claim cannot follow when its zone is lost, as with real disks. Left out: storage classes, sizes, and attaching.

use serde_json::{Value, json};

use super::super::store::{Key, Store, Write};
use super::placement::ZONE;
use super::{one, read, volumes};
use crate::model::effect::Resource;

/// The zones in which all bound volumes of a pod can be reached; empty where it makes no difference.
///
/// # Errors
/// Where a claim does not exist, or nobody makes a volume for it: in the words of the scheduler.
pub fn zones<'a>(store: &'a Store, pod: &Value) -> Result<Vec<&'a str>, String> {
    let mut zones = vec![];
    for name in claims(pod) {
        let claim = one(store, &Resource::claims(), Some(read::namespace(pod)), name)
            .ok_or_else(|| format!("persistentvolumeclaim \"{name}\" not found"))?;
        let bound = read::text(claim, "/spec/volumeName");
        let volume = one(store, &volumes(), None, bound);
        let no_class = read::at(claim, "/spec/storageClassName").is_some_and(|class| class == "");
        if volume.is_none() && (no_class || !bound.is_empty()) {
            return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
        }
        zones.extend(volume.map(|volume| read::label(volume, ZONE)).filter(|zone| !zone.is_empty()));
    }
    Ok(zones)
}

/// Writes that give each unbound claim of a pod a volume in a zone.
pub fn bound(store: &Store, pod: &Value, zone: &str) -> Vec<Write> {
    let found =
        claims(pod).filter_map(|name| one(store, &Resource::claims(), Some(read::namespace(pod)), name));
    found
        .filter(|claim| read::text(claim, "/spec/volumeName").is_empty())
        .flat_map(|claim| made(claim, zone))
        .collect()
}

/// Writes that make a volume for a claim and bind the two.
fn made(claim: &Value, zone: &str) -> [Write; 3] {
    let name = format!("pvc-{}", read::uid(claim));
    let key = Key::of(&Resource::claims(), claim);
    let size = read::at(claim, "/spec/resources/requests").cloned().unwrap_or_else(|| json!({}));
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": size, "accessModes": read::list(claim, "/spec/accessModes"),
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "name": read::name(claim),
                "namespace": read::namespace(claim), "uid": read::uid(claim)},
        },
        "status": {"phase": "Bound"},
    });
    if !zone.is_empty() {
        volume["metadata"]["labels"] = json!({ZONE: zone});
        volume["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]},
        ]}});
    }
    let mut object = claim.clone();
    object["spec"]["volumeName"] = json!(name);
    let status =
        json!({"phase": "Bound", "accessModes": read::list(claim, "/spec/accessModes"), "capacity": size});
    [
        Write::Create { resource: volumes(), object: volume },
        Write::Update { key: key.clone(), object },
        Write::Status { key, status },
    ]
}

/// The names of the claims that a pod uses.
pub fn claims(pod: &Value) -> impl Iterator<Item = &str> {
    read::list(pod, "/spec/volumes")
        .iter()
        .map(|volume| read::text(volume, "/persistentVolumeClaim/claimName"))
        .filter(|name| !name.is_empty())
}
