//! The store's promises, over random writes.

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

fn store(remembered_changes: usize) -> Store {
    Store::new(&Settings {
        name: "east".into(),
        seed: 1,
        clock: Clock::new(Instant::now(), 0),
        services: Pool { network: "10.0.0.0".parse().unwrap(), prefix: 29 },
        remembered_changes,
    })
}

fn pod(name: &str) -> Write {
    let object = json!({"metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    Write::Create { resource: Resource::pods(), object }
}

fn key(name: &str) -> Key {
    Key::new(&Resource::pods(), Some("default"), name)
}

/// One of five kinds of write on one of four pods.
fn write(kind: u8, number: u8) -> Write {
    let name = format!("p{}", number % 4);
    match kind {
        0 | 1 => pod(&name),
        2 => Write::Status { key: key(&name), status: json!({"restarts": number}) },
        3 => Write::Delete { key: key(&name) },
        _ => Write::Remove { key: key(&name) },
    }
}

proptest! {
    #[test]
    fn the_log_replayed_over_any_snapshot_gives_the_objects_as_they_are(
        writes in prop::collection::vec((0_u8..5, any::<u8>()), 1..60), cut in 0_usize..60,
    ) {
        let mut store = store(1000);
        let cut = cut.min(writes.len());
        let run = |store: &mut Store, writes: &[(u8, u8)]| {
            let writes: Vec<Write> = writes.iter().map(|(kind, number)| write(*kind, *number)).collect();
            store.apply(&writes);
        };
        run(&mut store, &writes[..cut]);
        let (version, mut replayed) = (store.version(), store.objects.clone());
        run(&mut store, &writes[cut..]);
        for (change, version) in store.changes_after(version).unwrap().zip(version + 1..) {
            prop_assert_eq!(change.version, version);
            let said = change.object["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
            prop_assert_eq!(said, version.to_string());
            let before = match change.kind {
                ChangeKind::Deleted => replayed.remove(&change.key),
                ChangeKind::Added | ChangeKind::Modified => replayed.insert(change.key.clone(), change.object.clone()),
            };
            prop_assert_eq!(&before, &change.before);
        }
        prop_assert_eq!(replayed, store.objects);
    }
}

#[test]
fn a_running_pod_gets_its_grace_once_and_goes_when_its_kubelet_removes_it() {
    let mut store = store(100);
    assert!(store.apply(&[pod("p"), Write::Delete { key: key("p") }]).is_empty());
    let deleted = store.get(&key("p")).cloned().unwrap();
    assert_eq!(deleted["metadata"]["deletionGracePeriodSeconds"], 30);
    let longer = Deletion { grace_seconds: Some(60), ..Deletion::default() };
    assert_eq!(store.delete(&key("p"), &longer).unwrap(), deleted);
    let shorter = Deletion { grace_seconds: Some(5), ..Deletion::default() };
    assert_eq!(store.delete(&key("p"), &shorter).unwrap()["metadata"]["deletionGracePeriodSeconds"], 5);
    assert!(store.apply(&[Write::Remove { key: key("p") }]).is_empty());
    assert_eq!(store.get(&key("p")), None);
}

#[test]
fn a_list_of_a_namespace_holds_neither_its_neighbours_nor_other_kinds() {
    let mut store = store(100);
    let config = |namespace: &str, name: &str| Write::Create {
        resource: Resource::config_maps(),
        object: json!({"metadata": {"name": name, "namespace": namespace}}),
    };
    let writes = [config("default", "b"), config("kube-system", "a"), config("default", "a"), pod("a")];
    assert!(store.apply(&writes).is_empty());
    let names = |namespace| -> Vec<String> {
        store.list("", "configmaps", namespace).map(|(key, _)| key.to_string()).collect()
    };
    assert_eq!(names(Some("default")), ["configmaps/a in default", "configmaps/b in default"]);
    assert_eq!(names(None).len(), 3);
    assert_eq!(names(Some("defaul")).len(), 0);
}

#[test]
fn service_addresses_are_given_once_and_given_again_when_free() {
    let mut store = store(100);
    let service = |name: &str| Write::Create {
        resource: Resource::services(),
        object: json!({"metadata": {"name": name, "namespace": "default"}, "spec": {}}),
    };
    let all: Vec<Write> = (0..6).map(|number| service(&format!("s{number}"))).collect();
    assert!(store.apply(&all).is_empty());
    assert_eq!(store.service_addresses.len(), 6);
    assert!(matches!(store.apply(&[service("full")]).as_slice(), [StoreError::Invalid(..)]));
    let first = Key::new(&Resource::services(), Some("default"), "s0");
    let address = store.get(&first).unwrap()["spec"]["clusterIP"].clone();
    assert!(store.apply(&[Write::Delete { key: first }, service("next")]).is_empty());
    let next = Key::new(&Resource::services(), Some("default"), "next");
    assert_eq!(store.get(&next).unwrap()["spec"]["clusterIP"], address);
}

#[test]
fn a_namespace_stays_until_its_controller_empties_its_finalizers() {
    let mut store = store(100);
    let key = Key::new(&Resource::namespaces(), None, "default");
    store.apply(&[Write::Delete { key: key.clone() }]);
    let mut object = (**store.get(&key).unwrap()).clone();
    assert_eq!(object["status"]["phase"], "Terminating");
    object["spec"]["finalizers"] = json!([]);
    assert!(store.apply(&[Write::Update { key: key.clone(), object }]).is_empty());
    assert_eq!(store.get(&key), None);
}
