//! Least privilege: the roles that `plan --rbac` prints are enough, each of their rights is needed, and a plan writes nothing.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::drill::said;
use crate::in_real_time;
use crate::regions::{REGIONS, Real};

const ACCOUNT: &str = "drillmaster";
const NAMESPACE: &str = "drills";
const USER: &str = "system:serviceaccount:drills:drillmaster";

/// The roles that the plan prints, by region.
async fn printed(real: &Real) -> Vec<(String, Vec<Value>)> {
    let printed = real.drillmaster(&["plan", "failover.yaml", "--rbac", "--env", "environment.yaml"]).await;
    assert_eq!(printed.status.code(), Some(0), "{}", said(&printed));
    let text = String::from_utf8(printed.stdout).unwrap();
    let regions = text.split("# region ").skip(1).map(|of| {
        let (region, documents) = of.split_once('\n').unwrap();
        let documents = documents.split("---\n").filter(|document| !document.trim().is_empty());
        let roles = documents.map(|document| serde_saphyr::from_str(document).unwrap()).collect();
        (region.trim().to_owned(), roles)
    });
    regions.collect()
}

/// Gives an account these roles and nothing else.
async fn grant(real: &Real, region: &str, roles: &[Value]) {
    let account = json!({"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE});
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": NAMESPACE}}),
    ];
    for role in roles {
        let mut binding = json!({
            "apiVersion": role["apiVersion"], "kind": format!("{}Binding", role["kind"].as_str().unwrap()), "metadata": role["metadata"],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": role["metadata"]["name"]},
            "subjects": [account],
        });
        binding["metadata"]["labels"] = json!({"drill": "rights"});
        objects.extend([role.clone(), binding]);
    }
    apply(real, region, &objects).await;
}

async fn apply(real: &Real, region: &str, objects: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    real.kubectl_with(region, &["apply", "-f", "-"], &list).await;
}

/// A kubeconfig of that account in both regions.
async fn kubeconfig(real: &Real) -> PathBuf {
    let text = std::fs::read_to_string(real.folder.join("kubeconfig.yaml")).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    let mut users = Vec::new();
    for region in REGIONS {
        let token = real.kubectl(region, &["-n", NAMESPACE, "create", "token", ACCOUNT]).await;
        users.push(json!({"name": format!("admin@{region}"), "user": {"token": token.trim()}}));
    }
    document["users"] = json!(users);
    let path = real.place.path().join("least.kubeconfig");
    std::fs::write(&path, document.to_string()).unwrap();
    path
}

#[test]
#[ignore = "needs real regions; tests/run starts them"]
fn a_drill_runs_with_the_rights_that_its_plan_prints() {
    in_real_time(async {
        let real = Real::start(|_, text| text).await;
        // Those for an agent that the run makes are among them.
        real.makes_agent().await;
        for (region, roles) in printed(&real).await {
            grant(&real, &region, &roles).await;
        }
        let least = kubeconfig(&real).await;
        real.environment(&least).await;
        real.sees_through_a_made_agent();
        let before = real.stands().await;
        let ran = real.run("failover.yaml", None).await;
        real.assert_stands(&before, "the run left something").await;
        let agents = real.agents().await;
        real.no_agent().await;
        assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
        assert_eq!(agents, "", "the run left its agent");
        assert!(said(&ran).contains("the agent at west is in reach"), "{}", said(&ran));
    });
}

/// Whether a request only asks: it reads, reviews access, or is a dry run.
fn only_asks(event: &Value) -> bool {
    let is_review = event["objectRef"]["apiGroup"] == "authorization.k8s.io";
    let is_dry = event["requestURI"].as_str().unwrap().contains("dryRun=All");
    let reads = ["get", "list", "watch"].iter().any(|verb| event["verb"] == *verb);
    // An exec is a GET that does something.
    (reads && event["objectRef"]["subresource"].is_null()) || is_review || is_dry
}

#[test]
#[ignore = "needs real regions; tests/run starts them"]
fn validate_and_plan_only_ask() {
    in_real_time(async {
        let real = Real::start(|_, text| text).await;
        for (region, roles) in printed(&real).await {
            grant(&real, &region, &roles).await;
        }
        real.environment(&kubeconfig(&real).await).await;
        let from: Vec<usize> = REGIONS.iter().map(|region| real.audited(region, USER, 0).0).collect();
        let validated =
            real.drillmaster(&["validate", "failover.yaml", "catalogue.yaml", "environment.yaml"]).await;
        assert_eq!(validated.status.code(), Some(0), "{}", said(&validated));
        let planned = real.drillmaster(&["plan", "failover.yaml", "--env", "environment.yaml"]).await;
        assert_eq!(planned.status.code(), Some(0), "{}", said(&planned));
        for (region, from) in REGIONS.iter().zip(from) {
            let (_, events) = real.audited(region, USER, from);
            let reviews =
                events.iter().filter(|event| event["objectRef"]["apiGroup"] == "authorization.k8s.io");
            assert!(reviews.count() > 5, "{region}: it looked at nothing: {events:?}");
            for event in events {
                assert!(only_asks(&event), "{region}: {event}");
            }
        }
    });
}

/// Each right of some roles, as a refusal names it, with the role that lacks it.
fn without_one(roles: &[Value]) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for role in roles {
        for (at, rule) in role["rules"].as_array().unwrap().iter().enumerate() {
            let verbs = rule["verbs"].as_array().unwrap();
            for verb in verbs {
                let mut fewer = role.clone();
                let others: Vec<&Value> = verbs.iter().filter(|other| *other != verb).collect();
                fewer["rules"][at]["verbs"] = json!(others);
                if others.is_empty() {
                    fewer["rules"].as_array_mut().unwrap().remove(at);
                }
                found.push((named(role, rule, verb.as_str().unwrap()), fewer));
            }
        }
    }
    found
}

