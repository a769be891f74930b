//! Bad documents, and the whole of what is said about each: read the snapshots as the person who made the mistake.
//!
//! Each case is one edit of the good documents in `tests/bad_input/good`, so that what is wrong stands in one line here.

#![expect(clippy::unwrap_used, reason = "a test may")]

#[path = "bad_input/at_once.rs"]
mod at_once;
#[path = "bad_input/probes.rs"]
mod probes;
#[path = "bad_input/promises.rs"]
mod promises;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use drillmaster::cli::{inputs, validate};
use drillmaster::document::Look;
use proptest::prelude::*;

const DRILL: &str = include_str!("bad_input/good/drill.yaml");
const CATALOGUE: &str = include_str!("bad_input/good/catalogue.yaml");
const SANDBOX: &str = include_str!("bad_input/good/sandbox.yaml");

/// What `validate` says of one file of a folder with these files.
fn said(files: &[(&str, &[u8])], name: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("runbooks")).unwrap();
    fs::write(folder.path().join("runbooks/checkout-failover.md"), "# Checkout failover\n").unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let found = validate::check(&folder.path().join(name), &[]);
    without(&found.render(Look::Plain), folder.path())
}

fn without(text: &str, folder: &Path) -> String {
    text.replace(&format!("{}/", folder.display()), "")
}

fn of_drill(text: &[u8]) -> String {
    let files = [
        ("drill.yaml", text),
        ("catalogue.yaml", CATALOGUE.as_bytes()),
        ("sandbox.yaml", SANDBOX.as_bytes()),
    ];
    said(&files, "drill.yaml")
}

fn of_catalogue(text: &str) -> String {
    said(&[("catalogue.yaml", text.as_bytes())], "catalogue.yaml")
}

/// A text with one passage exchanged, which must be there.
fn edited(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the good document has no `{from}`");
    text.replacen(from, to, 1)
}

fn snapshot(case: &str, said: String) {
    assert!(!said.is_empty(), "{case}: nothing was said");
    assert!(!said.contains('\u{1b}'), "{case}: an escape reached the terminal");
    insta::with_settings!({ snapshot_path => "bad_input", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(case, said);
    });
}

