//! Whatever is wrong is said at once, each where it stands, and nothing hides anything else.

use super::{CATALOGUE, DRILL, SANDBOX, edited, of_drill, said, snapshot};

#[test]
fn all_errors_of_a_file_are_said_at_once() {
    let edits = [
        ("takesOver: west", "takeOver: west"),
        ("announced: true", "announced: yes"),
        ("every: 100ms", "every: 100"),
        ("fault: {isolate:", "fault: {isolat:"),
        ("recover: {dnsSwitch: {record:", "recover: {dnsSwitch: {recrod:"),
    ];
    let text = edits.iter().fold(DRILL.to_owned(), |text, (from, to)| edited(&text, from, to));
    let said = of_drill(text.as_bytes());
    assert_eq!(said.matches("error:").count(), edits.len(), "{said}");
    snapshot("all_at_once", said);
}

#[test]
fn a_record_that_nobody_asks_and_that_is_like_one_that_somebody_does_is_warned_of() {
    let text = edited(
        DRILL,
        "dnsSwitch: {record: checkout.shop.example}",
        "dnsSwitch: {record: chekout.shop.example}",
    );
    let said = of_drill(text.as_bytes());
    assert!(said.starts_with("warning: "), "{said}");
    snapshot("record_that_nobody_asks", said);
}

#[test]
fn what_stands_under_a_misspelt_key_is_checked_where_it_stands() {
    let edits = [
        ("abortWhen: [{probe: west-direct", "abortWhn: [{probe: west-direkt"),
        ("id: lose-east\n", "id: lose-east\n        titel: East\n        title: Lose east\n"),
    ];
    let text = edits.iter().fold(DRILL.to_owned(), |text, (from, to)| edited(&text, from, to));
    snapshot("under_a_misspelt_key", of_drill(text.as_bytes()));
    let nested = edited(DRILL, "fault: {isolate: {namespaces", "falt: {isolat: {namespacs");
    assert_eq!(of_drill(nested.as_bytes()).matches("error:").count(), 3, "{}", of_drill(nested.as_bytes()));
}

#[test]
fn a_file_that_is_missing_hides_nothing_that_is_wrong_elsewhere() {
    let wrong = edited(DRILL, "probe: west-direct, failsFor", "probe: vest, failsFor");
    for (from, to) in [
        ("runbook: runbooks/checkout-failover.md", "runbook: runbooks/nothing.md"),
        ("sandbox: shop-two-regions", "sandbox: shop-three-regions"),
    ] {
        let both = of_drill(edited(&wrong, from, to).as_bytes());
        assert_eq!(both.matches("error:").count(), 2, "{both}");
    }
}

/// What is said of one file of a folder with a drill and a procedure, `warm`.
fn beside_warm(drill: &str, procedure: &str, name: &str) -> String {
    let files = [
        ("drill.yaml", drill.as_bytes()),
        ("catalogue.yaml", CATALOGUE.as_bytes()),
        ("sandbox.yaml", SANDBOX.as_bytes()),
        ("warm.yaml", procedure.as_bytes()),
    ];
    said(&files, name)
}

#[test]
fn a_procedure_that_leads_to_itself_is_refused_where_it_does() {
    let procedure = |steps: &str| {
        format!(
            "apiVersion: drillmaster.dev/v1alpha1\nkind: Procedure\nmetadata: {{name: warm}}\nspec:\n  steps: {steps}\n"
        )
    };
    let drill = edited(DRILL, "removeFault: lose-east", "procedure: warm");
    for steps in [
        "[{id: a, procedure: warm}]",
        "[{id: a, parallel: [{id: b, procedure: warm}, {id: c, procedure: warm}]}]",
        "[{id: a, procedure: cool}]",
    ] {
        let procedure = procedure(steps);
        let of_drill = beside_warm(&drill, &procedure, "drill.yaml");
        assert!(of_drill.contains("a `procedure` cannot hold a `procedure`"), "{of_drill}");
        assert!(!of_drill.contains("there is no Procedure"), "{of_drill}");
        assert!(!of_drill.contains("two steps are called"), "{of_drill}");
        let alone = beside_warm(&drill, &procedure, "warm.yaml");
        assert!(alone.contains("a `procedure` cannot hold a `procedure`"), "{alone}");
    }
}

