//! A made-up drill, laid out and planned.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::document::{self, Source};
use crate::model::facts::told;
use crate::model::plan::OnTimeout;
use crate::model::target::ObjectiveKind;

const CATALOGUE: &str = "\
apiVersion: drillmaster.dev/v1alpha1
kind: ServiceCatalogue
metadata: {name: shop}
spec:
  tiers: {critical: {mtpd: 2h}}
  services:
    - name: checkout
      tier: critical
      owner: {team: checkout, role: checkout-oncall}
      stores: [orders]
      targets: {east: {rto: 15m, rpo: 5s, from: impact, exposure: 4h}}
      budget: {detection: 2m, decision: 4m, failover: 9m}
      failback: {rto: 2m, rpo: 0s}
    - name: payments
      targets: {east: {rto: 1m, rpo: 0s}}
  severities: {sev1: {acknowledge: 3m, engage: 10m, update: 30m}}
  escalation:
    finalAuthority: {role: cio}
    steps:
      - {after: 0m, role: owner}
      - {after: 3m, role: duty-manager, mayDeclare: true}
      - {after: 8m, role: crisis-director, mayDeclare: true}
      - {after: 1h, role: legal, when: {dataLost: true}}
";

const DRILL: &str = "\
apiVersion: drillmaster.dev/v1alpha1
kind: Drill
metadata: {name: lose-east}
spec:
  purpose: Checkout survives the loss of east.
  type: full
  announced: true
  severity: sev1
  catalogue: shop
  regions: {lost: east, takesOver: west}
  services: [checkout]
  probes:
    - {id: checkout, service: checkout, every: 1s, timeout: 1s, http: {url: \"http://checkout.shop.example/\"}}
  workload:
    ledger: {service: checkout, store: orders, url: \"http://checkout.shop.example/ledger\", writesPerSecond: 5}
  limits: {maxDuration: 3h, namespaces: [shop]}
  stages:
    inject:
      - {id: lose-east, fault: {isolate: {namespaces: [shop]}}, proof: {probe: checkout, failsWithin: 20s}}
    detect:
      - {id: alert, wait: {alert: CheckoutDown}, timeout: 5m}
    declare:
      - {id: declare, declare: {role: duty-manager}, budget: 4m, timeout: 10m}
    failover:
      - id: both
        parallel:
          - {id: promote-west, recover: {promote: {workload: statefulset/ledger, namespace: shop}}, budget: 2m}
          - {id: tell, notify: {audience: customers, text: We are on it., within: 30m}, budget: 3m}
      - {id: traffic-west, recover: {dnsSwitch: {record: checkout.shop.example}}}
    failback:
      - {id: fence-east, recover: {fence: {region: east, workload: statefulset/ledger, namespace: shop}}}
      - {id: east-back, removeFault: lose-east}
";

fn scenario(drill: &str) -> Scenario {
    fn only<T: document::Kind>(name: &str, text: &str) -> document::Document<T> {
        document::read(&Arc::new(Source::new(name, text))).unwrap().pop().unwrap()
    }
    Scenario {
        drill: only("drill.yaml", drill),
        catalogue: Some(only("catalogue.yaml", CATALOGUE)),
        procedures: Vec::new(),
        surroundings: None,
    }
}

fn pod(region: &'static str, name: &str) -> (&'static str, Value) {
    (region, json!({"kind": "Pod", "metadata": {"name": name, "namespace": "shop"}}))
}

fn world() -> Vec<(&'static str, Value)> {
    let annotations = json!({"drillmaster.dev/serves": "checkout.shop.example"});
    let service = json!({"kind": "Service", "metadata": {"name": "checkout", "namespace": "shop", "annotations": annotations},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.2.0.1"}]}}});
    let endpoint = json!({"dnsName": "checkout.shop.example", "recordType": "A", "targets": ["10.1.0.1"]});
    let record = json!({"kind": "DNSEndpoint", "metadata": {"name": "global", "namespace": "shop"}, "spec": {"endpoints": [endpoint]}});
    vec![
        pod("east", "ledger-0"),
        pod("east", "web-1"),
        pod("west", "ledger-0"),
        ("west", service),
        ("west", record),
    ]
}

fn regions() -> [Region; 2] {
    ["east", "west"].map(Region::from)
}

fn facts(outline: &Plan, objects: &[(&str, Value)]) -> Facts {
    told(&reads(outline, &regions()), objects, &[])
}

#[test]
fn a_made_up_drill_reads_as_a_table() {
    let scenario = scenario(DRILL);
    let facts = facts(&outline(&scenario).unwrap(), &world());
    let plan = plan(&scenario, &regions(), &facts).unwrap();
    insta::assert_snapshot!(crate::cli::plan::table(&plan, &effects(&plan, &regions(), &facts)));
}

#[test]
fn budgets_left_out_share_the_catalogues_and_the_longest_of_parallel_steps_counts() {
    let plan = outline(&scenario(DRILL)).unwrap();
    let budget = |id: &str| plan.step(&id.into()).unwrap().budget.map(|budget| budget.to_string());
    assert_eq!(budget("alert"), Some("2m".to_owned()));
    assert_eq!(budget("traffic-west"), Some("6m".to_owned()), "9m less the 3m of the longest at once");
    assert_eq!(plan.longest.budgets.to_string(), "15m");
    // 5m + 5m + twice 10m, since it escalates + 10m + 10m + twice 5m.
    assert_eq!(plan.longest.timeouts.to_string(), "1h");
    assert_eq!(plan.step(&"declare".into()).unwrap().on_timeout, OnTimeout::Escalate);
}

#[test]
fn steps_in_turn_take_the_sum() {
    let parallel = outline(&scenario(DRILL)).unwrap();
    let both = parallel.step(&"both".into()).unwrap().clone();
    let Action::Parallel { steps } = both.action.clone() else { panic!("{both:?}") };
    let in_turn = Step { action: Action::Procedure { name: "p".into(), steps }, ..both.clone() };
    assert_eq!(
        (longest::budget(&both).to_string(), longest::budget(&in_turn).to_string()),
        ("3m".into(), "5m".into())
    );
}

#[test]
fn only_named_services_and_promises_that_the_catalogue_makes_are_objectives() {
    let plan = outline(&scenario(DRILL)).unwrap();
    let kinds: Vec<String> = plan.objectives.iter().map(|o| format!("{} {}", o.service, o.kind)).collect();
    let expected = ["rta", "rpa", "exposure", "integrity", "failback", "mtpd", "response"];
    assert_eq!(kinds, expected.map(|kind| format!("checkout {kind}")));
    let rpa = plan.objectives.iter().find(|objective| objective.kind == ObjectiveKind::Rpa).unwrap();
    assert_eq!(rpa.store, Some("orders".into()));
    let other = DRILL.replace("store: orders", "store: sessions");
    let rpa = outline(&scenario(&other)).unwrap().objectives;
    assert_eq!(rpa.iter().find(|objective| objective.kind == ObjectiveKind::Rpa).unwrap().store, None);
    assert!(rpa.iter().all(|objective| objective.kind != ObjectiveKind::Integrity));
}

#[test]
fn the_first_promotion_is_the_point_of_no_return_and_names_whom_to_fence() {
    let plan = outline(&scenario(DRILL)).unwrap();
    assert_eq!(plan.point_of_no_return, Some("promote-west".into()));
    let [authority] = plan.authorities.as_slice() else { panic!("{:?}", plan.authorities) };
    let [first] = authority.moves.as_slice() else { panic!("{authority:?}") };
    assert_eq!((first.step.as_str(), first.to.as_str()), ("promote-west", "west"));
    assert_eq!(authority.others(&first.to).map(|side| side.region.as_str()).collect::<Vec<_>>(), ["east"]);
}

#[test]
fn every_workload_that_is_promoted_has_its_own_authority() {
    let second = "          - {id: promote-payments, recover: {promote: {workload: statefulset/payments, namespace: shop}}}
          - {id: tell,";
    let back = "      - {id: east-back, removeFault: lose-east}
      - {id: promote-east, recover: {promote: {region: east, workload: statefulset/ledger, namespace: shop}}}
";
    let two = DRILL.replace("          - {id: tell,", second);
    let two = two.replace("      - {id: east-back, removeFault: lose-east}\n", back);
    let plan = outline(&scenario(&two)).unwrap();
    let moved = plan.authorities.iter().map(|moved| {
        let steps: Vec<&str> = moved.moves.iter().map(|moved| moved.step.as_str()).collect();
        (moved.takeover().unwrap().pod().to_string(), steps)
    });
    let ledger = ("west: pods/ledger-0 in shop".to_owned(), vec!["promote-west", "promote-east"]);
    let payments = ("west: pods/payments-0 in shop".to_owned(), vec!["promote-payments"]);
    assert_eq!(moved.collect::<Vec<_>>(), [ledger, payments]);
    assert_eq!(plan.point_of_no_return, Some("promote-west".into()));
}

#[test]
fn a_fault_without_a_target_is_refused_at_its_step_and_a_recovery_without_one_is_not() {
    let scenario = scenario(DRILL);
    let outline = outline(&scenario).unwrap();
    let refused = plan(&scenario, &regions(), &facts(&outline, &[])).unwrap_err();
    let [only] = refused.as_slice() else { panic!("{refused:?}") };
    assert_eq!(only.message, "east has no pods in shop");
    assert_eq!(only.place.as_ref().unwrap().line, 19);
    assert!(plan(&scenario, &regions(), &facts(&outline, &[pod("east", "web-1")])).is_ok());
}

#[test]
fn a_drill_that_cannot_keep_its_promises_is_refused() {
    let late =
        DRILL.replace("{record: checkout.shop.example}}}", "{record: checkout.shop.example}}, budget: 7m}");
    assert!(outline(&scenario(&late)).unwrap_err()[0].message.contains("over the RTO of checkout, 15m"));
    let long = DRILL.replace("maxDuration: 3h", "maxDuration: 59m");
    assert!(outline(&scenario(&long)).unwrap_err()[0].message.contains("timeouts add up to 1h"));
}

#[test]
fn a_tabletop_needs_no_cluster() {
    let drill = DRILL.split("  regions:").next().unwrap().to_owned()
        + "  services: [checkout]\n  limits: {maxDuration: 2h}\n  stages:\n    declare:\n      - {id: declare, declare: {role: cio}}\n";
    let scenario = scenario(&drill);
    let plan = plan(&scenario, &[], &Facts::default()).unwrap();
    assert_eq!((reads(&plan, &[]), plan.blast_radius.len()), (vec![], 0));
    assert_eq!(
        plan.objectives.iter().map(|objective| objective.kind).collect::<Vec<_>>(),
        [ObjectiveKind::Response]
    );
    assert_eq!(plan.severity.unwrap().declare.unwrap().to_string(), "8m");
}
