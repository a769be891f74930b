//! What is wrong with a probe: of each protocol, what no answer could ever be right for.

use super::{DRILL, edited, of_drill, snapshot};

const WEST: &str = r#"http: {url: "http://checkout.west.shop.example/"}"#;

/// Edits of the good drill's last probe.
const PROBES: &[(&str, &str)] = &[
    ("probe_of_grpc_in_a_rehearsal", r#"grpc: {address: "checkout.west.shop.example:8443"}"#),
    (
        "probe_of_prometheus_in_a_rehearsal",
        r#"prometheus: {url: "http://prometheus.example:9090", query: up, above: 0}"#,
    ),
    (
        "probe_of_a_chosen_resolver_in_a_rehearsal",
        r#"dns: {name: checkout.west.shop.example, resolver: "192.0.2.53:53"}"#,
    ),
    ("probe_of_a_resolver_that_is_no_address", "dns: {name: checkout.west.shop.example, resolver: nearby}"),
    ("probe_of_an_unknown_type_of_record", "dns: {name: checkout.west.shop.example, type: MX}"),
    (
        "probe_of_a_record_of_another_type",
        "dns: {name: a.example, type: AAAA, expect: {equals: [192.0.2.1]}}",
    ),
    ("probe_of_a_host_without_a_port", "tcp: {address: checkout.west.shop.example}"),
    ("probe_with_a_body_that_a_get_has_not", r#"http: {url: "http://a.example/", body: "{}"}"#),
    (
        "probe_that_says_the_status_twice",
        r#"http: {url: "http://a.example/", expect: {status: 200, statusClass: 2xx}}"#,
    ),
    (
        "probe_of_an_unknown_class_of_status",
        r#"http: {url: "http://a.example/", expect: {statusClass: 9xx}}"#,
    ),
    (
        "probe_of_json_that_asks_nothing",
        r#"http: {url: "http://a.example/", expect: {json: [{pointer: /status}]}}"#,
    ),
    (
        "probe_of_a_certificate_without_tls",
        r#"http: {url: "http://a.example/", expect: {certificateValidFor: 168h}}"#,
    ),
];

#[test]
fn what_is_wrong_with_a_probe_is_told_where_it_stands() {
    for (case, to) in PROBES {
        snapshot(case, of_drill(edited(DRILL, WEST, to).as_bytes()));
    }
}

#[test]
fn what_no_rehearsal_answers_is_asked_by_a_drill_that_has_none() {
    let drill = edited(DRILL, WEST, r#"grpc: {address: "checkout.west.shop.example:8443"}"#);
    assert!(of_drill(drill.as_bytes()).contains("a rehearsal cannot answer"));
    let without = edited(&drill, "  sandbox: shop-two-regions", "  #");
    assert!(!of_drill(without.as_bytes()).contains("rehearsal"));
}

#[test]
fn a_rehearsal_takes_every_probe_that_it_can_answer() {
    for right in [
        r#"tcp: {address: "checkout.west.shop.example:80"}"#,
        r#"tls: {address: "checkout.west.shop.example:443", certificateValidFor: 168h}"#,
        "dns: {name: checkout.west.shop.example, type: CNAME, expect: {equals: [a.example]}}",
        r#"http: {url: "https://a.example/", expect: {statusIn: [200, 302], certificateValidFor: 168h}}"#,
        r#"http: {url: "http://a.example/", method: POST, body: "{}", expect: {json: [{pointer: "", equals: 1}]}}"#,
    ] {
        assert_eq!(of_drill(edited(DRILL, WEST, right).as_bytes()), "", "{right}");
    }
}