#[test]
fn a_procedure_stands_in_a_drill_once() {
    let procedure = "apiVersion: drillmaster.dev/v1alpha1\nkind: Procedure\nmetadata: {name: warm}\nspec:\n  steps:\n    - {id: a, wait: {duration: 1s}}\n    - {id: b, wait: {duration: 1s}}\n";
    let twice =
        "      - {id: first, procedure: warm}\n      - {id: second, procedure: warm}\n      - id: hold\n";
    let drill = edited(DRILL, "      - id: hold\n", twice);
    let said = beside_warm(&drill, procedure, "drill.yaml");
    assert_eq!(said.matches("error:").count(), 1, "{said}");
    assert!(said.contains("`warm` stands in this drill twice") && said.contains("drill.yaml:66:"), "{said}");
}

#[test]
fn a_fence_that_comes_too_late_is_to_stand_before() {
    let fence = "      - id: fence-east\n        recover: {fence: {region: east, workload: statefulset/ledger, namespace: shop}}\n";
    let removal = "      - id: east-back\n        removeFault: lose-east\n";
    let text = edited(&edited(DRILL, fence, ""), removal, &format!("{removal}{fence}"));
    snapshot("failback_fences_too_late", of_drill(text.as_bytes()));
}

#[test]
fn a_field_of_no_shape_hides_nothing_that_is_wrong_elsewhere() {
    let edits = [
        ("announced: true", "announced: maybe"),
        ("timeout: 5m", "timeout: 5"),
        ("fence: {region: east", "fence: {region: esat"),
        ("probe: west-direct, failsFor", "probe: vest, failsFor"),
    ];
    let text = edits.iter().fold(DRILL.to_owned(), |text, (from, to)| edited(&text, from, to));
    snapshot("shape_and_meaning_at_once", of_drill(text.as_bytes()));
    // What is missing beside a misspelt field may be what was meant.
    let misspelt = of_drill(edited(DRILL, "        proof: {probe", "        prooof: {probe").as_bytes());
    assert_eq!(misspelt.matches("error:").count(), 1, "{misspelt}");
    // What was meant by a word, a number or a list of one is plain.
    let misspelt = edited(DRILL, "probe: west-direct, failsFor", "probe: vest, failsFor");
    for (from, to) in [
        ("type: full ", "type: fulll "),
        ("services: [checkout]", "services: checkout"),
        ("services: [checkout]", "services: [checkout, checkout]"),
        ("purpose: Checkout survives the loss of east within its targets.", "purpose: 5"),
        ("until: restored", "until: restord"),
        ("absent: [crisis-director]", "absent: [crisis-director, crisis-director]"),
    ] {
        let both = of_drill(edited(&misspelt, from, to).as_bytes());
        assert_eq!(both.matches("error:").count(), 2, "{from} → {to}: {both}");
    }
    let inside = of_drill(edited(DRILL, "services: [checkout]", "services: chekout").as_bytes());
    assert!(inside.contains("unknown service `chekout`, did you mean `checkout`?"), "{inside}");
    // The catalogue's own errors hide nothing of the drill's.
    let catalogue = edited(CATALOGUE, "p99: 800ms", "p99: 800");
    let drill = edited(DRILL, "probe: west-direct, failsFor", "probe: vest, failsFor");
    let files = [
        ("drill.yaml", drill.as_bytes()),
        ("catalogue.yaml", catalogue.as_bytes()),
        ("sandbox.yaml", SANDBOX.as_bytes()),
    ];
    let both = said(&files, "drill.yaml");
    assert_eq!(both.matches("error:").count(), 2, "{both}");
}
