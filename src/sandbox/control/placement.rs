//! Where a pod may run and where it runs best: the scheduler's filters and its one score, over plain objects.
//!
//! Filters: cordon, taints, node selector, required node affinity, required pod affinity and (of both sides) anti-affinity, topology
//! spread that must hold, the zone of a volume, and room (`room`). Score: what the pod would rather have, then fewest pods of the same owner in the
//! zone, then on the node, then fewest pods on the node, then the name, so that the same cluster always gives the same placement. A wish
//! comes before everything else, where Kubernetes weighs it. Left out: preemption.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::read;
use super::room::{Taken, lacks};

const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// The label that says in which zone a node stands.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// The nodes and the pods on them, counted once for a whole batch of pods.
pub struct Board<'a> {
    nodes: Vec<&'a Value>,
    /// How many pods each node holds.
    held: BTreeMap<&'a str, usize>,
    /// How many pods of an owner each node holds.
    owned: BTreeMap<(String, &'a str), usize>,
    /// What pods take of each node.
    taken: BTreeMap<&'a str, Taken>,
    /// Pods with their nodes, for rules that look at labels.
    placed: Vec<(&'a Value, &'a str)>,
}

impl<'a> Board<'a> {
    /// A board of nodes and of all pods; those without a node or at their end take no place. One that is being deleted keeps others
    /// company until it is gone, and no longer counts in the score.
    pub fn new(mut nodes: Vec<&'a Value>, pods: impl Iterator<Item = &'a Value>) -> Self {
        nodes.sort_by_key(|node| read::name(node));
        let (held, owned, taken) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut board = Self { nodes, held, owned, taken, placed: vec![] };
        for pod in pods.filter(|pod| !read::ended(pod)) {
            match read::text(pod, "/spec/nodeName") {
                "" => {}
                node if read::terminating(pod) => board.seat(pod, node),
                node => board.put(pod, node),
            }
        }
        board
    }

    /// Counts a pod on a node.
    fn put(&mut self, pod: &'a Value, node: &'a str) {
        *self.held.entry(node).or_default() += 1;
        *self.owned.entry((group(pod), node)).or_default() += 1;
        self.seat(pod, node);
    }

    /// Gives a pod its place and what it takes there.
    fn seat(&mut self, pod: &'a Value, node: &'a str) {
        self.taken.entry(node).or_default().put(pod);
        self.placed.push((pod, node));
    }

    /// The best node for a pod, which is counted there from now on.
    ///
    /// # Errors
    /// Where no node will do: why, in the words of Kubernetes.
    pub fn place(&mut self, pod: &'a Value, zones: &[&str]) -> Result<&'a str, String> {
        let mut refused: BTreeMap<String, usize> = BTreeMap::new();
        // Nodes that would do if other pods went.
        let mut crowded = 0;
        let mut open = vec![];
        for &node in &self.nodes {
            let none = Taken::default();
            let taken = self.taken.get(read::name(node)).unwrap_or(&none);
            let never = self.never(pod, node, zones).map(str::to_owned);
            let now = || self.not_now(pod, node).map(str::to_owned).or_else(|| lacks(node, taken, pod));
            crowded += usize::from(never.is_none());
            match never.or_else(now) {
                Some(why) => *refused.entry(why).or_default() += 1,
                None => open.push(node),
            }
        }
        let group = group(pod);
        let mut by_zone: BTreeMap<&str, usize> = BTreeMap::new();
        for &node in &self.nodes {
            *by_zone.entry(read::label(node, ZONE)).or_default() += self.of(&group, read::name(node));
        }
        let best = open.into_iter().min_by_key(|node| {
            let name = read::name(node);
            let in_zone = by_zone.get(read::label(node, ZONE)).copied().unwrap_or_default();
            let held = self.held.get(name).copied().unwrap_or_default();
            (-self.wish(pod, node), in_zone, self.of(&group, name), held, name)
        });
        let Some(best) = best else {
            let none = |reasons: &BTreeMap<String, usize>| {
                let reasons: Vec<String> =
                    reasons.iter().map(|(why, count)| format!("{count} {why}")).collect();
                format!("0/{} nodes are available: {}.", self.nodes.len(), reasons.join(", "))
            };
            return Err(format!("{} preemption: {}", none(&refused), none(&self.unpreempted(crowded))));
        };
        let name = read::name(best);
        self.put(pod, name);
        Ok(name)
    }

    fn of(&self, group: &str, node: &'a str) -> usize {
        self.owned.get(&(group.to_owned(), node)).copied().unwrap_or_default()
    }

    /// Why nobody is sent away for a pod; so many nodes would do without their pods.
    fn unpreempted(&self, crowded: usize) -> BTreeMap<String, usize> {
        let why = [
            ("No preemption victims found for incoming pod", crowded),
            ("Preemption is not helpful for scheduling", self.nodes.len() - crowded),
        ];
        why.into_iter().filter(|(_, count)| *count > 0).map(|(why, count)| (why.to_owned(), count)).collect()
    }

    /// Why a node will not do for a pod, whoever else is there.
    fn never(&self, pod: &Value, node: &Value, zones: &[&str]) -> Option<&'static str> {
        if !fits(pod, node) {
            return Some("node(s) didn't match Pod's node affinity/selector");
        }
        if read::flag(node, "/spec/unschedulable") && !tolerates(pod, &cordon()) {
            return Some("node(s) were unschedulable");
        }
        let shut =
            |taint: &&Value| read::text(taint, "/effect") != "PreferNoSchedule" && !tolerates(pod, taint);
        if read::list(node, "/spec/taints").iter().any(|taint| shut(&taint)) {
            return Some("node(s) had untolerated taint(s)");
        }
        if !zones.is_empty() && !zones.contains(&read::label(node, ZONE)) {
            return Some("node(s) had volume node affinity conflict");
        }
        None
    }

