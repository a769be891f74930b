//! Every fault and every recovery there is, through the engine in simulated regions: it takes effect, shows it, and is taken back, by the
//! run itself and by `heal` after a death.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod laboratory;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use drillmaster::cli::inputs::Inputs;
use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::engine;
use drillmaster::fault::FaultKind;
use drillmaster::journal::Memory;
use drillmaster::model::event::{Ended, Event, Outcome, What};
use drillmaster::recovery::RecoveryKind;
use laboratory::{
    Death, Pen, drill, heal, in_virtual_time, never_interrupted, nobody_watches, run_until_death, seconds,
    unready, written,
};

/// A kind, and steps that use it.
struct Row {
    kind: &'static str,
    inject: &'static str,
    failover: &'static str,
    /// What follows in the failover.
    later: &'static str,
    failback: &'static str,
}

const fn fault(kind: &'static str, inject: &'static str) -> Row {
    Row { kind, inject, failover: "", later: "", failback: "- {id: gone, removeFault: broken}" }
}

const fn recovery(kind: &'static str, failover: &'static str) -> Row {
    Row { kind, inject: "", failover, later: "", failback: "" }
}

const FAULTS: [Row; 10] = [
    fault(
        "isolate",
        "fault: {isolate: {namespaces: [shop]}}, proof: {probe: east-direct, failsWithin: 20s, until: once}",
    ),
    fault(
        "drain",
        "fault: {drain: {nodes: {named: [east-b-1]}}}, proof: {objectsWithin: 5m, until: recovery}",
    ),
    fault("zoneLoss", "fault: {zoneLoss: {zone: east-a}}, proof: {objectsWithin: 5m, until: once}"),
    fault(
        "dnsFailure",
        "fault: {dnsFailure: {record: payments.shop.example}}, proof: {objectsWithin: 1m, until: once}",
    ),
    fault(
        "egressDeny",
        "fault: {egressDeny: {namespace: shop, selector: {app: payments}, to: {host: acquirer.example}}}, \
         proof: {probe: payments, failsWithin: 1m, until: once}",
    ),
    fault(
        "configCorruption",
        "fault: {configCorruption: {namespace: shop, configMap: payments-config, key: UPSTREAM, \
         value: \"http://aquirer.example/\", restart: payments}}, proof: {probe: payments, failsWithin: 5m, until: once}",
    ),
    fault(
        "dataCorruption",
        "fault: {dataCorruption: {workload: statefulset/ledger, namespace: shop, records: 5}}, \
         proof: {objectsWithin: 1m, until: once}",
    ),
    fault(
        "badRollout",
        "fault: {badRollout: {deployment: storefront, namespace: shop}}, proof: {objectsWithin: 5m, until: once}",
    ),
    fault(
        "scale",
        "fault: {scale: {workload: deployment/payments, namespace: shop, replicas: 0}}, \
         proof: {probe: payments, failsWithin: 1m, until: once}",
    ),
    fault(
        "podKill",
        "fault: {podKill: {namespace: shop, selector: {app: payments}}}, proof: {objectsWithin: 1m, until: once}",
    ),
];

const RECOVERIES: [Row; 11] = [
    recovery("dnsSwitch", "recover: {dnsSwitch: {record: checkout.shop.example}}"),
    recovery(
        "scale",
        "recover: {scale: {workload: deployment/payments, namespace: shop, replicas: 4, region: west}}",
    ),
    recovery("restart", "recover: {restart: {workload: deployment/payments, namespace: shop, region: west}}"),
    recovery(
        "patch",
        "recover: {patch: {apiVersion: v1, kind: ConfigMap, namespace: shop, name: payments-config, region: west, \
         merge: {data: {UPSTREAM: \"http://acquirer-two.example/\", NEW: \"1\"}}}}",
    ),
    Row {
        inject: "fault: {badRollout: {deployment: storefront, namespace: shop}}, proof: {objectsWithin: 5m, until: once}",
        failback: "- {id: gone, removeFault: broken}",
        ..recovery(
            "rolloutUndo",
            "recover: {rolloutUndo: {deployment: storefront, namespace: shop, region: east}}",
        )
    },
    Row {
        inject: "fault: {drain: {nodes: {named: [east-b-1]}}}, proof: {objectsWithin: 5m, until: once}",
        failback: "- {id: gone, removeFault: broken}",
        ..recovery("uncordon", "recover: {uncordon: {nodes: {named: [east-b-1]}, region: east}}")
    },
    Row {
        later: "
      - {id: later, recover: {promote: {workload: statefulset/ledger, namespace: shop, region: west}}}",
        ..recovery("fence", "recover: {fence: {workload: statefulset/ledger, namespace: shop, region: east}}")
    },
    recovery("resync", "recover: {resync: {workload: statefulset/ledger, namespace: shop, region: west}}"),
    recovery("demote", "recover: {demote: {workload: statefulset/ledger, namespace: shop, region: east}}"),
    Row {
        inject: "fault: {isolate: {namespaces: [shop]}}, proof: {probe: east-direct, failsWithin: 20s, until: once}",
        ..recovery(
            "promote",
            "recover: {promote: {workload: statefulset/ledger, namespace: shop, region: west}}",
        )
    },
    // The replica has what the restored side no longer has, and reads for nobody until it follows again.
    Row {
        later: "\n      - {id: later, recover: {resync: {workload: statefulset/ledger, namespace: shop, region: west}}}",
        ..recovery(
            "restoreFromCopy",
            "recover: {restoreFromCopy: {workload: statefulset/ledger, namespace: shop, region: east}}",
        )
    },
];

