//! Manifests that no cluster would take: each is refused at its place, with a way out, and all at once.

use super::*;

/// One passage of a stack, and what stands there instead.
const BAD: &[(&str, &str, &str, &str)] = &[
    ("typo_in_a_field", "portal", "minReadySeconds: 10", "minReadySecond: 10"),
    ("typo_deep_in_a_list", "portal", "readinessProbe: {grpc", "readynessProbe: {grpc"),
    ("text_where_a_number_belongs", "portal", "replicas: 2", "replicas: two"),
    ("list_where_a_mapping_belongs", "portal", "selector: {app: portal-api}", "selector: [app, portal-api]"),
    ("typo_in_a_kind", "portal", "kind: DaemonSet", "kind: DeamonSet"),
    ("version_of_before", "portal", "apiVersion: policy/v1", "apiVersion: policy/v1beta1"),
    (
        "template_without_the_labels",
        "portal",
        "metadata: {labels: {app: log-shipper}}",
        "metadata: {labels: {app: shipper}}",
    ),
    ("container_without_image", "reports", "image: \"registry.example/reports/import:3.0.4\", ", ""),
    (
        "no_name",
        "portal",
        "metadata: {name: log-shipper, namespace: portal}",
        "metadata: {namespace: portal}",
    ),
    ("no_kind", "portal", "kind: DaemonSet\n", ""),
    (
        "twice",
        "portal",
        "{name: portal-api, namespace: portal}\nspec:\n  replicas",
        "{name: portal, namespace: portal}\nspec:\n  replicas",
    ),
    ("against_its_schema", "search", "  nodes: 3\n", "  nodes: 0\n"),
    (
        "unknown_stand_in",
        "orders",
        "      labels: {app: orders-db}\n    spec:",
        "      annotations: {stand-in.drillmaster.dev/postgres: leger}\n      labels: {app: orders-db}\n    spec:",
    ),
    (
        "stand_in_of_no_container",
        "orders",
        "      labels: {app: orders-db}\n    spec:",
        "      annotations: {stand-in.drillmaster.dev/postgrs: ledger}\n      labels: {app: orders-db}\n    spec:",
    ),
    ("unclosed", "portal", "hosts: [portal.example.org, ", "hosts: [portal.example.org, {"),
    ("a_word", "portal", "apiVersion: v1\nkind: Namespace", "hello\n---\napiVersion: v1\nkind: Namespace"),
    (
        "kustomization",
        "portal",
        "apiVersion: v1\nkind: Namespace",
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n---\napiVersion: v1\nkind: Namespace",
    ),
    (
        "own_document",
        "portal",
        "apiVersion: v1\nkind: Namespace",
        "apiVersion: drillmaster.dev/v1alpha1\nkind: Drill\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Namespace",
    ),
    (
        "node_of_the_spec",
        "portal",
        "apiVersion: v1\nkind: Namespace",
        "apiVersion: v1\nkind: Node\nmetadata: {name: node-a}\n---\napiVersion: v1\nkind: Namespace",
    ),
];

#[test]
fn each_bad_manifest_is_refused_with_a_place_and_a_way_out() {
    for (case, name, from, to) in BAD {
        let said = said(&edited(stack(name), from, to));
        assert!(
            said.contains("error:") && said.contains("help:") && said.contains("--> stacks/"),
            "{case}: {said}"
        );
        snapshot(case, &said);
    }
}

#[test]
fn all_that_is_wrong_with_manifests_is_said_at_once() {
    let edits = [
        ("minReadySeconds: 10", "minReadySecond: 10"),
        ("replicas: 2", "replicas: two"),
        ("kind: DaemonSet", "kind: DeamonSet"),
    ];
    let files = edits.iter().fold(stack("portal"), |files, (from, to)| edited(files, from, to));
    assert_eq!(said(&files).matches("error:").count(), edits.len(), "{}", said(&files));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_of_a_manifest_makes_the_reader_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..12_usize, "\\PC{0,6}|[\n\t:{}\\[\\]&*!|>'\"#-]{0,4}"), 1..6)
    ) {
        let mut files = stack("portal");
        let mut text: Vec<char> = files.values().next().unwrap().chars().collect();
        for (at, gone, new) in edits {
            let at = at.index(text.len() + 1);
            text.splice(at..(at + gone).min(text.len()), new.chars());
        }
        files.values_mut().for_each(|held| *held = text.iter().collect());
        said(&files);
    }
}

#[test]
fn a_folder_that_another_tool_makes_manifests_of_is_refused() {
    for (file, expected) in [("Chart.yaml", "helm template"), ("kustomization.yaml", "kubectl kustomize")] {
        let mut files = stack("portal");
        files.insert(format!("stacks/chart/{file}"), "name: a\n".to_owned());
        let said = said(&files);
        assert!(said.contains(expected) && said.contains("--> sandbox.yaml:9:"), "{said}");
    }
}