    /// Why a node will not do for a pod beside those that are there.
    fn not_now(&self, pod: &Value, node: &Value) -> Option<&'static str> {
        if !self.keeps_spread(pod, node) {
            return Some("node(s) didn't match pod topology spread constraints");
        }
        if !self.keeps_company(pod, node) {
            return Some("node(s) didn't match pod affinity/anti-affinity rules");
        }
        None
    }

    /// How much a pod would rather be on a node: the weights of its preferred affinities that hold there, less those of the company that it
    /// would rather not have.
    fn wish(&self, pod: &Value, node: &Value) -> i64 {
        let preferred = |kind: &str| read::list(pod, &format!("/spec/affinity/{kind}/{PREFERRED}"));
        let weight = |term: &Value| read::number(term, "/weight").unwrap_or(0);
        let chosen = |term: &&Value| term_fits(&term["preference"], node);
        let own: i64 = preferred("nodeAffinity").iter().filter(chosen).map(weight).sum();
        let company = |kind: &str| -> i64 {
            let near = |term: &Value| {
                let term = &term["podAffinityTerm"];
                let key = read::text(term, "/topologyKey");
                let there = self.matching(pod, term.get("labelSelector")).flatten();
                i64::try_from(there.filter(|at| together(key, at, node)).count()).unwrap_or(i64::MAX)
            };
            preferred(kind).iter().map(|term| weight(term).saturating_mul(near(term))).sum()
        };
        own + company("podAffinity") - company("podAntiAffinity")
    }

    /// Whether the required affinities between the pod and others hold on a node.
    fn keeps_company(&self, pod: &Value, node: &Value) -> bool {
        let near = |term: &Value| {
            let key = read::text(term, "/topologyKey");
            self.matching(pod, term.get("labelSelector")).flatten().any(|at| together(key, at, node))
        };
        !terms(pod, "podAntiAffinity").iter().any(near)
            && terms(pod, "podAffinity").iter().all(|term| {
                // The first of a group that wants its own company may start it.
                let selector = term.get("labelSelector");
                let first = self.matching(pod, selector).next().is_none()
                    && selector.is_some_and(|selector| read::selects(selector, read::labels(pod)));
                first || near(term)
            })
            && !self.shunned(pod, node)
    }

    /// Whether a pod that is there wants no such pod near it.
    fn shunned(&self, pod: &Value, node: &Value) -> bool {
        let same = |(other, _): &&(&Value, &str)| read::namespace(other) == read::namespace(pod);
        self.placed.iter().filter(same).any(|(other, name)| {
            terms(other, "podAntiAffinity").iter().any(|term| {
                let chosen =
                    term.get("labelSelector").is_some_and(|rule| read::selects(rule, read::labels(pod)));
                let key = read::text(term, "/topologyKey");
                chosen && self.node(name).is_some_and(|at| together(key, at, node))
            })
        })
    }

    fn node(&self, name: &str) -> Option<&'a Value> {
        let found = self.nodes.binary_search_by_key(&name, |node| read::name(node));
        found.ok().map(|index| self.nodes[index])
    }

    /// Whether the topology spread constraints that must hold would hold with the pod on a node.
    fn keeps_spread(&self, pod: &Value, node: &Value) -> bool {
        let hard = |rule: &&Value| read::text(rule, "/whenUnsatisfiable") != "ScheduleAnyway";
        read::list(pod, "/spec/topologySpreadConstraints").iter().filter(hard).all(|rule| {
            let key = read::text(rule, "/topologyKey");
            let mut counts: BTreeMap<&str, i64> = self
                .nodes
                .iter()
                .filter(|node| fits(pod, node) && !read::label(node, key).is_empty())
                .map(|node| (read::label(node, key), 0))
                .collect();
            let selector = rule.get("labelSelector");
            for at in self.alive(pod, selector).flatten() {
                if let Some(count) = counts.get_mut(read::label(at, key)) {
                    *count += 1;
                }
            }
            let least = counts.values().min().copied().unwrap_or_default();
            let here = counts.get(read::label(node, key)).copied().unwrap_or_default();
            let itself = selector.is_some_and(|selector| read::selects(selector, read::labels(pod)));
            !read::label(node, key).is_empty()
                && here + i64::from(itself) - least <= read::number(rule, "/maxSkew").unwrap_or(1)
        })
    }

    /// The placed pods of the same namespace that a selector chooses.
    fn chosen<'b>(
        &'b self,
        pod: &'b Value,
        selector: Option<&'b Value>,
    ) -> impl Iterator<Item = (&'a Value, &'a str)> + 'b {
        self.placed.iter().copied().filter(move |(other, _)| {
            read::namespace(other) == read::namespace(pod)
                && selector.is_some_and(|selector| read::selects(selector, read::labels(other)))
        })
    }

    /// The nodes of the placed pods of the same namespace that a selector chooses.
    fn matching<'b>(
        &'b self,
        pod: &'b Value,
        selector: Option<&'b Value>,
    ) -> impl Iterator<Item = Option<&'a Value>> + 'b {
        self.chosen(pod, selector).map(|(_, name)| self.node(name))
    }

    /// The nodes of those of them that nobody deletes.
    fn alive<'b>(
        &'b self,
        pod: &'b Value,
        selector: Option<&'b Value>,
    ) -> impl Iterator<Item = Option<&'a Value>> + 'b {
        let stays = |(other, _): &(&Value, &str)| !read::terminating(other);
        self.chosen(pod, selector).filter(stays).map(|(_, name)| self.node(name))
    }
}

