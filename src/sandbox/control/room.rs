//! Room on nodes: what pods ask for, against what a node says that it can give.
//!
//! A node that states nothing in `status.allocatable` has room for everything. Amounts are
//! thousandths, so that `500m` is a whole number.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::read;

/// Thousandths of each resource.
pub type Amounts = BTreeMap<String, i128>;

/// What pods take of a node.
#[derive(Debug, Default)]
pub struct Taken {
    amounts: Amounts,
    /// Ports of the node itself, by protocol.
    ports: BTreeSet<(String, i64)>,
}

impl Taken {
    /// Counts a pod that stands on the node; of what it asks for only the ports, where nobody measures the rest.
    pub fn put(&mut self, pod: &Value, measured: bool) {
        if measured {
            for (resource, amount) in asked(pod) {
                *self.amounts.entry(resource).or_default() += amount;
            }
        }
        self.ports.extend(ports(pod));
    }
}

/// What a pod asks a node for.
#[derive(Debug, PartialEq)]
pub struct Needs {
    amounts: Amounts,
    ports: Vec<(String, i64)>,
}

/// What a pod asks a node for.
pub fn needs(pod: &Value) -> Needs {
    Needs { amounts: asked(pod), ports: ports(pod).collect() }
}

/// What a node can give; none where it says nothing.
pub fn room(node: &Value) -> Option<Amounts> {
    let stated = read::at(node, "/status/allocatable").and_then(Value::as_object)?;
    Some(stated.iter().filter_map(|(resource, amount)| Some((resource.clone(), quantity(amount)?))).collect())
}

/// Why there is no room for a pod on a node, in Kubernetes' words.
pub fn lacks(room: Option<&Amounts>, taken: &Taken, needs: &Needs) -> Option<String> {
    if needs.ports.iter().any(|port| taken.ports.contains(port)) {
        return Some("node(s) didn't have free ports for the requested pod ports".to_owned());
    }
    let room = room?;
    let (resource, _) =
        needs.amounts.iter().filter(|(_, amount)| **amount > 0).find(|(resource, amount)| {
            let used = taken.amounts.get(*resource).copied().unwrap_or_default();
            used + **amount > room.get(*resource).copied().unwrap_or_default()
        })?;
    Some(if resource == "pods" { "Too many pods".to_owned() } else { format!("Insufficient {resource}") })
}

/// A pod's quality of service: `Guaranteed` where every container has limits of both kinds and asks for just those, `BestEffort`
/// where none states anything.
pub fn quality(pod: &Value) -> &'static str {
    let containers = || {
        let init = read::list(pod, "/spec/initContainers").iter();
        init.chain(read::list(pod, "/spec/containers"))
    };
    let amount = |container: &Value, part: &str, resource: &str| {
        container
            .pointer(&format!("/resources/{part}/{resource}"))
            .and_then(quantity)
            .filter(|amount| *amount > 0)
    };
    let mut best_effort = true;
    let mut guaranteed = true;
    for (container, resource) in containers().flat_map(|each| [(each, "cpu"), (each, "memory")]) {
        let limit = amount(container, "limits", resource);
        let request = amount(container, "requests", resource).or(limit);
        best_effort &= limit.is_none() && request.is_none();
        guaranteed &= limit.is_some() && limit == request;
    }
    match (best_effort, guaranteed) {
        (true, _) => "BestEffort",
        (false, true) => "Guaranteed",
        (false, false) => "Burstable",
    }
}

/// What a pod asks for: all its containers together or its greediest init container, and to be one pod.
fn asked(pod: &Value) -> Amounts {
    let mut all = Amounts::from([("pods".to_owned(), 1_000)]);
    for container in read::list(pod, "/spec/containers") {
        for (resource, amount) in requests(container) {
            *all.entry(resource).or_default() += amount;
        }
    }
    for (resource, amount) in read::list(pod, "/spec/initContainers").iter().flat_map(requests) {
        let most = all.entry(resource).or_default();
        *most = amount.max(*most);
    }
    all
}

/// A container's requests; where it only has a limit, that is its request too.
fn requests(container: &Value) -> Amounts {
    let parts = ["/resources/limits", "/resources/requests"];
    let all = parts.iter().filter_map(|part| read::at(container, part)?.as_object()).flatten();
    all.filter_map(|(resource, amount)| Some((resource.clone(), quantity(amount)?))).collect()
}

/// The ports of the node that a pod's containers want, by protocol.
fn ports(pod: &Value) -> impl Iterator<Item = (String, i64)> {
    let all =
        read::list(pod, "/spec/containers").iter().flat_map(|container| read::list(container, "/ports"));
    all.filter_map(|port| {
        let number = read::number(port, "/hostPort").filter(|number| *number > 0)?;
        let protocol = read::text(port, "/protocol");
        Some((if protocol.is_empty() { "TCP" } else { protocol }.to_owned(), number))
    })
}

/// The thousandths of a quantity (`2`, `500m`, `1.5Gi`), rounded up; none where it is none.
pub fn quantity(value: &Value) -> Option<i128> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let unit: i128 = match suffix {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        _ => return None,
    };
    let digits =
        |text: &str| if text.is_empty() { Some(0) } else { text.get(..15).unwrap_or(text).parse().ok() };
    let (whole, part): (i128, i128) = (digits(whole)?, digits(fraction)?);
    let scale = 10_i128.pow(u32::try_from(fraction.len().min(15)).unwrap_or_default());
    Some(whole * unit + (part * unit + scale - 1) / scale)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_read_in_thousandths() {
        for (text, thousandths) in
            [("2", 2_000), ("500m", 500), ("0.5", 500), ("1Ki", 1_024_000), ("1.5k", 1_500_000), ("0.1m", 1)]
        {
            assert_eq!(quantity(&json!(text)), Some(thousandths), "{text}");
        }
        assert_eq!(quantity(&json!(3)), Some(3_000));
        assert_eq!(quantity(&json!("much")), None);
    }

    #[test]
    fn a_node_that_says_nothing_has_room_for_everything() {
        let pod = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "3"}}}]}});
        let node = |cpu: &str| json!({"status": {"allocatable": {"cpu": cpu, "pods": "1"}}});
        let mut taken = Taken::default();
        let lacks = |node: &Value, taken: &Taken| lacks(room(node).as_ref(), taken, &needs(&pod));
        assert_eq!(lacks(&json!({}), &taken), None);
        assert_eq!(lacks(&node("3"), &taken), None);
        assert_eq!(lacks(&node("2"), &taken).as_deref(), Some("Insufficient cpu"));
        taken.put(&json!({}), true);
        assert_eq!(lacks(&node("3"), &taken).as_deref(), Some("Too many pods"));
    }
}