#[test]
fn the_good_documents_are_valid() {
    assert_eq!(of_drill(DRILL.as_bytes()), "");
    assert_eq!(of_catalogue(CATALOGUE), "");
    assert_eq!(said(&[("sandbox.yaml", SANDBOX.as_bytes())], "sandbox.yaml"), "");
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_read() {
    let text = format!("\u{feff}{}", DRILL.replace('\n', "\r\n"));
    assert_eq!(of_drill(text.as_bytes()), "");
}

/// Edits of the drill: a name, what stands there, what stands there instead.
const DRILLS: &[(&str, &str, &str)] = &[
    ("typo_in_a_field", "takesOver: west", "takeOver: west"),
    ("typo_in_a_fault", "fault: {isolate:", "fault: {isolat:"),
    ("typo_in_a_stage", "    failover:", "    failovr:"),
    ("typo_in_an_action", "        removeFault: lose-east", "        removFault: lose-east"),
    ("typo_in_a_value", "type: full ", "type: ful "),
    ("typo_in_the_kind", "kind: Drill", "kind: Drlil"),
    ("wrong_api_version", "drillmaster.dev/v1alpha1", "drillmaster.dev/v1"),
    ("bad_name", "name: checkout-region-failover", "name: Checkout Failover"),
    ("path_in_a_probe_id", "id: east-direct ", "id: ../../etc "),
    ("text_where_a_list_belongs", "services: [checkout]", "services: checkout"),
    (
        "number_where_text_belongs",
        "purpose: Checkout survives the loss of east within its targets.",
        "purpose: 42",
    ),
    ("text_where_a_number_belongs", "writesPerSecond: 50", "writesPerSecond: many"),
    ("negative_number", "writesPerSecond: 50", "writesPerSecond: -5"),
    ("enormous_number", "writesPerSecond: 50", "writesPerSecond: 99999999999999999999999"),
    ("fraction", "writesPerSecond: 50", "writesPerSecond: 0.5"),
    ("mapping_where_a_list_belongs", "probes:\n    - id: checkout\n", "probes:\n      id: checkout\n"),
    ("nothing_where_a_list_belongs", "services: [checkout]", "services:"),
    ("kind_without_parameters", "check: {ledger: {}}", "check: ledger"),
    ("duration_without_unit", "timeout: 1s\n      from", "timeout: 15\n      from"),
    ("negative_duration", "budget: 2m\n        timeout", "budget: -2m\n        timeout"),
    ("enormous_duration", "maxDuration: 2h", "maxDuration: 99999999d"),
    ("unknown_unit", "maxDuration: 2h", "maxDuration: 2 hours"),
    ("zero_period", "every: 1s", "every: 0s"),
    ("period_longer_than_the_target_allows", "every: 100ms", "every: 1m"),
    ("period_longer_than_the_way_back_allows", "every: 100ms", "every: 2s"),
    ("timeout_longer_than_the_target_allows", "timeout: 1s", "timeout: 2m"),
    (
        "timeout_of_writes_longer_than_the_target_allows",
        "writesPerSecond: 50",
        "timeout: 60s, writesPerSecond: 50",
    ),
    (
        "patch_that_is_no_mapping",
        "recover: {dnsSwitch: {record: checkout.shop.example}}",
        "recover: {patch: {apiVersion: v1, kind: ConfigMap, namespace: shop, name: ledger, merge: 3}}",
    ),
    (
        "patch_of_nothing",
        "recover: {dnsSwitch: {record: checkout.shop.example}}",
        "recover: {patch: {apiVersion: v1, kind: ConfigMap, namespace: shop, name: ledger, merge: }}",
    ),
    (
        "patch_of_metadata_that_are_none",
        "recover: {dnsSwitch: {record: checkout.shop.example}}",
        "recover: {patch: {apiVersion: v1, kind: ConfigMap, namespace: shop, name: ledger, merge: {metadata: 3}}}",
    ),
    ("lost_region_misspelt", "lost: east", "lost: eats"),
    (
        "colon_within_a_text",
        "purpose: Checkout survives the loss of east within its targets.",
        "purpose: {Checkout: survives}",
    ),
    (
        "promotion_in_another_namespace",
        "promote: {workload: statefulset/ledger, namespace: shop",
        "promote: {workload: statefulset/ledger, namespace: shp",
    ),
    ("missing_field", "  limits:\n    maxDuration: 2h\n", "  limits:\n"),
    ("missing_purpose", "  purpose: Checkout survives the loss of east within its targets.\n", ""),
    (
        "two_actions_in_a_step",
        "        removeFault: lose-east",
        "        removeFault: lose-east\n        wait: {duration: 1m}",
    ),
    ("no_action_in_a_step", "        removeFault: lose-east", "        title: East comes back"),
    ("no_kind_in_a_probe", "http: {url: \"http://checkout.west.shop.example/\"}", "service: checkout"),
    ("duplicate_key", "  severity: sev1 ", "  severity: sev1\n  severity: sev2 "),
    ("duplicate_key_far_apart", "    operate: ", "    inject: []\n    operate: "),
    ("merge_key", "regions: {lost: east", "regions: {<<: {lost: east}, lost: west"),
    ("ambiguous_yes", "announced: true", "announced: yes"),
    ("ambiguous_no_as_a_name", "lost: east,", "lost: NO,"),
    ("ambiguous_octal", "writesPerSecond: 50", "writesPerSecond: 050"),
    ("ambiguous_key", "steadyState: {for: 30s}", "steadyState: {on: 30s}"),
    ("yaml_tag", "steadyState: {for: 30s}", "steadyState: !custom {for: 30s}"),
    ("tab", "  limits:\n", "  limits:\n\t"),
    ("tab_after_a_value", "        budget: 2m\n        timeout", "        budget: 2m\n\t\ttimeout"),
    ("measured_and_not_judged", "services: [checkout]", "services: [payments]"),
    ("store_of_another_service", "ledger: {service: checkout", "ledger: {service: payments"),
    ("unclosed_bracket", "services: [checkout]", "services: [checkout"),
    (
        "unclosed_quote",
        "url: \"http://checkout.west.shop.example/\"",
        "url: \"http://checkout.west.shop.example/",
    ),
    ("colon_in_text", "purpose: Checkout survives", "purpose: Note: Checkout survives"),
    ("unknown_anchor", "services: [checkout]", "services: *services"),
    ("alias_within_itself", "services: [checkout]", "services: &all [*all]"),
    ("escape_in_a_value", "lost: east,", "lost: \"\\e[31meast\\u202e\","),
    ("raw_escape", "lost: east,", "lost: \u{1b}[31meast,"),
    ("unknown_probe", "proof: {probe: east-direct", "proof: {probe: east-direkt"),
    ("unknown_probe_in_abort_when", "{probe: west-direct, failsFor", "{probe: vest, failsFor"),
    ("unknown_step", "removeFault: lose-east", "removeFault: lose-west"),
    ("removing_what_is_no_fault", "removeFault: lose-east", "removeFault: promote-west"),
    ("unknown_region", "recover: {fence: {region: east", "recover: {fence: {region: esat"),
    ("unknown_vantage", "from: [outside, west]", "from: [outsid, west]"),
    ("unknown_role", "declare: {role: duty-manager}", "declare: {role: duty-manger}"),
    ("unknown_service", "services: [checkout]", "services: [chekout]"),
    ("unknown_store", "store: orders-postgres", "store: orders-mysql"),
    ("unknown_severity", "severity: sev1", "severity: sev9"),
    ("unknown_alert", "wait: {alert: CheckoutDown}", "wait: {alert: CheckoutDwn}"),
    ("unknown_procedure", "removeFault: lose-east", "procedure: bring-east-back"),
    ("missing_catalogue", "catalogue: shop", "catalogue: shopp"),
    ("missing_sandbox", "sandbox: shop-two-regions", "sandbox: shop-three-regions"),
    ("missing_runbook", "runbook: runbooks/checkout-failover.md", "runbook: runbooks/nothing.md"),
    ("runbook_leaves_the_folder", "runbook: runbooks/checkout-failover.md", "runbook: ../../etc/passwd"),
    ("duplicate_step", "id: resync-east", "id: fence-east"),
    ("duplicate_probe", "id: west-direct", "id: east-direct"),
    (
        "two_bounds_for_a_probe",
        "abortWhen: [{probe: west-direct, failsFor: 10s}]",
        "abortWhen: [{probe: west-direct, failsFor: 10s}, {probe: west-direct, failsFor: 20s}]",
    ),
    ("takes_over_misspelt", "takesOver: west", "takesOver: ewst"),
    (
        "record_that_is_no_name",
        "dnsSwitch: {record: checkout.shop.example}",
        "dnsSwitch: {record: \"check out\"}",
    ),
    ("fault_without_proof", "        proof: {probe: east-direct, failsWithin: 20s, until: restored}\n", ""),
    (
        "two_faults_with_one_proof",
        "        proof: {probe: east-direct, failsWithin: 20s, until: restored}\n",
        "        proof: {probe: east-direct, failsWithin: 20s, until: restored}\n      - id: crowd-west\n        fault: {podKill: {namespace: shop, selector: {app: checkout}}}\n        proof: {probe: east-direct, failsWithin: 20s, until: once}\n",
    ),
    (
        "proof_by_the_services_own_probe",
        "proof: {probe: east-direct, failsWithin: 20s, until: restored}",
        "proof: {probe: checkout, failsWithin: 20s, until: restored}",
    ),
    (
        "control_slower_than_what_it_vouches_for",
        "    - id: west-direct               # the recovery side itself must stay healthy\n",
        "    - id: control\n      control: true\n      every: 1s\n      timeout: 1s\n      http: {url: \"http://control.example/\"}\n    - id: west-direct\n",
    ),
    ("proof_of_both_sorts", "failsWithin: 20s", "failsWithin: 20s, objectsWithin: 5s"),
    ("budgets_over_the_rto", "        budget: 4m", "        budget: 14m"),
    ("timeouts_over_the_limit", "maxDuration: 2h", "maxDuration: 10m"),
    ("namespace_out_of_scope", "namespaces: [shop]}}", "namespaces: [kube-system]}}"),
    (
        "nested_parallel",
        "removeFault: lose-east",
        "parallel: [{id: a, parallel: [{id: b, removeFault: lose-east}]}]",
    ),
    (
        "fault_in_the_wrong_stage",
        "        removeFault: lose-east",
        "        fault: {isolate: {namespaces: [shop]}}\n        proof: {objectsWithin: 5s}",
    ),
    ("fault_left", "      - id: east-back\n        removeFault: lose-east\n", ""),
    (
        "failback_without_fence",
        "      - id: fence-east\n        recover: {fence: {region: east, workload: statefulset/ledger, namespace: shop}}\n",
        "",
    ),
    (
        "failback_fences_one_database_of_two",
        "      - id: traffic-west\n",
        "      - id: promote-payments\n        recover: {promote: {workload: statefulset/payments, namespace: shop}}\n      - id: traffic-west\n",
    ),
    (
        "failback_promotes_beside_a_primary",
        "        recover: {demote: {workload: statefulset/ledger, namespace: shop}}\n",
        "        wait: {duration: 10s}\n",
    ),
    (
        "promotion_beside_a_healthy_side",
        "fault: {isolate: {namespaces: [shop]}}",
        "fault: {dnsFailure: {record: checkout.shop.example}}",
    ),
    (
        "promotion_beside_a_side_that_was_scaled_away",
        "fault: {isolate: {namespaces: [shop]}}",
        "fault: {scale: {workload: statefulset/ledger, namespace: shop, replicas: 0}}",
    ),
    (
        "fence_and_promotion_and_removal_at_once",
        "      - id: promote-west\n",
        "      - id: at-once\n        parallel:\n          - id: fence-first\n            recover: {fence: {region: east, workload: statefulset/ledger, namespace: shop}}\n          - id: promote-first\n            recover: {promote: {workload: statefulset/ledger, namespace: shop}}\n          - {id: back-first, removeFault: lose-east}\n          - {id: tell, notify: {audience: staff, text: We fail over.}}\n      - id: promote-west\n",
    ),
    ("region_takes_over_from_itself", "takesOver: west", "takesOver: east"),
    ("irreversible_step_unknown", "  severity: sev1", "  allowIrreversible: [promote-wst]\n  severity: sev1"),
    (
        "irreversible_step_not_allowed",
        "recover: {promote: {workload: statefulset/ledger, namespace: shop}}",
        "recover: {restoreFromCopy: {workload: statefulset/ledger, namespace: shop}}",
    ),
    (
        "promotion_of_a_deployment",
        "promote: {workload: statefulset/ledger",
        "promote: {workload: deployment/ledger",
    ),
    ("not_a_workload", "promote: {workload: statefulset/ledger", "promote: {workload: ledger"),
    ("tabletop_with_systems", "type: full ", "type: tabletop "),
    ("probe_without_a_url", "url: \"http://checkout.shop.example/\", ", "url: \"\", "),
    ("probe_over_ftp", "\"http://checkout.east", "\"ftp://checkout.east"),
    ("probe_without_a_scheme", "\"http://checkout.east", "\"checkout.east"),
    ("probe_of_a_host_with_a_space", "\"http://checkout.east", "\"http://check out.east"),
    ("probe_with_a_second_header", "east.shop.example/\"", "east.shop.example/\\r\\nX: y\""),
    ("probe_of_a_port_that_is_none", "east.shop.example/\"", "east.shop.example:99999/\""),
    (
        "ledger_without_a_scheme",
        "url: \"http://checkout.shop.example/ledger\"",
        "url: checkout.shop.example/ledger",
    ),
    ("vantage_twice", "from: [outside, west]", "from: [outside, outside]"),
    ("ledger_from_nowhere", "writesPerSecond: 50", "from: mars, writesPerSecond: 50"),
    ("service_twice", "services: [checkout]", "services: [checkout, checkout]"),
    ("namespace_twice", "namespaces: [shop]\n", "namespaces: [shop, shop]\n"),
    ("default_timeouts_over_the_limit", "maxDuration: 2h", "maxDuration: 1h"),
    ("someone_declares_who_may_not", "declare: {role: duty-manager}", "declare: {role: checkout-oncall}"),
    ("wait_longer_than_its_timeout", "wait: {duration: 10m}", "wait: {duration: 10m}\n        timeout: 1m"),
    (
        "budget_over_its_timeout",
        "        budget: 2m\n        timeout: 5m",
        "        budget: 6m\n        timeout: 5m",
    ),
    ("proof_sooner_than_its_probe", "failsWithin: 20s", "failsWithin: 1ms"),
    (
        "promotion_of_a_misspelt_workload",
        "promote: {workload: statefulset/ledger, namespace",
        "promote: {workload: statefulset/ledgr, namespace",
    ),
    ("ambiguous_octal_of_today", "writesPerSecond: 50", "writesPerSecond: 0o24"),
    ("ambiguous_zero", "writesPerSecond: 50", "writesPerSecond: 00"),
    ("ambiguous_exponent", "writesPerSecond: 50", "writesPerSecond: 1e3"),
    ("ambiguous_thousand", "writesPerSecond: 50", "writesPerSecond: 1_000"),
    ("ambiguous_sixties", "maxDuration: 2h", "maxDuration: 2:00:00"),
    ("ambiguous_day_as_an_id", "id: hold", "id: 2026-01-01"),
    ("ambiguous_day_as_a_key", "steadyState: {for: 30s}", "steadyState: {2026-01-01: 30s}"),
    ("ambiguous_equals", "severity: sev1 ", "severity: = "),
    ("no_number_at_all", "writesPerSecond: 50", "writesPerSecond: .nan"),
    ("list_as_a_key", "  announced: true", "  ? [a, b]\n  : true"),
    ("nothing_as_a_key", "  announced: true", "  ~: true"),
    ("fault_without_its_fields", "fault: {isolate: {namespaces: [shop]}}", "fault: isolate"),
    ("runbook_that_is_a_folder", "runbook: runbooks/checkout-failover.md", "runbook: runbooks"),
    ("nothing_in_parallel", "removeFault: lose-east", "parallel: []"),
    ("isolating_nothing", "isolate: {namespaces: [shop]}", "isolate: {namespaces: []}"),
    ("steady_state_over_the_limit", "steadyState: {for: 30s}", "steadyState: {for: 10h}"),
    ("probe_that_waits_for_a_year", "timeout: 1s\n      from", "timeout: 300d\n      from"),
];

#[test]
fn each_bad_drill_is_refused_with_a_place_and_a_way_out() {
    for (case, from, to) in DRILLS {
        snapshot(case, of_drill(edited(DRILL, from, to).as_bytes()));
    }
}

/// Edits of the catalogue.
const CATALOGUES: &[(&str, &str, &str)] = &[
    ("catalogue_cycle", "      degradesWithout: [acquirer]   # soft: queues", "      needs: [checkout]"),
    (
        "catalogue_looser_dependency",
        "        east: {rto: 10m, rpo: 0s, from: impact}",
        "        east: {rto: 1h, rpo: 0s, from: impact}",
    ),
    ("catalogue_unknown_need", "needs: [payments] ", "needs: [paymets] "),
    ("catalogue_unknown_tier", "tier: missionCritical", "tier: missionCritcal"),
    ("catalogue_unknown_severity", "respondsWithin: {sev1: 15m}", "respondsWithin: {sev7: 15m}"),
    ("catalogue_not_a_day", "date: \"2026-10-12\"", "date: 12.10.2026"),
    ("catalogue_day_that_never_was", "date: \"2026-10-12\"", "date: \"2026-02-30\""),
    ("catalogue_day_without_quotes", "next: \"2027-01-12\"", "next: 2027-01-12"),
    ("catalogue_share_as_a_number", "success: 99%", "success: 0.99"),
    ("catalogue_rto_beyond_the_mtpd", "missionCritical: {mtpd: 2h", "missionCritical: {mtpd: 20m"),
    ("catalogue_share_over_all", "success: 99%", "success: 101%"),
    ("catalogue_budget_over_rto", "failover: 9m", "failover: 10m"),
    ("catalogue_service_twice", "name: payments", "name: checkout"),
    ("catalogue_zone_typo", "Europe/Berlin", "Europe/Belrin"),
    ("catalogue_zone_of_nobody", "Europe/Berlin", "Middle-earth/Shire"),
    ("catalogue_nothing_restored", "success: 99%", "success: 0%"),
    ("catalogue_promise_left_empty", "rpo: 5s", "rpo: "),
    ("catalogue_answers_in_no_time", "p99: 800ms", "p99: 0s"),
    ("catalogue_freeze_backwards", "until: \"2026-12-02\"", "until: \"2026-11-02\""),
];

#[test]
fn each_bad_catalogue_is_refused_with_a_place_and_a_way_out() {
    for (case, from, to) in CATALOGUES {
        snapshot(case, of_catalogue(&edited(CATALOGUE, from, to)));
    }
}

/// Edits of the sandbox; they stand at the drill that names it, too.
const SANDBOXES: &[(&str, &str, &str)] = &[
    ("sandbox_link_to_nowhere", "  alerts:", "  links: [{between: [east, wset], latency: 1ms}]\n  alerts:"),
    (
        "sandbox_latency_too_fine",
        "  alerts:",
        "  links: [{between: [east, west], latency: 500us}]\n  alerts:",
    ),
    ("sandbox_alert_checked_too_often", "every: 5s", "every: 1ms"),
    ("sandbox_alert_from_nowhere", "from: outside", "from: otside"),
    (
        "sandbox_two_people_of_one_role",
        "  alerts:",
        "  people: [{role: cio, who: ada, answers: {after: 1m}}, {role: cio, who: bob, answers: {after: 1m}}]\n  alerts:",
    ),
    ("sandbox_alert_of_no_url", "url: \"http://checkout.shop.example/\"", "url: \"\""),
    ("sandbox_addresses_shared", "addresses: 10.2.0.0/16", "addresses: 10.1.128.0/17"),
    ("sandbox_range_that_is_none", "addresses: 10.2.0.0/16", "addresses: 10.999.0.0/16"),
    ("sandbox_range_too_small", "addresses: 10.2.0.0/16", "addresses: 10.2.0.0/24"),
    ("sandbox_region_without_nodes", "nodes: [{name: west-a, zone: a}]", "nodes: []"),
    (
        "sandbox_node_twice",
        "nodes: [{name: west-a, zone: a}]",
        "nodes: [{name: w, zone: a}, {name: w, zone: b}]",
    ),
    ("sandbox_node_of_no_name", "{name: west-a, zone: a}", "{name: west_a, zone: a}"),
    ("sandbox_node_of_an_empty_label", "{name: west-a, zone: a}", "{name: west..a, zone: a}"),
    ("sandbox_region_twice", "name: west", "name: east"),
    ("sandbox_region_outside", "name: west", "name: outside"),
    (
        "sandbox_host_of_no_address",
        "  alerts:",
        "  hosts: [{host: acquirer.example, address: 999.0.113.10}]\n  alerts:",
    ),
    (
        "sandbox_host_inside_a_region",
        "  alerts:",
        "  hosts: [{host: acquirer.example, address: 10.1.0.9}]\n  alerts:",
    ),
    (
        "sandbox_happening_of_no_node",
        "  alerts:",
        "  happenings: [{at: 1m, what: {nodeDown: {region: east, node: east-b}}}]\n  alerts:",
    ),
];

#[test]
fn each_bad_sandbox_is_refused_with_a_place_and_a_way_out() {
    for (case, from, to) in SANDBOXES {
        let text = edited(SANDBOX, from, to);
        let alone = said(&[("sandbox.yaml", text.as_bytes())], "sandbox.yaml");
        let files = [
            ("drill.yaml", DRILL.as_bytes()),
            ("catalogue.yaml", CATALOGUE.as_bytes()),
            ("sandbox.yaml", text.as_bytes()),
        ];
        assert!(said(&files, "drill.yaml").contains(&alone), "{case}: {}", said(&files, "drill.yaml"));
        snapshot(case, alone);
    }
}

#[test]
fn a_neighbour_that_cannot_be_read_is_said_where_a_name_is_not_found() {
    let broken = edited(CATALOGUE, "  tiers:", "  tiers: [");
    let files = |catalogue: &str| {
        let files = [
            ("drill.yaml", DRILL.as_bytes()),
            ("catalogue.yaml", CATALOGUE.as_bytes()),
            ("broken.yaml", broken.as_bytes()),
            ("sandbox.yaml", SANDBOX.as_bytes()),
        ];
        let there = files.into_iter().filter(|(name, _)| *name != catalogue);
        said(&there.collect::<Vec<_>>(), "drill.yaml")
    };
    assert_eq!(files(""), "", "another drill's affair");
    snapshot("neighbour_that_cannot_be_read", files("catalogue.yaml"));
}

#[test]
fn files_of_one_name_from_two_folders_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    let (drill, _) = (put("drill/drill.yaml", DRILL), put("drill/sandbox.yaml", SANDBOX));
    put("drill/runbooks/checkout-failover.md", "# Checkout failover\n");
    for other in ["drill.yaml", "sandbox.yaml"] {
        let inputs = inputs::load(&drill, &[put(&format!("other/{other}"), CATALOGUE)]).unwrap();
        let held: BTreeSet<&[u8]> = inputs.files.values().map(Vec::as_slice).collect();
        assert!([DRILL, SANDBOX, CATALOGUE].iter().all(|text| held.contains(text.as_bytes())), "{other}");
        assert_eq!(inputs.files["drill.yaml"], DRILL.as_bytes());
    }
}

