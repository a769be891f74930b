//! Every fault on small facts.

use serde_json::{Value, json};

use super::*;
use crate::model::effect::Resource;
use crate::model::facts::{Answer, told};
use crate::model::name::{Name, Region, RunId, StepId};

type Objects = Vec<(&'static str, Value)>;

struct Case {
    fault: FaultKind,
    run: RunId,
    step: StepId,
    regions: Vec<Region>,
    namespaces: Vec<Name>,
}

fn case(fault: Value) -> Case {
    Case {
        fault: serde_json::from_value(fault).unwrap(),
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
            region: &self.regions[0],
            regions: &self.regions,
            namespaces: &self.namespaces,
        }
    }

    fn facts(&self, objects: &Objects) -> Facts {
        let reads =
            [self.fault.behaviour().reads(&self.scene()), self.fault.behaviour().watches(&self.scene())];
        let addresses: &[(&str, &[&str])] = &[("acquirer.example", &["203.0.113.9", "2001:db8::9"])];
        told(&reads.concat(), objects, addresses)
    }

    fn acts(&self, objects: &Objects) -> Result<Vec<Act>, Refusal> {
        self.fault.behaviour().acts(&self.scene(), &self.facts(objects))
    }

    fn in_effect(&self, objects: &Objects) -> Progress {
        self.fault.behaviour().in_effect(&self.scene(), &self.facts(objects)).unwrap()
    }
}

fn pod(name: &str, node: &str) -> (&'static str, Value) {
    let owner = json!([{"kind": "ReplicaSet", "name": "checkout-1", "uid": "rs1", "controller": true}]);
    (
        "east",
        json!({
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("u-{name}"), "labels": {"app": "checkout"},
                         "ownerReferences": owner},
            "spec": {"nodeName": node},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }),
    )
}