/// Gives a pod the labels of where its node stands, as admission does when it is bound.
pub fn located(pod: &mut Value, node: &Value) {
    for label in [ZONE, "topology.kubernetes.io/region"] {
        let place = read::label(node, label);
        if !place.is_empty() {
            pod["metadata"]["labels"][label] = json!(place);
        }
    }
}

/// The required terms of a pod's affinity of a kind.
fn terms<'b>(pod: &'b Value, kind: &str) -> &'b [Value] {
    read::list(pod, &format!("/spec/affinity/{kind}/requiredDuringSchedulingIgnoredDuringExecution"))
}

/// Whether two nodes stand in the same domain; one without the label stands in none.
fn together(key: &str, one: &Value, other: &Value) -> bool {
    let domain = read::label(one, key);
    !domain.is_empty() && domain == read::label(other, key)
}

/// Whose pods are spread together: those of one controller, or of one namespace where nobody owns them.
fn group(pod: &Value) -> String {
    match read::controller(pod) {
        Some(owner) => read::text(owner, "/uid").to_owned(),
        None => format!("namespace {}", read::namespace(pod)),
    }
}

/// The taint that a cordon stands for.
fn cordon() -> Value {
    json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
}

/// Whether the pod's node selector and required node affinity allow a node.
pub fn fits(pod: &Value, node: &Value) -> bool {
    let selected =
        pod.pointer("/spec/nodeSelector").is_none_or(|wanted| read::contains(read::labels(node), wanted));
    let terms = read::list(
        pod,
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms",
    );
    selected && (terms.is_empty() || terms.iter().any(|term| term_fits(term, node)))
}

/// Whether a node selector term chooses a node; an empty one chooses none.
pub fn term_fits(term: &Value, node: &Value) -> bool {
    let (expressions, fields) = (read::list(term, "/matchExpressions"), read::list(term, "/matchFields"));
    let rule = |rule: &Value, found: Option<&str>| {
        read::expression(read::text(rule, "/operator"), found, read::list(rule, "/values"))
    };
    !(expressions.is_empty() && fields.is_empty())
        && expressions
            .iter()
            .all(|each| rule(each, read::labels(node).get(read::text(each, "/key")).and_then(Value::as_str)))
        && fields.iter().all(|each| rule(each, Some(read::name(node))))
}