/// `patch deployments.apps in shop`
fn named(role: &Value, rule: &Value, verb: &str) -> String {
    let (group, resource) = (rule["apiGroups"][0].as_str().unwrap(), rule["resources"][0].as_str().unwrap());
    let dot = if group.is_empty() { "" } else { "." };
    let place = role["metadata"]["namespace"].as_str().map(|namespace| format!(" in {namespace}"));
    format!("{verb} {resource}{dot}{group}{}", place.unwrap_or_default())
}

#[test]
#[ignore = "needs real regions; tests/run starts them"]
fn a_plan_without_one_of_its_rights_is_refused_and_names_it() {
    in_real_time(async {
        let real = Real::start(|_, text| text).await;
        let all = printed(&real).await;
        for (region, roles) in &all {
            grant(&real, region, roles).await;
        }
        real.environment(&kubeconfig(&real).await).await;
        let mut count = 0;
        for (region, roles) in &all {
            for (right, fewer) in without_one(roles) {
                let whole = roles
                    .iter()
                    .find(|role| role["metadata"] == fewer["metadata"] && role["kind"] == fewer["kind"])
                    .unwrap();
                replace(&real, region, &fewer).await;
                refused(&real, region, &right).await;
                replace(&real, region, whole).await;
                count += 1;
            }
        }
        assert!(count > 15, "{count}");
    });
}

async fn replace(real: &Real, region: &str, role: &Value) {
    real.kubectl_with(region, &["replace", "-f", "-"], &role.to_string()).await;
}

/// The plan is refused for want of this right alone, as soon as the API server knows of it.
async fn refused(real: &Real, region: &str, right: &str) {
    let words: Vec<&str> = right.split([' ', '.']).collect();
    let ours = format!("region {region}: you may not {right}:");
    // What a cluster must allow before anything else can be asked, it refuses in its own words.
    let theirs = format!("cannot {} resource \"{}\"", words[0], words[1]);
    let mut last = String::new();
    for _ in 0..20 {
        let planned = real.drillmaster(&["plan", "failover.yaml", "--env", "environment.yaml"]).await;
        last = said(&planned);
        let alone = last.matches("region ").count() == 1;
        if planned.status.code() == Some(15) && alone && (last.contains(&ours) || last.contains(&theirs)) {
            return;
        }
    }
    panic!("{region}, {right}: {last}");
}
