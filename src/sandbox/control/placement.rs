//! Where a pod may run and where it runs best: the scheduler's filters and its one score, over plain objects.
//!
//! Filters: cordon, taints, node selector, required node affinity, required pod affinity and (of both sides) anti-affinity, topology
//! spread that must hold, the zone of a volume, and room (`room`). Score: what the pod would rather have, then fewest pods of the same owner in the
//! zone, then on the node, then fewest pods on the node, then the name, so that the same cluster always gives the same placement. A wish
//! comes before everything else, where Kubernetes weighs it. Left out: preemption.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use super::company::{Company, Map, Placed, Shunning, required};
use super::read;
use super::room::{Amounts, Needs, Taken, lacks, needs, room};

/// The terms of an affinity that need not hold.
pub const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// The label that says in which zone a node stands.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// Finds the pods of a namespace that may have all the wanted labels, whether they stand anywhere or not.
pub type Find<'a> = dyn Fn(&str, &Value) -> Vec<&'a Value> + 'a;

/// The nodes and the pods on them, counted once for a whole batch of pods.
pub struct Board<'a> {
    /// By name.
    map: Map<'a>,
    names: Vec<&'a str>,
    stands: Vec<Stand>,
    zones: usize,
    /// How many pods of an owner there are on a node.
    owned: BTreeMap<Group<'a>, BTreeMap<usize, usize>>,
    find: Box<Find<'a>>,
    /// The pods that got their place from this board.
    placed: Vec<(&'a Value, usize)>,
    /// By namespace: who wants whom not near.
    shunning: BTreeMap<&'a str, Vec<Shunning<'a>>>,
    grounds: Vec<(Wants<'a>, Rc<Ground>)>,
    /// What is known of the pods that the last one was like.
    shape: Option<Shape<'a>>,
}

/// A node's place among others.
struct Stand {
    zone: usize,
    /// How many pods it holds.
    held: usize,
    taken: Taken,
    /// What it can give; none where it says nothing.
    room: Option<Amounts>,
}

/// What of a pod decides on which nodes it can be, whoever else is there: its selector, its affinity to nodes, its tolerations, and its volumes' zones.
type Wants<'a> = ([Option<&'a Value>; 3], Vec<&'a str>);

/// The nodes for pods that want the same.
struct Ground {
    /// Those that will do, with how much a pod would rather be there.
    open: Vec<(usize, i64)>,
    refused: BTreeMap<&'static str, usize>,
}

/// Whose pods are spread together: those of one controller, by its uid; or of one namespace where nobody owns them.
type Group<'a> = (&'a str, &'a str);

/// What tells pods apart where places are given.
#[derive(PartialEq)]
struct Like<'a> {
    group: Group<'a>,
    namespace: &'a str,
    /// Labels, affinity, and how they are spread.
    company: [Option<&'a Value>; 3],
    wants: Wants<'a>,
    needs: Needs,
}

/// Pods that are alike, and what they find.
struct Shape<'a> {
    like: Like<'a>,
    ground: Rc<Ground>,
    company: Company,
    /// How many of their group stand on each node, and in each zone.
    beside: Vec<usize>,
    in_zone: Vec<usize>,
    /// Why no node will do, since the last one was placed.
    refused: Option<String>,
}

impl<'a> Board<'a> {
    /// A board of nodes and of all pods; those without a node or at their end take no place. One that is being deleted keeps others
    /// company until it is gone, and no longer counts in the score.
    pub fn new(
        mut nodes: Vec<&'a Value>,
        pods: impl Iterator<Item = &'a Value>,
        find: impl Fn(&str, &Value) -> Vec<&'a Value> + 'a,
    ) -> Self {
        nodes.sort_by_key(|node| read::name(node));
        let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
        let mut stands = Vec::with_capacity(nodes.len());
        for node in &nodes {
            let count = zones.len();
            let zone = *zones.entry(read::label(node, ZONE)).or_insert(count);
            stands.push(Stand { zone, held: 0, taken: Taken::default(), room: room(node) });
        }
        let mut board = Self {
            names: nodes.iter().map(|node| read::name(node)).collect(),
            map: Map::new(nodes),
            stands,
            zones: zones.len(),
            owned: BTreeMap::new(),
            find: Box::new(find),
            placed: vec![],
            shunning: BTreeMap::new(),
            grounds: vec![],
            shape: None,
        };
        for pod in pods.filter(|pod| !read::ended(pod)) {
            match board.number(read::text(pod, "/spec/nodeName")) {
                None => {}
                Some(node) if read::terminating(pod) => board.seat(pod, node),
                Some(node) => board.put(pod, node),
            }
        }
        board
    }

    fn number(&self, node: &str) -> Option<usize> {
        self.names.binary_search(&node).ok()
    }