/// Whether a pod tolerates a taint.
pub fn tolerates(pod: &Value, taint: &Value) -> bool {
    toleration(pod, taint).is_some()
}

/// The pod's first toleration of a taint.
pub fn toleration<'a>(pod: &'a Value, taint: &Value) -> Option<&'a Value> {
    read::list(pod, "/spec/tolerations").iter().find(|toleration| {
        let effect = read::text(toleration, "/effect");
        let key = read::text(toleration, "/key");
        let exists = read::text(toleration, "/operator") == "Exists";
        (effect.is_empty() || effect == read::text(taint, "/effect"))
            && (key == read::text(taint, "/key") || (key.is_empty() && exists))
            && (exists || read::text(toleration, "/value") == read::text(taint, "/value"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, zone: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {ZONE: zone}}, "spec": {}})
    }

    fn pod(name: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"}, "ownerReferences":
            [{"uid": "web", "controller": true}]}, "spec": {}})
    }

    fn places(nodes: &[Value], pods: &[Value]) -> Vec<String> {
        let mut board = Board::new(nodes.iter().collect(), std::iter::empty());
        pods.iter().map(|pod| board.place(pod, &[]).map_or_else(|why| why, str::to_owned)).collect()
    }

    #[test]
    fn a_pod_goes_where_it_would_rather_be_while_there_is_a_choice() {
        let nodes = [node("a1", "a"), node("b1", "b")];
        let mut wishes = pod("p");
        let near = json!({"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["b"]}]});
        wishes["spec"]["affinity"]["nodeAffinity"][PREFERRED] = json!([{"weight": 1, "preference": near}]);
        let mut shuns = pod("q");
        let term = json!({"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": ZONE});
        shuns["spec"]["affinity"]["podAntiAffinity"][PREFERRED] =
            json!([{"weight": 9, "podAffinityTerm": term}]);
        shuns["spec"]["affinity"]["nodeAffinity"][PREFERRED] =
            wishes["spec"]["affinity"]["nodeAffinity"][PREFERRED].clone();
        let mut board = Board::new(nodes.iter().collect(), std::iter::empty());
        assert_eq!(board.place(&wishes, &[]), Ok("b1"));
        assert_eq!(board.place(&shuns, &[]), Ok("a1"));
    }

    #[test]
    fn pods_of_one_owner_spread_over_zones_and_then_over_nodes() {
        let nodes = [node("a1", "a"), node("a2", "a"), node("b1", "b")];
        let pods = ["1", "2", "3", "4"].map(pod);
        assert_eq!(places(&nodes, &pods), ["a1", "b1", "a2", "b1"]);
    }

    #[test]
    fn a_cordon_a_taint_and_a_selector_close_a_node() {
        let mut nodes = [node("a1", "a"), node("a2", "a"), node("b1", "b")];
        nodes[0]["spec"]["unschedulable"] = json!(true);
        nodes[1]["spec"]["taints"] = json!([{"key": "k", "effect": "NoExecute"}]);
        assert_eq!(places(&nodes, &[pod("1")]), ["b1"]);
        let mut picky = pod("2");
        picky["spec"]["nodeSelector"] = json!({ZONE: "a"});
        let why = "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, \
                   1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. preemption: 0/3 nodes are \
                   available: 3 Preemption is not helpful for scheduling.";
        assert_eq!(places(&nodes, &[picky.clone()]), [why]);
        picky["spec"]["tolerations"] = json!([{"key": "k", "operator": "Exists"}]);
        assert_eq!(places(&nodes, &[picky]), ["a2"]);
    }

    #[test]
    fn a_spread_that_must_hold_leaves_a_pod_waiting() {
        let mut nodes = [node("a1", "a"), node("b1", "b")];
        nodes[1]["spec"]["unschedulable"] = json!(true);
        let pods = ["1", "2"].map(|name| {
            let mut pod = pod(name);
            pod["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": ZONE,
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]);
            pod
        });
        let placed = places(&nodes, &pods);
        assert_eq!(placed[0], "a1");
        assert!(placed[1].contains("topology spread"), "{placed:?}");
    }

    #[test]
    fn pods_that_shun_each_other_get_nodes_of_their_own() {
        let nodes = [node("a1", "a"), node("b1", "b")];
        let pods = ["1", "2", "3"].map(|name| {
            let mut pod = pod(name);
            pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                json!([{"topologyKey": ZONE, "labelSelector": {"matchLabels": {"app": "web"}}}]);
            pod
        });
        let placed = places(&nodes, &pods);
        assert_eq!(placed[..2], ["a1", "b1"]);
        assert!(placed[2].contains("anti-affinity"), "{placed:?}");
    }
}
