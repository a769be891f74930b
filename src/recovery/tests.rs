//! Every recovery on small facts.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::facts::{Answer, told};
use crate::model::name::{Name, Region, RunId, StepId};

type Objects = Vec<(&'static str, Value)>;

struct Case {
    recovery: RecoveryKind,
    run: RunId,
    step: StepId,
    regions: Vec<Region>,
    namespaces: Vec<Name>,
}

fn case(recovery: Value) -> Case {
    Case {
        recovery: serde_json::from_value(recovery).unwrap(),
        run: "r1".into(),
        step: "s1".into(),
        regions: vec!["east".into(), "west".into()],
        namespaces: vec!["shop".into()],
    }
}

impl Case {
    fn scene(&self) -> Scene<'_> {
        Scene {
            run: &self.run,
            step: &self.step,
            region: &self.regions[1],
            regions: &self.regions,
            namespaces: &self.namespaces,
        }
    }

    fn acts(&self, objects: &Objects) -> Result<Vec<Act>, Refusal> {
        let behaviour = self.recovery.behaviour();
        behaviour.acts(&self.scene(), &told(&behaviour.reads(&self.scene()), objects, &[]))
    }

    fn settled(&self, objects: &Objects, addresses: &[(&str, &[&str])]) -> Progress {
        let behaviour = self.recovery.behaviour();
        behaviour
            .settled(&self.scene(), &told(&behaviour.watches(&self.scene()), objects, addresses))
            .unwrap()
    }

    /// Settled by what the canary's status prints.
    fn settled_by(&self, printed: &Value) -> Progress {
        let behaviour = self.recovery.behaviour();
        let answers = behaviour.watches(&self.scene()).into_iter();
        let answers = answers.map(|read| (read, Ok(Answer::Output(printed.clone())))).collect();
        behaviour.settled(&self.scene(), &Facts { answers }).unwrap()
    }
}

fn ledger(region: &'static str) -> (&'static str, Value) {
    (region, json!({"kind": "Pod", "metadata": {"name": "ledger-0", "namespace": "shop"}}))
}

fn only_exec(acts: Vec<Act>) -> crate::model::effect::Exec {
    let [Act::Exec(exec)] = acts.as_slice() else { panic!("{acts:?}") };
    exec.clone()
}

#[test]
fn every_example_is_a_step_of_its_kind_and_says_what_it_cannot_do() {
    for kind in RecoveryKind::ALL {
        let step: Value = serde_yaml::from_str(kind.example).unwrap();
        let recovery: RecoveryKind = serde_json::from_value(step["recover"].clone()).unwrap();
        assert_eq!(recovery.name(), kind.name);
        let schema = serde_json::to_value((kind.schema)()).unwrap();
        for part in ["Cannot:", "Effects:", "Undo:"] {
            assert!(schema["description"].as_str().unwrap().contains(part), "{} lacks {part}", kind.name);
        }
    }
}

#[test]
fn no_recovery_takes_an_empty_world_for_one_that_has_recovered() {
    for kind in RecoveryKind::ALL {
        let step: Value = serde_yaml::from_str(kind.example).unwrap();
        let case = case(step["recover"].clone());
        assert!(case.acts(&vec![]).is_err(), "{}", kind.name);
    }
}

#[test]
fn each_verb_of_the_canary_has_its_own_end_and_reverse() {
    for (verb, argv, reverse, done) in [
        ("promote", "promote", Some("demote"), json!({"role": "primary"})),
        ("demote", "demote", Some("promote"), json!({"role": "replica"})),
        ("fence", "fence", None, json!({"role": "fenced"})),
        ("resync", "resync", None, json!({"synced": true})),
        ("restoreFromCopy", "snapshot-restore", None, json!({"corrupt": 0})),
    ] {
        let case = case(json!({verb: {"workload": "statefulset/ledger", "namespace": "shop"}}));
        let exec = only_exec(case.acts(&vec![ledger("west")]).unwrap());
        assert_eq!(exec.at.to_string(), "west: pods/ledger-0 in shop");
        assert_eq!(exec.argv, ["drillmaster", "ledger", argv]);
        let expected = reverse.map(|verb| ["drillmaster", "ledger", verb].map(str::to_owned).to_vec());
        assert_eq!(exec.reverse, expected, "{verb}");
        assert_eq!(case.settled_by(&done), Progress::Done, "{verb}");
        assert!(matches!(case.settled_by(&json!({})), Progress::Waiting(_)), "{verb}");
    }
}

#[test]
fn a_promotion_names_every_other_region_to_fence_and_proves_it_by_a_refused_write() {
    let promote = json!({"region": "east", "workload": "statefulset/ledger", "namespace": "shop"});
    let case = case(json!({"promote": promote}));
    let authority = case.recovery.behaviour().authority(&case.scene()).unwrap();
    assert_eq!(authority.workload, "statefulset/ledger in shop");
    let takeover = authority.takeover().unwrap();
    assert_eq!(takeover.pod().to_string(), "east: pods/ledger-0 in shop");
    let others: Vec<_> = authority.others(&takeover.region).collect();
    let [fence] = others.as_slice() else { panic!("{authority:?}") };
    assert_eq!((fence.region.as_str(), fence.pod().region.as_str()), ("west", "west"));
    assert_eq!(fence.workload.to_string(), "west: statefulsets/ledger in shop");
    assert_eq!(fence.fence.reverse, None);
    assert!(fence.refused.shown_by(&json!({"accepted": false, "reason": "fenced"})));
    assert!(!fence.refused.shown_by(&json!({"accepted": true})) && !fence.refused.shown_by(&json!({})));
}