#[test]
fn what_is_no_document_is_refused() {
    snapshot("empty_file", of_drill(b""));
    snapshot("only_comments", of_drill(b"# nothing\n---\n"));
    snapshot("a_list", of_drill(b"- a\n- b\n"));
    snapshot("a_word", of_drill(b"hello"));
    snapshot("binary", of_drill(b"\x7fELF\x02\x01\x01\0\0\xff\xfe"));
    snapshot("a_kubernetes_object", of_drill(b"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n"));
    snapshot("no_such_file", said(&[], "drill.yaml"));
}

#[test]
fn what_is_too_much_is_refused_at_once() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(", ")));
    }
    snapshot("alias_bomb", of_drill(bomb.as_bytes()));
    snapshot("deep_nesting", of_drill("[".repeat(5_000).as_bytes()));
    snapshot(
        "deep_blocks",
        of_drill((0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>().as_bytes()),
    );
    snapshot("ten_megabytes", of_drill(format!("a: {}", "x".repeat(10 << 20)).as_bytes()));
}

/// What a help says to write, if it says a word or a number, and nothing else.
fn literal(help: &str) -> Option<&str> {
    let said = ["write `", "put it in quotes: `", "without quotes: `", "a list of one is written `"];
    let rest = said.iter().find_map(|start| help.strip_prefix(start))?;
    rest.strip_suffix('`').filter(|literal| !literal.contains(['`', '…']))
}

