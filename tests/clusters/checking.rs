//! What `env check` says of clusters that are there: their clocks, and what they lack.

use serde_json::Value;

use super::server::{Answers, cluster};
use super::{drillmaster, environment, run, said};

/// What `env check` says, and how it ends, where west answers like this and east well.
fn checked(west: Answers, more: &[&str]) -> (String, Option<i32>) {
    checked_of(west, more, |_| {})
}

/// The same of another Environment.
fn checked_of(west: Answers, more: &[&str], change: impl FnOnce(&mut Value)) -> (String, Option<i32>) {
    let place = tempfile::tempdir().unwrap();
    let ((east, _), (west, asked)) = (cluster(Answers::Well("uid-east")), cluster(west));
    environment(place.path(), [&east, &west], ["uid-east", "uid-west"]);
    super::documents(place.path());
    let file = place.path().join("environment.yaml");
    let mut environment: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    change(&mut environment["spec"]);
    std::fs::write(file, environment.to_string()).unwrap();
    let checked = drillmaster(place.path(), &[&["env", "check", "environment.yaml"], more].concat());
    let reviews = |(method, path): &(http::Method, String)| {
        method == http::Method::GET || path.ends_with("/selfsubjectaccessreviews")
    };
    assert!(asked.lock().unwrap().iter().all(reviews), "{:?}", asked.lock());
    (said(&checked), checked.status.code())
}

#[test]
fn a_clock_that_is_ten_minutes_off_is_told_and_no_run_starts() {
    for (seconds, offset) in [(600, "+59"), (-600, "-60")] {
        let (said, status) = checked(Answers::Ahead("uid-west", seconds), &[]);
        assert_eq!(status, Some(15), "{said}");
        assert!(said.contains("region west: its clock is off by ") && said.contains(offset), "{said}");
    }
    let place = tempfile::tempdir().unwrap();
    let ((east, _), (west, _)) =
        (cluster(Answers::Well("uid-east")), cluster(Answers::Ahead("uid-west", 600)));
    environment(place.path(), [&east, &west], ["uid-east", "uid-west"]);
    let ran = run(place.path());
    assert_eq!(ran.status.code(), Some(15), "{}", said(&ran));
    assert!(said(&ran).contains("region west: its clock is off by +59"), "{}", said(&ran));
    assert!(!place.path().join("evidence").exists());
}

#[test]
fn a_clocks_offset_is_shown_with_its_bounds() {
    let (said, status) = checked(Answers::Ahead("uid-west", 0), &["--output", "json"]);
    assert_eq!(status, Some(0), "{said}");
    let seen: Value = serde_json::from_str(&said).unwrap();
    let seen = &seen["regions"];
    assert_eq!(seen[0]["clock"], Value::Null, "a server that dates nothing tells nothing");
    let clock = &seen[1]["clock"];
    let (least, most) = (clock["leastNs"].as_i64().unwrap(), clock["mostNs"].as_i64().unwrap());
    assert!(least <= 0 && 0 <= most && most - least >= 1_000_000_000, "{clock}");
    assert_eq!((&seen[1]["class"], &seen[1]["identity"]), (&"development".into(), &"uid-west".into()));
}

#[test]
fn a_region_that_does_not_say_what_it_allows_is_told_as_that() {
    let place = tempfile::tempdir().unwrap();
    let ((east, _), (west, _)) = (cluster(Answers::Well("uid-east")), cluster(Answers::Mute("uid-west")));
    environment(place.path(), [&east, &west], ["uid-east", "uid-west"]);
    let ran = run(place.path());
    assert_eq!(ran.status.code(), Some(15), "{}", said(&ran));
    assert!(said(&ran).contains("region west does not say what it allows: "), "{}", said(&ran));
    assert!(!said(&ran).contains("--rbac"), "it sends nobody to look for roles: {}", said(&ran));
}

#[test]
fn what_a_cluster_lacks_for_a_drill_is_told_line_by_line() {
    let (said, status) = checked(Answers::Poor("uid-west"), &["--drill", "failover.yaml"]);
    assert_eq!(status, Some(15), "{said}");
    for lacks in [
        "the namespace shop",
        "the API externaldns.k8s.io",
        "the right to patch dnsendpoints.externaldns.k8s.io in shop: no rule",
    ] {
        assert!(said.contains(&format!("lacks  {lacks}")), "{lacks}: {said}");
    }
    assert!(!said.contains("lacks  the right to get"), "{said}");
    let (said, status) = checked(Answers::Well("uid-west"), &["--drill", "failover.yaml"]);
    assert_eq!((status, said.contains("lacks")), (Some(0), false), "{said}");
}

#[test]
fn what_an_environment_does_not_give_to_drills_or_names_in_vain_is_told_before_a_run_is_refused() {
    let drill = ["--drill", "failover.yaml"];
    let others = |spec: &mut Value| spec["regions"][1]["namespaces"] = serde_json::json!(["orders"]);
    let (said, status) = checked_of(Answers::Well("uid-west"), &drill, others);
    assert_eq!(status, Some(15), "{said}");
    let lacks = "lacks  the namespace shop among those that the environment gives to drills";
    assert_eq!(said.matches(lacks).count(), 1, "{said}");
    let nobody = |spec: &mut Value| spec["certificateAuthorities"] = serde_json::json!(["nobody.pem"]);
    let (said, status) = checked_of(Answers::Well("uid-west"), &[], nobody);
    assert_eq!(status, Some(15), "{said}");
    assert!(said.contains("nobody.pem"), "{said}");
}