/// These end with west promoted and east fenced, and no failback.
const PROMOTES: [&str; 2] = ["promote", "fence"];

impl Row {
    fn drill(&self) -> Inputs {
        let step = |id: &str, text: &str| match text {
            "" => "[]".to_owned(),
            text => format!("\n      - {{id: {id}, {text}}}"),
        };
        let failback = if self.failback.is_empty() { "[]" } else { &format!("\n      {}", self.failback) };
        drill(&format!(
            "apiVersion: drillmaster.dev/v1alpha1
kind: Drill
metadata: {{name: one-kind}}
spec:
  purpose: One kind takes effect and is taken back.
  type: partial
  catalogue: shop
  sandbox: shop-two-regions
  regions: {{lost: east, takesOver: west}}
  services: [payments]
  probes:
    - {{id: payments, service: payments, every: 500ms, timeout: 800ms, http: {{url: \"http://payments.east.shop.example/\"}}}}
    - {{id: east-direct, every: 1s, timeout: 800ms, http: {{url: \"http://checkout.east.shop.example/\"}}}}
  workload:
    ledger: {{service: checkout, store: orders-postgres, url: \"http://checkout.shop.example/ledger\", writesPerSecond: 2}}
  steadyState: {{for: 130s}}           # long enough for a copy of the records
  limits: {{maxDuration: 2h, namespaces: [shop]}}
  allowIrreversible: {}
  stages:
    inject: {}
    failover: {}
    failback: {failback}
",
            if self.kind == "restoreFromCopy" { "[mended]" } else { "[]" },
            step("broken", self.inject),
            step("mended", self.failover) + self.later,
        ))
    }

    /// The step that the row is about.
    fn step(&self) -> &'static str {
        if self.failover.is_empty() { "broken" } else { "mended" }
    }
}

fn all_kinds(rows: &[Row], all: &[drillmaster::kinds::Kind]) {
    let listed: BTreeSet<&str> = rows.iter().map(|row| row.kind).collect();
    let known: BTreeSet<&str> = all.iter().map(|kind| kind.name).collect();
    assert_eq!(listed, known, "a kind without its row here");
}

fn ended(events: &[Event], id: &str) -> Option<Outcome> {
    events.iter().find_map(|event| match &event.what {
        What::StepEnded { step, outcome } if step.as_str() == id => Some(outcome.clone()),
        _ => None,
    })
}

/// The places of the ends of the step's effects.
fn effects(events: &[Event], id: &str) -> Vec<usize> {
    let of_the_step = |event: &Event| match &event.what {
        What::EffectIntended { step, effect, .. } if step.as_str() == id => Some(effect.id),
        _ => None,
    };
    let ids: Vec<_> = events.iter().filter_map(of_the_step).collect();
    let is_end = |event: &Event| matches!(&event.what, What::EffectEnded { effect, outcome: Outcome::Ok, .. } if ids.contains(effect));
    let appended = events.iter().filter(|event| !matches!(event.what, What::Rows { .. }));
    appended.enumerate().filter(|(_, event)| is_end(event)).map(|(place, _)| place).collect()
}

fn differences(
    before: &std::collections::BTreeMap<String, serde_json::Value>,
    after: &std::collections::BTreeMap<String, serde_json::Value>,
) -> Vec<String> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differs = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    differs.map(|key| format!("{key}: {:?} became {:?}", before.get(key), after.get(key))).collect()
}

/// Runs a row to its end; what it wrote. Everything that people wrote is as before, and every workload is ready.
fn whole_run(row: &Row) -> Vec<Event> {
    let inputs = row.drill();
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let before = written(&rehearsal);
        let pen = Arc::new(Mutex::new(Memory::default()));
        let (plan, head, world) = (rehearsal.plan.clone(), rehearsal.head.clone(), rehearsal.sandbox.world());
        let finished =
            engine::run(world, plan, head, pen.clone(), nobody_watches(), never_interrupted()).await;
        let events = pen.lock().unwrap().events().to_vec();
        assert_eq!(finished.how, Ended::Completed, "{}: {:?}", row.kind, ended(&events, row.step()));
        assert_eq!(ended(&events, row.step()), Some(Outcome::Ok), "{}", row.kind);
        if !PROMOTES.contains(&row.kind) {
            assert_eq!(finished.outstanding, vec![], "{}", row.kind);
        }
        seconds(120).await;
        assert_eq!(differences(&before, &written(&rehearsal)), Vec::<String>::new(), "{}", row.kind);
        // The fenced side reads for nobody.
        if !PROMOTES.contains(&row.kind) {
            assert_eq!(unready(&rehearsal), Vec::<String>::new(), "{}", row.kind);
        }
        events
    })
}

/// Kills the orchestrator after each effect of the row's step, and heals.
fn every_death(row: &Row, events: &[Event]) {
    for place in effects(events, row.step()) {
        let inputs = row.drill();
        in_virtual_time(async {
            let what = format!("{} after event {place}", row.kind);
            let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
            let before = written(&rehearsal);
            let pen = Pen::new(Death::After(place));
            assert!(run_until_death(&rehearsal, &pen).await.is_none(), "{what}");
            seconds(30).await;
            let healed = heal(rehearsal.sandbox.world(), &pen).await;
            assert_eq!(healed.outstanding, vec![], "{what}");
            seconds(120).await;
            assert_eq!(differences(&before, &written(&rehearsal)), Vec::<String>::new(), "{what}");
            assert_eq!(unready(&rehearsal), Vec::<String>::new(), "{what}");
        });
    }
}

#[test]
fn every_fault_takes_effect_shows_it_and_is_taken_back_by_the_run_and_by_heal() {
    all_kinds(&FAULTS, FaultKind::ALL);
    for row in &FAULTS {
        let events = whole_run(row);
        let effects = effects(&events, row.step());
        assert!(!effects.is_empty(), "{} did nothing", row.kind);
        every_death(row, &events);
    }
}

#[test]
fn every_recovery_works_and_is_taken_back_where_nothing_was_promoted() {
    all_kinds(&RECOVERIES, RecoveryKind::ALL);
    for row in &RECOVERIES {
        let events = whole_run(row);
        let effects = effects(&events, row.step());
        assert!(!effects.is_empty(), "{} did nothing", row.kind);
        // A promotion stays (tests/split_brain.rs), and nothing takes a restored copy back.
        if !["promote", "restoreFromCopy"].contains(&row.kind) {
            every_death(row, &events);
        }
    }
}

#[test]
fn a_fault_whose_selector_matches_nothing_is_refused_and_never_passes() {
    let rows = [
        fault(
            "podKill",
            "fault: {podKill: {namespace: shop, selector: {app: nobody}}}, proof: {objectsWithin: 1m, until: once}",
        ),
        fault(
            "drain",
            "fault: {drain: {nodes: {named: [nowhere]}}}, proof: {objectsWithin: 1m, until: once}",
        ),
        fault("zoneLoss", "fault: {zoneLoss: {zone: nowhere}}, proof: {objectsWithin: 1m, until: once}"),
        fault(
            "dnsFailure",
            "fault: {dnsFailure: {record: nobody.shop.example}}, proof: {objectsWithin: 1m, until: once}",
        ),
        fault(
            "scale",
            "fault: {scale: {workload: deployment/nobody, namespace: shop, replicas: 0}}, \
             proof: {objectsWithin: 1m, until: once}",
        ),
        fault(
            "badRollout",
            "fault: {badRollout: {deployment: nobody, namespace: shop}}, proof: {objectsWithin: 1m, until: once}",
        ),
        fault(
            "configCorruption",
            "fault: {configCorruption: {namespace: shop, configMap: nothing, key: A, value: b}}, \
             proof: {objectsWithin: 1m, until: once}",
        ),
        fault(
            "dataCorruption",
            "fault: {dataCorruption: {workload: statefulset/nobody, namespace: shop, records: 5}}, \
             proof: {objectsWithin: 1m, until: once}",
        ),
        fault(
            "egressDeny",
            "fault: {egressDeny: {namespace: shop, selector: {app: nobody}, to: {host: acquirer.example}}}, \
             proof: {objectsWithin: 1m, until: once}",
        ),
    ];
    for row in &rows {
        let inputs = row.drill();
        in_virtual_time(async {
            let refused = match Rehearsal::prepare(&inputs, 7, 0).await {
                Err(error) => format!("{error:?}"),
                Ok(_) => panic!("{} was planned", row.kind),
            };
            let said = ["nobody", "nothing", "nowhere"].iter().any(|name| refused.contains(name));
            assert!(said, "{}: {refused}", row.kind);
        });
    }
}