    /// Counts a pod on a node.
    fn put(&mut self, pod: &'a Value, node: usize) {
        self.stands[node].held += 1;
        *self.owned.entry(group(pod)).or_default().entry(node).or_default() += 1;
        self.seat(pod, node);
    }

    /// Gives a pod its place and what it takes there.
    fn seat(&mut self, pod: &'a Value, node: usize) {
        let Stand { taken, room, .. } = &mut self.stands[node];
        taken.put(pod, room.is_some());
        for term in required(pod, "podAntiAffinity") {
            let known = self.shunning.entry(read::namespace(pod)).or_default();
            match known.iter_mut().rev().find(|(other, _)| *other == term) {
                Some((_, nodes)) => nodes.push(node),
                None => known.push((term, vec![node])),
            }
        }
    }

    /// The best node for a pod, which is counted there from now on.
    ///
    /// # Errors
    /// Where no node will do: why, in the words of Kubernetes.
    pub fn place(&mut self, pod: &'a Value, zones: &[&'a str]) -> Result<&'a str, String> {
        let like = Like::of(pod, zones);
        let known = self.shape.take().filter(|shape| shape.like == like);
        let mut shape = known.unwrap_or_else(|| self.shape(pod, like));
        let placed = match self.best(&shape) {
            Some(node) => {
                shape.beside[node] += 1;
                shape.in_zone[self.stands[node].zone] += 1;
                shape.company.joined(node);
                shape.refused = None;
                self.put(pod, node);
                self.placed.push((pod, node));
                Ok(self.names[node])
            }
            None => Err(shape.refused.take().unwrap_or_else(|| self.refused(&shape))),
        };
        shape.refused = placed.as_ref().err().cloned();
        self.shape = Some(shape);
        placed
    }

    /// The best of the nodes that will do: by what a pod would rather have, then fewest of its group in the zone, then on the node, then fewest pods on
    /// the node, then its name.
    fn best(&self, shape: &Shape<'_>) -> Option<usize> {
        if shape.refused.is_some() {
            return None;
        }
        let mut best: Option<((i64, usize, usize, usize), usize)> = None;
        for &(node, wish) in &shape.ground.open {
            let stand = &self.stands[node];
            let wish = wish + shape.company.wish(node);
            let score = (-wish, shape.in_zone[stand.zone], shape.beside[node], stand.held);
            // Whether it will do is the dearer question.
            if best.is_none_or(|(least, _)| score < least) && self.not_now(shape, node).is_none() {
                best = Some((score, node));
            }
        }
        best.map(|(_, node)| node)
    }

    /// Why a node will not do for a pod beside those that are there.
    fn not_now(&self, shape: &Shape<'_>, node: usize) -> Option<String> {
        let Stand { taken, room, .. } = &self.stands[node];
        let company = shape.company.refuses(node).map(str::to_owned);
        company.or_else(|| lacks(room.as_ref(), taken, &shape.like.needs))
    }

    /// What pods like this one find.
    fn shape(&mut self, pod: &'a Value, like: Like<'a>) -> Shape<'a> {
        let ground = self.ground(pod, &like.wants);
        let (mut beside, mut in_zone) = (vec![0; self.stands.len()], vec![0; self.zones]);
        for (node, count) in self.owned.get(&like.group).into_iter().flatten() {
            beside[*node] += count;
            in_zone[self.stands[*node].zone] += count;
        }
        let shunning = self.shunning.get(like.namespace).map(Vec::as_slice).unwrap_or_default();
        let find = |selector: Option<&Value>| self.chosen(like.namespace, selector);
        let company = Company::of(pod, &self.map, |node| fits(pod, node), find, shunning);
        Shape { like, ground, company, beside, in_zone, refused: None }
    }

    /// The nodes for pods that want the same as this one.
    fn ground(&mut self, pod: &Value, wants: &Wants<'a>) -> Rc<Ground> {
        if let Some((_, known)) = self.grounds.iter().find(|(other, _)| other == wants) {
            return Rc::clone(known);
        }
        let mut ground = Ground { open: vec![], refused: BTreeMap::new() };
        for (number, node) in self.map.nodes.iter().enumerate() {
            match never(pod, node, &wants.1) {
                Some(why) => *ground.refused.entry(why).or_default() += 1,
                None => ground.open.push((number, wish(pod, node))),
            }
        }
        let ground = Rc::new(ground);
        self.grounds.push((wants.clone(), Rc::clone(&ground)));
        ground
    }

    /// The placed pods of a namespace that a selector chooses.
    fn chosen(&self, namespace: &str, selector: Option<&Value>) -> Vec<Placed<'a>> {
        let Some(selector) = selector else { return vec![] };
        let stands = |pod: &'a Value| {
            let node = Some(read::text(pod, "/spec/nodeName")).filter(|node| !node.is_empty())?;
            (!read::ended(pod)).then(|| (pod, self.number(node)))
        };
        let before = (self.find)(namespace, selector.get("matchLabels").unwrap_or(&Value::Null));
        let now = self.placed.iter().filter(|(pod, _)| read::namespace(pod) == namespace);
        let now = now.map(|(pod, node)| (*pod, Some(*node)));
        let all = before.into_iter().filter_map(stands).chain(now);
        all.filter(|(pod, _)| read::selects(selector, read::labels(pod))).collect()
    }

    /// Why no node will do.
    fn refused(&self, shape: &Shape<'_>) -> String {
        let mut refused: BTreeMap<String, usize> =
            shape.ground.refused.iter().map(|(why, count)| ((*why).to_owned(), *count)).collect();
        for why in shape.ground.open.iter().filter_map(|(node, _)| self.not_now(shape, *node)) {
            *refused.entry(why).or_default() += 1;
        }
        let none = |reasons: &BTreeMap<String, usize>| {
            let reasons: Vec<String> = reasons.iter().map(|(why, count)| format!("{count} {why}")).collect();
            format!("0/{} nodes are available: {}.", self.names.len(), reasons.join(", "))
        };
        // Nodes that would do if other pods went.
        let crowded = shape.ground.open.len();
        format!("{} preemption: {}", none(&refused), none(&self.unpreempted(crowded)))
    }

    /// Why nobody is sent away for a pod; so many nodes would do without their pods.
    fn unpreempted(&self, crowded: usize) -> BTreeMap<String, usize> {
        let why = [
            ("No preemption victims found for incoming pod", crowded),
            ("Preemption is not helpful for scheduling", self.names.len() - crowded),
        ];
        why.into_iter().filter(|(_, count)| *count > 0).map(|(why, count)| (why.to_owned(), count)).collect()
    }
}

