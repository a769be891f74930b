//! Which stand-in a container gets, and where that listens: a pure function of the pod.
//!
//! First what an annotation of the pod says of the container, then what the SandboxSpec says of its image, then what is known by
//! the image alone (`drillmaster`: the ledger), then what is declared: a container with ports or probes of a port serves HTTP there, any other runs to its
//! end in a pod that does not always restart, and only exists elsewhere. A probe's port counts as well as a declared one, since Kubernetes takes declarations as
//! hints only; nobody ever answers on the port `discard` (9, RFC 863).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::model::effect::Resource;
use crate::sandbox::control::{every, read};
use crate::sandbox::spec::{StandIn, StandInRule};
use crate::sandbox::store::Store;

/// The annotation of a pod by which a container's stand-in is chosen, before the container's name.
pub const ANNOTATION: &str = "stand-in.drillmaster.dev/";

/// Where nobody answers.
const DISCARD: u16 = 9;

const PROBES: [&str; 3] = ["readinessProbe", "livenessProbe", "startupProbe"];

/// The stand-in of a container of a pod.
pub fn choose(pod: &Value, container: &Value, rules: &[StandInRule]) -> StandIn {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let annotated = &pod["metadata"]["annotations"][format!("{ANNOTATION}{}", text(&container["name"]))];
    let image = text(&container["image"]);
    if let Ok(chosen) = serde_json::from_value(annotated.clone()) {
        return chosen;
    }
    if let Some(rule) = rules.iter().find(|rule| rule.means(&image)) {
        return rule.r#as;
    }
    if image.contains("drillmaster") {
        return StandIn::Ledger;
    }
    match pod["spec"]["restartPolicy"].as_str() {
        _ if !ports(container).is_empty() => StandIn::Http,
        Some("Never" | "OnFailure") => StandIn::Completes,
        _ => StandIn::Idle,
    }
}

/// What stands in for the images of the pods of a region, a line for each sort of stand-in.
pub fn sorts(store: &Store, rules: &[StandInRule]) -> Vec<String> {
    let mut images: BTreeMap<StandIn, BTreeSet<&str>> = BTreeMap::new();
    for pod in every(store, &Resource::pods(), None) {
        for container in read::list(pod, "/spec/containers") {
            images.entry(choose(pod, container, rules)).or_default().insert(read::text(container, "/image"));
        }
    }
    let line = |(sort, images): (StandIn, BTreeSet<&str>)| {
        let word = match sort {
            StandIn::Ledger => "the ledger",
            StandIn::Http => "an HTTP service",
            StandIn::Completes => "a program that ends at once",
            StandIn::Idle => "a program that does nothing",
        };
        format!("{word} stands in for {}", images.into_iter().collect::<Vec<_>>().join(", "))
    };
    images.into_iter().map(line).collect()
}

/// The TCP ports where a container is expected to answer: those that it declares, and those that its probes ask.
pub fn ports(container: &Value) -> Vec<u16> {
    let declared = container["ports"].as_array().into_iter().flatten();
    let tcp = declared.filter(|port| matches!(port["protocol"].as_str(), None | Some("TCP")));
    let declared = tcp.filter_map(|port| number(&port["containerPort"]));
    let probed = PROBES.iter().filter_map(|probe| probed(container, container.get(probe)?)?);
    let mut all: Vec<u16> = declared.chain(probed).filter(|port| *port != DISCARD).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The port that a probe of a container asks: `None` where it asks none, `Some(None)` where it names one that there is not.
pub fn probed(container: &Value, probe: &Value) -> Option<Option<u16>> {
    let handlers = ["httpGet", "tcpSocket", "grpc"];
    let port = handlers.iter().find_map(|handler| probe.get(handler)?.get("port"))?;
    let named = |name: &str| {
        let mut declared = container["ports"].as_array().into_iter().flatten();
        number(&declared.find(|port| port["name"] == name)?["containerPort"])
    };
    Some(number(port).or_else(|| named(port.as_str()?)))
}

fn number(port: &Value) -> Option<u16> {
    port.as_u64().and_then(|port| u16::try_from(port).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stand_in_is_chosen_by_annotation_then_by_rule_then_by_image_then_by_what_is_declared() {
        let pod = json!({"metadata": {"annotations": {"stand-in.drillmaster.dev/db": "ledger"}}, "spec": {}});
        let job = json!({"spec": {"restartPolicy": "Never"}});
        let rules = [StandInRule { image: "registry.example/shop/*".into(), r#as: StandIn::Idle }];
        let container =
            |name: &str, image: &str| json!({"name": name, "image": image, "ports": [{"containerPort": 80}]});
        for (pod, name, image, chosen) in [
            (&pod, "db", "registry.example/shop/db:1", StandIn::Ledger),
            (&pod, "web", "registry.example/shop/web:1", StandIn::Idle),
            (&pod, "web", "ghcr.io/drillmaster/drillmaster:0.1.0", StandIn::Ledger),
            (&pod, "web", "nginx", StandIn::Http),
            (&job, "web", "nginx", StandIn::Http),
        ] {
            assert_eq!(choose(pod, &container(name, image), &rules), chosen, "{image}");
        }
        let worker = json!({"name": "worker", "image": "worker"});
        assert_eq!(choose(&pod, &worker, &rules), StandIn::Idle);
        assert_eq!(choose(&job, &worker, &rules), StandIn::Completes);
    }

    #[test]
    fn a_container_answers_on_declared_and_on_probed_ports() {
        let container = json!({
            "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}],
            "readinessProbe": {"httpGet": {"port": "http"}},
            "livenessProbe": {"grpc": {"port": 8081}},
            "startupProbe": {"tcpSocket": {"port": 9}},
        });
        assert_eq!(ports(&container), [8080, 8081]);
        assert_eq!(probed(&container, &json!({"httpGet": {"port": "htp"}})), Some(None));
        assert_eq!(probed(&container, &json!({"exec": {}})), None);
    }
}
