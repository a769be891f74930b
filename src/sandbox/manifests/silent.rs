//! What settles and yet does not serve: a Service that chooses no pods, or whose port leads to none of theirs.
//!
//! Kubernetes takes both without a word, and so does the sandbox; whoever rehearses with them is told. Pure: a function of the store when all
//! manifests are loaded. Left out: pods that an operator would make, and a Service without a selector.

use serde_json::Value;

use crate::model::effect::Resource;
use crate::sandbox::control::{daemon_sets, every, jobs, read};
use crate::sandbox::stand_in::choice;
use crate::sandbox::store::{Key, Store};

/// A line for each Service, or port of one, behind which nobody answers.
pub fn lines(store: &Store) -> Vec<String> {
    let services = every(store, &Resource::services(), None).filter(|service| chooses(service));
    services.flat_map(|service| of_service(store, service)).collect()
}

/// Whether a Service chooses its pods by labels.
fn chooses(service: &Value) -> bool {
    let selector = service.pointer("/spec/selector").and_then(Value::as_object);
    selector.is_some_and(|selector| !selector.is_empty())
        && read::text(service, "/spec/type") != "ExternalName"
}

fn of_service(store: &Store, service: &Value) -> Vec<String> {
    let name = Key::of(&Resource::services(), service).to_string();
    let pods = chosen(store, service);
    if pods.is_empty() {
        return vec![format!("{name}: its selector chooses no pod of any workload")];
    }
    let containers: Vec<&Value> = pods.iter().flat_map(|pod| read::list(pod, "/spec/containers")).collect();
    let sidecars = pods.iter().flat_map(|pod| read::list(pod, "/spec/initContainers"));
    let all: Vec<&Value> = sidecars.chain(containers.iter().copied()).collect();
    let tcp = |port: &&Value| matches!(read::text(port, "/protocol"), "" | "TCP");
    let ports = read::list(service, "/spec/ports").iter().filter(tcp);
    let unanswered = ports.filter_map(|port| {
        let target = port.get("targetPort").or_else(|| port.get("port"))?;
        let why = match target {
            Value::String(named) if !all.iter().any(|container| declares(container, named)) => {
                format!("the port named {named}, which no container that it chooses declares")
            }
            Value::Number(number) if !listens(&all, number.as_u64()) => {
                format!("port {number}, which no container that it chooses declares or is probed at")
            }
            _ => return None,
        };
        Some(format!("{name}: its port {} leads to {why}", port["port"]))
    });
    unanswered.collect()
}

/// The pods, and the templates of pods, that a Service chooses.
fn chosen<'a>(store: &'a Store, service: &'a Value) -> Vec<&'a Value> {
    let namespace = Some(read::namespace(service));
    let selector = &service["spec"]["selector"];
    let kinds =
        [Resource::deployments(), Resource::replica_sets(), Resource::stateful_sets(), daemon_sets(), jobs()];
    let workloads = kinds.into_iter().flat_map(|kind| every(store, &kind, namespace).collect::<Vec<_>>());
    let templates = workloads.filter_map(|workload| workload.pointer("/spec/template"));
    let pods = every(store, &Resource::pods(), namespace);
    templates.chain(pods).filter(|pod| read::contains(read::labels(pod), selector)).collect()
}

fn declares(container: &Value, named: &str) -> bool {
    read::list(container, "/ports").iter().any(|port| read::name_field(port) == named)
}

fn listens(containers: &[&Value], number: Option<u64>) -> bool {
    containers
        .iter()
        .any(|container| choice::ports(container).iter().any(|port| Some(u64::from(*port)) == number))
}