/// The drill or the catalogue with one passage exchanged; what `validate` says, structured.
fn diagnostics(of: &str, text: &str) -> Vec<drillmaster::document::Diagnostic> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("runbooks")).unwrap();
    fs::write(folder.path().join("runbooks/checkout-failover.md"), "# Checkout failover\n").unwrap();
    for (name, good) in [("drill.yaml", DRILL), ("catalogue.yaml", CATALOGUE), ("sandbox.yaml", SANDBOX)] {
        fs::write(folder.path().join(name), if name == of { text } else { good }).unwrap();
    }
    validate::check(&folder.path().join(of), &[]).diagnostics
}

#[test]
fn what_a_help_says_to_write_is_accepted() {
    let drills = DRILLS.iter().map(|case| ("drill.yaml", DRILL, case));
    let catalogues = CATALOGUES.iter().map(|case| ("catalogue.yaml", CATALOGUE, case));
    let mut tried = 0;
    for (of, good, (case, from, to)) in drills.chain(catalogues) {
        let text = edited(good, from, to);
        for bad in diagnostics(of, &text) {
            let Some((place, literal)) = bad.place.zip(bad.help.as_deref().and_then(literal)) else {
                continue;
            };
            let mut mended = text.clone();
            mended.replace_range(place.bytes.clone(), literal);
            let again = diagnostics(of, &mended);
            // Whether the name in it is a name of something is another question.
            let mut shaped = again.iter().filter(|one| !one.message.starts_with("unknown "));
            let still = shaped.find(|one| {
                one.place
                    .as_ref()
                    .is_some_and(|other| other.file.ends_with(of) && other.bytes.start == place.bytes.start)
            });
            assert_eq!(still, None, "{case}: `{literal}` is refused in its turn");
            tried += 1;
        }
    }
    assert!(tried >= 10, "only {tried} helps say what to write");
}