#[test]
fn traffic_goes_to_the_services_of_the_region_that_serve_the_record() {
    let case = case(json!({"dnsSwitch": {"record": "shop.example"}}));
    let service = |serves: &str, ip: &str| {
        json!({"kind": "Service",
            "metadata": {"name": ip, "namespace": "shop", "annotations": {"drillmaster.dev/serves": serves}},
            "status": {"loadBalancer": {"ingress": [{"ip": ip}]}}})
    };
    let record = |ip: &str| {
        let endpoint = json!({"dnsName": "shop.example", "recordType": "A", "targets": [ip]});
        json!({"kind": "DNSEndpoint", "metadata": {"name": "g", "namespace": "shop"}, "spec": {"endpoints": [endpoint]}})
    };
    let services = [
        ("east", service("shop.example", "10.1.0.1")),
        ("west", service("shop.example", "10.2.0.1")),
        ("west", service("other.example", "10.2.0.2")),
    ];
    let world = |ip: &str| services.iter().cloned().chain([("west", record(ip))]).collect::<Objects>();
    let acts = case.acts(&world("10.1.0.1")).unwrap();
    let [Act::Patch { merge, .. }] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!(merge["spec"]["endpoints"][0]["targets"], json!(["10.2.0.1"]));
    assert_eq!(case.acts(&world("10.2.0.1")).unwrap(), []);
    let answer = |ip: &str| case.settled(&world("10.2.0.1"), &[("shop.example", &[ip])]);
    assert!(matches!(answer("10.1.0.1"), Progress::Waiting(_)));
    assert_eq!(answer("10.2.0.1"), Progress::Done);
}

fn deployment(revision: &str, image: &str) -> Value {
    let containers = json!([{"name": "app", "image": image}]);
    json!({"kind": "Deployment",
        "metadata": {"name": "checkout", "namespace": "shop", "uid": "d1", "annotations": {"deployment.kubernetes.io/revision": revision}},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "c"}, "annotations": {"new": "1"}}, "spec": {"containers": containers}}}})
}

fn replica_set(revision: &str, image: &str) -> Value {
    let labels = json!({"app": "c", "pod-template-hash": revision});
    json!({"kind": "ReplicaSet",
        "metadata": {"name": format!("checkout-{revision}"), "namespace": "shop",
            "annotations": {"deployment.kubernetes.io/revision": revision},
            "ownerReferences": [{"kind": "Deployment", "uid": "d1", "controller": true}]},
        "spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}}})
}

#[test]
fn a_rollout_goes_back_to_the_newest_earlier_revision_and_asked_again_not_forward() {
    let case = case(json!({"rolloutUndo": {"deployment": "checkout", "namespace": "shop"}}));
    let sets = [replica_set("2", "two"), replica_set("10", "ten"), replica_set("11", "bad")];
    let world = |deployment: Value| {
        sets.iter().cloned().chain([deployment]).map(|object| ("west", object)).collect::<Objects>()
    };
    let mut now = deployment("11", "bad");
    let acts = case.acts(&world(now.clone())).unwrap();
    let [Act::Patch { merge, .. }] = acts.as_slice() else { panic!("{acts:?}") };
    json_patch::merge(&mut now, merge);
    let template = json!({"metadata": {"labels": {"app": "c"}}, "spec": {"containers": [{"name": "app", "image": "ten"}]}});
    assert_eq!(now["spec"]["template"]["spec"], template["spec"]);
    assert_eq!(now["spec"]["template"]["metadata"]["labels"], template["metadata"]["labels"]);
    assert_eq!(now["spec"]["template"]["metadata"].get("annotations"), None);
    assert_eq!(case.acts(&world(now)).unwrap(), []);
    assert!(matches!(case.acts(&world(deployment("2", "two"))), Err(Refusal::NoTarget(_))));
}

#[test]
fn a_restart_is_done_when_every_pod_is_new_and_ready_and_the_change_was_seen() {
    let case = case(json!({"restart": {"workload": "deployment/checkout", "namespace": "shop"}}));
    let with = |seen: u64, ready: u64| {
        let mut object = deployment("1", "a");
        object["metadata"]["generation"] = json!(2);
        object["status"] =
            json!({"observedGeneration": seen, "replicas": 2, "updatedReplicas": 2, "readyReplicas": ready});
        vec![("west", object)]
    };
    assert_eq!(case.settled(&with(2, 2), &[]), Progress::Done);
    assert!(matches!(case.settled(&with(1, 2), &[]), Progress::Waiting(_)));
    assert!(matches!(case.settled(&with(2, 1), &[]), Progress::Waiting(_)));
}

fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(json!(1)), Just(json!("a")), Just(json!([1])), Just(json!(false))];
    leaf.prop_recursive(3, 12, 3, |inner| {
        proptest::collection::btree_map("[a-c]", inner, 0..3).prop_map(|fields| json!(fields))
    })
}

proptest! {
    #[test]
    fn the_merge_between_two_templates_makes_one_of_the_other(from in json_values(), to in json_values()) {
        let mut made = from.clone();
        match super::rollout_undo::merge_between(&from, &to) {
            Some(merge) => json_patch::merge(&mut made, &merge),
            None => prop_assert_eq!(&from, &to),
        }
        prop_assert_eq!(made, to);
    }
}
