//! What the catalogue promises and the drill cannot see, said where the drill asks.

use super::{CATALOGUE, DRILL, SANDBOX, edited, said, snapshot};

#[test]
fn a_service_that_is_restored_before_its_probes_can_see_it_is_refused_at_those() {
    let catalogue = edited(CATALOGUE, "for: 60s", "for: 150ms");
    let files = [
        ("drill.yaml", DRILL.as_bytes()),
        ("catalogue.yaml", catalogue.as_bytes()),
        ("sandbox.yaml", SANDBOX.as_bytes()),
    ];
    snapshot("probe_and_writes_too_slow_for_the_clause", said(&files, "drill.yaml"));
    for (case, from, to) in [
        ("clause_shorter_than_anything_asks", "for: 60s", "for: 9ms"),
        ("clause_of_odd_milliseconds", "for: 60s", "for: 995ms"),
        ("clause_longer_than_the_run", "for: 60s", "for: 5h"),
        ("failback_too_short_to_be_measured", "failback: {rto: 2m", "failback: {rto: 50ms"),
    ] {
        let catalogue = edited(CATALOGUE, from, to);
        let files = [
            ("drill.yaml", DRILL.as_bytes()),
            ("catalogue.yaml", catalogue.as_bytes()),
            ("sandbox.yaml", SANDBOX.as_bytes()),
        ];
        snapshot(case, said(&files, "drill.yaml"));
    }
}

#[test]
fn a_promise_from_a_declaration_that_nobody_is_asked_for_is_warned_of() {
    let catalogue = edited(CATALOGUE, "from: impact", "from: declaration");
    let declare = "    declare:\n      - id: declare\n        declare: {role: duty-manager}\n        budget: 4m\n        timeout: 10m\n";
    let drill = edited(DRILL, declare, "");
    let files = [
        ("drill.yaml", drill.as_bytes()),
        ("catalogue.yaml", catalogue.as_bytes()),
        ("sandbox.yaml", SANDBOX.as_bytes()),
    ];
    let said = said(&files, "drill.yaml");
    assert!(said.starts_with("warning: the RTO of `checkout` counts from a declaration"), "{said}");
    assert!(!said.contains("error"), "{said}");
}