impl<'a> Like<'a> {
    fn of(pod: &'a Value, zones: &[&'a str]) -> Self {
        let [selector, affinity, tolerations, spread, labels] = [
            "/spec/nodeSelector",
            "/spec/affinity",
            "/spec/tolerations",
            "/spec/topologySpreadConstraints",
            "/metadata/labels",
        ]
        .map(|field| read::at(pod, field));
        let to_nodes = affinity.and_then(|affinity| affinity.get("nodeAffinity"));
        Self {
            group: group(pod),
            namespace: read::namespace(pod),
            company: [labels, affinity, spread],
            wants: ([selector, to_nodes, tolerations], zones.to_vec()),
            needs: needs(pod),
        }
    }
}

/// Why a node will not do for a pod, whoever else is there.
fn never(pod: &Value, node: &Value, zones: &[&str]) -> Option<&'static str> {
    if !fits(pod, node) {
        return Some("node(s) didn't match Pod's node affinity/selector");
    }
    if read::flag(node, "/spec/unschedulable") && !tolerates(pod, &cordon()) {
        return Some("node(s) were unschedulable");
    }
    let shut = |taint: &&Value| read::text(taint, "/effect") != "PreferNoSchedule" && !tolerates(pod, taint);
    if read::list(node, "/spec/taints").iter().any(|taint| shut(&taint)) {
        return Some("node(s) had untolerated taint(s)");
    }
    if !zones.is_empty() && !zones.contains(&read::label(node, ZONE)) {
        return Some("node(s) had volume node affinity conflict");
    }
    None
}

/// How much a pod would rather be on a node for what the node is: the weights of its preferred terms that choose it.
fn wish(pod: &Value, node: &Value) -> i64 {
    let affinity = read::at(pod, "/spec/affinity/nodeAffinity");
    let preferred = affinity.and_then(|affinity| affinity.get(PREFERRED)).and_then(Value::as_array);
    let chosen = preferred.into_iter().flatten().filter(|term| term_fits(&term["preference"], node));
    chosen.map(|term| read::number(term, "/weight").unwrap_or(0)).sum()
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

/// Whose pods a pod is spread with.
fn group(pod: &Value) -> Group<'_> {
    match read::controller(pod) {
        Some(owner) => (read::text(owner, "/uid"), ""),
        None => ("", read::namespace(pod)),
    }
}

/// The taint that a cordon stands for.
fn cordon() -> Value {
    json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
}

/// Whether the pod's node selector and required node affinity allow a node.
pub fn fits(pod: &Value, node: &Value) -> bool {
    let selected =
        read::at(pod, "/spec/nodeSelector").is_none_or(|wanted| read::contains(read::labels(node), wanted));
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
        let mut board = Board::new(nodes.iter().collect(), std::iter::empty(), |_, _| vec![]);
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
        let mut board = Board::new(nodes.iter().collect(), std::iter::empty(), |_, _| vec![]);
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