fn node(name: &str, zone: &str, spec: Value) -> (&'static str, Value) {
    let labels = json!({"topology.kubernetes.io/zone": zone});
    ("east", json!({"kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec}))
}

#[test]
fn every_example_is_a_step_of_its_kind_and_says_what_it_cannot_do() {
    for kind in FaultKind::ALL {
        let step: Value = serde_yaml::from_str(kind.example).unwrap();
        let fault: FaultKind = serde_json::from_value(step["fault"].clone()).unwrap();
        assert_eq!(fault.name(), kind.name);
        assert!(step["proof"].is_object() && step["id"].is_string(), "{}", kind.name);
        let schema = serde_json::to_value((kind.schema)()).unwrap();
        for part in ["Cannot:", "Effects:", "Undo:"] {
            assert!(schema["description"].as_str().unwrap().contains(part), "{} lacks {part}", kind.name);
        }
    }
}

#[test]
fn no_fault_accepts_a_world_in_which_it_would_hit_nothing() {
    for kind in FaultKind::ALL {
        let step: Value = serde_yaml::from_str(kind.example).unwrap();
        let case = case(step["fault"].clone());
        let refused = case.acts(&vec![]).unwrap_err();
        assert!(matches!(refused, Refusal::NoTarget(_) | Refusal::Unread(_)), "{}: {refused}", kind.name);
    }
}

#[test]
fn no_fault_leaves_the_namespaces_of_the_drill() {
    let elsewhere = [
        json!({"isolate": {"namespaces": ["kube-system"]}}),
        json!({"egressDeny": {"namespace": "kube-system", "selector": {}, "to": {"address": "192.0.2.9"}}}),
        json!({"configCorruption": {"namespace": "kube-system", "configMap": "c", "key": "k", "value": "v"}}),
        json!({"dataCorruption": {"namespace": "kube-system", "workload": "statefulset/l", "records": 1}}),
        json!({"badRollout": {"namespace": "kube-system", "deployment": "d"}}),
        json!({"scale": {"namespace": "kube-system", "workload": "deployment/d", "replicas": 0}}),
        json!({"podKill": {"namespace": "kube-system", "selector": {}}}),
    ];
    for fault in elsewhere {
        let case = case(fault);
        assert!(matches!(case.acts(&vec![]), Err(Refusal::OutOfScope(_))), "{:?}", case.fault);
    }
}

#[test]
fn isolate_denies_everything_and_is_not_in_effect_beside_a_policy_that_allows() {
    let case = case(json!({"isolate": {"namespaces": ["shop"]}}));
    let mut world = vec![pod("a", "n1")];
    let acts = case.acts(&world).unwrap();
    let [Act::Create { at, object }] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!(at.to_string(), "east: networkpolicies/drillmaster-s1 in shop");
    assert_eq!(object["spec"], json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
    assert!(matches!(case.in_effect(&world), Progress::Waiting(_)));
    world.push(("east", object.clone()));
    assert_eq!(case.in_effect(&world), Progress::Done);
    assert!(matches!(case.acts(&world), Err(Refusal::NoTarget(_))), "made twice");
    let allow = json!({"metadata": {"name": "allow", "namespace": "shop"}, "kind": "NetworkPolicy", "spec": {"ingress": [{}]}});
    world.push(("east", allow));
    assert!(matches!(case.in_effect(&world), Progress::Waiting(_)));
}

#[test]
fn a_drain_cordons_first_then_evicts_in_order_and_leaves_what_belongs_to_the_node() {
    let case = case(json!({"drain": {"nodes": {"named": ["n1"]}}}));
    let mut agent = pod("agent", "n1");
    agent.1["metadata"]["ownerReferences"][0]["kind"] = json!("DaemonSet");
    let world = vec![node("n1", "a", json!({})), pod("b", "n1"), pod("a", "n1"), pod("c", "n2"), agent];
    let said: Vec<String> = case.acts(&world).unwrap().iter().map(Act::to_string).collect();
    assert_eq!(said, ["patch east: nodes/n1", "evict east: pods/a in shop", "evict east: pods/b in shop"]);
    let mut alone = pod("a", "n1");
    alone.1["metadata"]["ownerReferences"] = json!([]);
    let refused = case.acts(&vec![node("n1", "a", json!({})), alone]);
    assert!(matches!(refused, Err(Refusal::OutOfScope(_))), "{refused:?}");
}

#[test]
fn the_loss_of_a_zone_keeps_other_taints_and_waits_for_its_pods_to_end() {
    let case = case(json!({"zoneLoss": {"zone": "a"}}));
    let theirs = json!({"key": "gpu", "effect": "NoSchedule"});
    let world =
        vec![node("n1", "a", json!({"taints": [theirs]})), node("n2", "b", json!({})), pod("a", "n1")];
    let acts = case.acts(&world).unwrap();
    let [Act::Patch { at, merge }] = acts.as_slice() else { panic!("{acts:?}") };
    let ours = json!({"key": "drillmaster.dev/zone-loss", "effect": "NoExecute"});
    assert_eq!(
        (at.name.as_str(), &merge["spec"]),
        ("n1", &json!({"unschedulable": true, "taints": [theirs, ours]}))
    );
    let lost = node("n1", "a", merge["spec"].clone());
    assert!(matches!(case.in_effect(&vec![lost.clone(), pod("a", "n1")]), Progress::Waiting(_)));
    let mut stays = pod("a", "n1");
    stays.1["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    assert_eq!(case.in_effect(&vec![lost, stays, pod("b", "n2")]), Progress::Done);
}

#[test]
fn a_dns_failure_changes_its_own_record_only_wherever_that_stands() {
    let case = case(json!({"dnsFailure": {"record": "shop.example"}}));
    let one = |name: &str, target: &str| json!({"dnsName": name, "recordType": "A", "recordTTL": 60, "targets": [target]});
    let holder = |name: &str| {
        let endpoints = json!([one("other.example", "10.0.0.1"), one("shop.example", "10.0.0.2")]);
        json!({"kind": "DNSEndpoint", "metadata": {"name": name, "namespace": "shop"}, "spec": {"endpoints": endpoints}})
    };
    let acts = case.acts(&vec![("west", holder("global"))]).unwrap();
    let [Act::Patch { at, merge }] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!(at.to_string(), "west: dnsendpoints/global in shop");
    assert_eq!(
        merge["spec"]["endpoints"],
        json!([one("other.example", "10.0.0.1"), one("shop.example", "192.0.2.1")])
    );
    let twice = case.acts(&vec![("west", holder("global")), ("east", holder("copy"))]);
    assert!(matches!(twice, Err(Refusal::NoTarget(_))), "{twice:?}");
}

#[test]
fn a_record_is_found_although_another_region_is_dead_and_missed_only_where_none_is() {
    let case = case(json!({"dnsFailure": {"record": "shop.example"}}));
    let endpoint = json!({"dnsName": "shop.example", "recordType": "A", "targets": ["10.0.0.2"]});
    let object = json!({"kind": "DNSEndpoint", "metadata": {"name": "g", "namespace": "shop"}, "spec": {"endpoints": [endpoint]}});
    for (place, found) in [("west", true), ("nowhere", false)] {
        let mut facts = case.facts(&vec![(place, object.clone())]);
        let east = Read::in_namespace(&"east".into(), Resource::dns_endpoints(), &"shop".into());
        facts.answers.insert(east, Err("no answer within 10s".to_owned()));
        let acts = case.fault.behaviour().acts(&case.scene(), &facts);
        assert_eq!(acts.is_ok(), found, "{acts:?}");
        assert!(found || matches!(acts, Err(Refusal::Unread(_))), "a dead region is no empty one");
    }
}

#[test]
fn losing_a_third_party_leaves_every_other_address_of_both_families() {
    let to = json!({"host": "acquirer.example"});
    let case = case(json!({"egressDeny": {"namespace": "shop", "selector": {"app": "checkout"}, "to": to}}));
    let acts = case.acts(&vec![pod("a", "n1")]).unwrap();
    let [Act::Create { object, .. }] = acts.as_slice() else { panic!("{acts:?}") };
    let v4 = json!({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["203.0.113.9/32"]}});
    let v6 = json!({"ipBlock": {"cidr": "::/0", "except": ["2001:db8::9/128"]}});
    assert_eq!(object["spec"]["egress"], json!([{"to": [v4, v6]}]));
    assert_eq!(object["spec"]["podSelector"], json!({"matchLabels": {"app": "checkout"}}));
}

#[test]
fn a_bad_configuration_needs_a_key_that_is_there_and_restarts_its_reader() {
    let fault = |key: &str| {
        case(json!({"configCorruption":
            {"namespace": "shop", "configMap": "c", "key": key, "value": "bad", "restart": "checkout"}}))
    };
    let map =
        json!({"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "shop"}, "data": {"URL": "good"}});
    let reader =
        json!({"kind": "Deployment", "metadata": {"name": "checkout", "namespace": "shop"}, "spec": {}});
    let world = vec![("east", map), ("east", reader)];
    let merges: Vec<Value> = fault("URL").acts(&world).unwrap().into_iter().map(merge_of).collect();
    let annotations = json!({"drillmaster.dev/restarted": "r1/s1"});
    let restart = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    assert_eq!(merges, [json!({"data": {"URL": "bad"}}), restart]);
    assert!(matches!(fault("ULR").acts(&world), Err(Refusal::NoTarget(_))));
}

fn merge_of(act: Act) -> Value {
    let Act::Patch { merge, .. } = act else { panic!("{act}") };
    merge
}

#[test]
fn a_share_of_pods_is_rounded_up_taken_by_name_and_shown_while_they_are_missing() {
    let case = case(
        json!({"podKill": {"namespace": "shop", "selector": {"app": "checkout"}, "pods": {"share": "50%"}}}),
    );
    let set = json!({"kind": "ReplicaSet", "metadata": {"name": "checkout-1", "namespace": "shop"},
        "spec": {"replicas": 3, "template": {"metadata": {"labels": {"app": "checkout"}}}}});
    let world = vec![pod("c", "n1"), pod("a", "n1"), pod("b", "n2"), ("east", set.clone())];
    let said: Vec<String> = case.acts(&world).unwrap().iter().map(Act::to_string).collect();
    assert_eq!(said, ["delete east: pods/a in shop", "delete east: pods/b in shop"]);
    assert!(matches!(case.in_effect(&world), Progress::Waiting(_)));
    assert_eq!(case.in_effect(&vec![pod("c", "n1"), ("east", set)]), Progress::Done);
}

#[test]
fn what_nobody_could_read_is_never_taken_for_nothing_there() {
    for kind in FaultKind::ALL {
        let step: Value = serde_yaml::from_str(kind.example).unwrap();
        let case = case(step["fault"].clone());
        let mut facts = case.facts(&vec![]);
        for answer in facts.answers.values_mut() {
            *answer = Result::<Answer, String>::Err("no answer within 10s".to_owned());
        }
        let refused = case.fault.behaviour().acts(&case.scene(), &facts);
        assert!(matches!(refused, Err(Refusal::Unread(_))), "{}: {refused:?}", kind.name);
        assert!(case.fault.behaviour().in_effect(&case.scene(), &facts).is_err(), "{}", kind.name);
    }
}

#[test]
fn only_what_keeps_everybody_from_a_pod_cuts_it_off() {
    let pod = |namespace: &str, name: &str| Ref::new(&"east".into(), Resource::pods(), Some(namespace), name);
    let ledger = pod("shop", "ledger-0");
    let isolate = case(json!({"isolate": {"namespaces": ["shop"]}}));
    let scale = |replicas: u32| {
        case(json!({"scale": {"workload": "statefulset/ledger", "namespace": "shop", "replicas": replicas}}))
    };
    let cuts_off = |case: &Case, pod: &Ref| case.fault.behaviour().cuts_off(pod);
    assert!(cuts_off(&isolate, &ledger) && !cuts_off(&isolate, &pod("bank", "ledger-0")));
    assert!(cuts_off(&scale(0), &ledger) && !cuts_off(&scale(0), &pod("shop", "payments-0")));
    assert!(!cuts_off(&scale(1), &ledger));
    let takes_away = |case: &Case| case.fault.behaviour().takes_away(&ledger);
    assert!(takes_away(&scale(0)) && !takes_away(&scale(1)) && !takes_away(&isolate));
    assert!(!cuts_off(&case(json!({"dnsFailure": {"record": "shop.example"}})), &ledger));
    assert!(!cuts_off(&case(json!({"zoneLoss": {"zone": "east-a"}})), &ledger));
}

#[test]
fn isolation_counts_for_a_pod_by_what_its_policies_say_now_of_that_pod_and_of_the_way_in() {
    let case = case(json!({"isolate": {"namespaces": ["shop"]}}));
    let at = Ref::new(&"east".into(), Resource::pods(), Some("shop"), "ledger-0");
    let mut ledger = pod("ledger-0", "n1");
    ledger.1["metadata"]["labels"] = json!({"app": "ledger"});
    let acts = case.acts(&vec![ledger.clone()]).unwrap();
    let [Act::Create { object, .. }] = acts.as_slice() else { panic!("{acts:?}") };
    let keeps_off = |more: &[Value]| {
        let policies = more.iter().map(|object| ("east", object.clone()));
        let world: Objects = [ledger.clone()].into_iter().chain(policies).collect();
        case.fault.behaviour().keeps_off(&case.scene(), &case.facts(&world), &at).unwrap() == Progress::Done
    };
    let other = |spec: Value| json!({"metadata": {"name": "other", "namespace": "shop"}, "kind": "NetworkPolicy", "spec": spec});
    let beside = |spec: Value| keeps_off(&[object.clone(), other(spec)]);
    assert!(keeps_off(std::slice::from_ref(object)) && !keeps_off(&[]));
    for opened in [
        json!({"ingress": [{}]}),
        json!({"policyTypes": ["Egress"]}),
        json!({"podSelector": {"matchLabels": {"app": "x"}}}),
    ] {
        let mut changed = object.clone();
        for (field, value) in opened.as_object().unwrap() {
            changed["spec"][field] = value.clone();
        }
        assert!(!keeps_off(std::slice::from_ref(&changed)), "somebody changed it to {changed}");
        assert!(matches!(case.in_effect(&vec![ledger.clone(), ("east", changed)]), Progress::Waiting(_)));
    }
    let to = |app: &str| json!({"matchLabels": {"app": app}});
    assert!(beside(json!({"podSelector": to("payments"), "ingress": [{}]})), "it opens others");
    assert!(beside(json!({"podSelector": {}, "egress": [{}]})), "nobody comes in by it");
    assert!(!beside(json!({"podSelector": {}, "ingress": [{}]})));
    assert!(!beside(json!({"podSelector": to("ledger"), "ingress": [{}]})));
    let rule = |operator: &str| json!({"matchExpressions": [{"key": "app", "operator": operator, "values": ["ledger"]}]});
    for (operator, opens) in
        [("In", true), ("NotIn", false), ("Exists", true), ("DoesNotExist", false), ("Like", true)]
    {
        assert_eq!(!beside(json!({"podSelector": rule(operator), "ingress": [{}]})), opens, "{operator}");
    }
    let mut on_the_host = ledger.clone();
    on_the_host.1["spec"]["hostNetwork"] = json!(true);
    let facts = case.facts(&vec![on_the_host, ("east", object.clone())]);
    let kept = case.fault.behaviour().keeps_off(&case.scene(), &facts, &at).unwrap();
    assert!(matches!(kept, Progress::Waiting(_)), "no policy reaches it");
}