#[test]
fn two_documents_with_one_name_are_refused() {
    let files = [
        ("drill.yaml", DRILL.as_bytes()),
        ("catalogue.yaml", CATALOGUE.as_bytes()),
        ("copy.yaml", CATALOGUE.as_bytes()),
        ("sandbox.yaml", SANDBOX.as_bytes()),
    ];
    snapshot("two_with_one_name", said(&files, "drill.yaml"));
}

#[test]
fn several_documents_may_stand_in_one_file() {
    let text = format!("{DRILL}\n---\n{CATALOGUE}\n---\n{SANDBOX}");
    assert_eq!(said(&[("all.yaml", text.as_bytes())], "all.yaml"), "");
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::create_dir(folder.path().join("runbooks")).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("runbooks/checkout-failover.md")).unwrap();
    for (name, text) in [("drill.yaml", DRILL), ("catalogue.yaml", CATALOGUE), ("sandbox.yaml", SANDBOX)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let found = validate::check(&folder.path().join("drill.yaml"), &[]);
    snapshot("link_leaves_the_folder", without(&found.render(Look::Plain), folder.path()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_of_a_document_makes_the_reader_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..12_usize, "\\PC{0,6}|[\n\t:{}\\[\\]&*!|>'\"#-]{0,4}"), 1..6)
    ) {
        let mut text: Vec<char> = DRILL.chars().collect();
        for (at, gone, new) in edits {
            let at = at.index(text.len() + 1);
            text.splice(at..(at + gone).min(text.len()), new.chars());
        }
        let text: String = text.into_iter().collect();
        let source = std::sync::Arc::new(drillmaster::document::Source::new("drill.yaml", &text));
        if let Err(found) = drillmaster::document::read::<drillmaster::scenario::Drill>(&source) {
            drillmaster::document::render(&found, [&*source], Look::Plain);
        }
    }
}
