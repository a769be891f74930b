//! Who may stand near whom: pod affinity and anti-affinity of both sides, topology spread, as counts of pods by the domains of the nodes.
//!
//! Worked out once for pods that are alike, and kept up as they are placed, so that a thousand replicas are not a thousand counts of all pods.
//! A domain is what nodes have in common that bear the same value of a label: a zone; or a node alone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use super::placement::PREFERRED;
use super::read;

/// The pods that stand somewhere: each with its node's number; none where nobody knows the node.
pub type Placed<'a> = (&'a Value, Option<usize>);

/// A term of a pod's anti-affinity that must hold, and the nodes of the pods that have it.
pub type Shunning<'a> = (&'a Value, Vec<usize>);

/// Nodes, and their domains by each label that a rule asks for.
pub struct Map<'a> {
    pub nodes: Vec<&'a Value>,
    known: RefCell<BTreeMap<String, Rc<Domains>>>,
}

/// The domains of one label.
struct Domains {
    count: usize,
    /// The number of each node's domain; none where the node lacks the label.
    of: Vec<Option<usize>>,
}

impl<'a> Map<'a> {
    /// No label was asked for yet.
    pub fn new(nodes: Vec<&'a Value>) -> Self {
        Self { nodes, known: RefCell::default() }
    }

    fn domains(&self, rule: &Value) -> Rc<Domains> {
        let key = read::text(rule, "/topologyKey");
        let mut known = self.known.borrow_mut();
        if let Some(known) = known.get(key) {
            return Rc::clone(known);
        }
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut number = |name: &'a str| {
            let count = numbers.len();
            (!name.is_empty()).then(|| *numbers.entry(name).or_insert(count))
        };
        let of = self.nodes.iter().map(|node| number(read::label(node, key))).collect();
        let domains = Rc::new(Domains { count: numbers.len(), of });
        known.insert(key.to_owned(), Rc::clone(&domains));
        domains
    }
}

/// The pods that a rule chooses, counted by domain.
struct Tally {
    domains: Rc<Domains>,
    counts: Vec<i64>,
    /// Wherever they stand.
    total: usize,
    /// Whether the rule chooses the pod itself.
    own: bool,
}

impl Tally {
    fn add(&mut self, node: Option<usize>) {
        self.total += 1;
        if let Some(domain) = node.and_then(|node| self.domains.of[node]) {
            self.counts[domain] += 1;
        }
    }

    /// How many of them stand in a node's domain.
    fn near(&self, node: usize) -> i64 {
        self.domains.of[node].map(|domain| self.counts[domain]).unwrap_or_default()
    }
}

/// A topology spread constraint that must hold.
struct Spread {
    tally: Tally,
    /// The domains of nodes that would take such a pod.
    counted: Vec<bool>,
    most: i64,
}

impl Spread {
    fn keeps(&self, node: usize) -> bool {
        let counts = || self.tally.counts.iter().zip(&self.counted).filter(|(_, counted)| **counted);
        let least = counts().map(|(count, _)| *count).min().unwrap_or_default();
        self.tally.domains.of[node].is_some_and(|domain| {
            let here = if self.counted[domain] { self.tally.counts[domain] } else { 0 };
            here + i64::from(self.tally.own) - least <= self.most
        })
    }
}

/// The company that pods of one kind want, must have, and must not have.
#[derive(Default)]
pub struct Company {
    spreads: Vec<Spread>,
    with: Vec<Tally>,
    without: Vec<Tally>,
    /// With what each counts, for and against.
    wished: Vec<(i64, Tally)>,
    /// The nodes where somebody wants no such pod near; empty where there are none.
    shunned: Vec<bool>,
}

impl Company {
    /// What a pod's rules make of those who are there already. `find` gives the placed pods of its namespace that a selector chooses, `suits` tells the nodes that
    /// would take it.
    pub fn of<'a>(
        pod: &Value,
        map: &Map<'_>,
        suits: impl Fn(&Value) -> bool,
        find: impl Fn(Option<&Value>) -> Vec<Placed<'a>>,
        shunning: &[Shunning<'_>],
    ) -> Self {
        let tally = |rule: &Value, counts: &dyn Fn(&Value) -> bool| {
            let selector = rule.get("labelSelector");
            let domains = map.domains(rule);
            let own = selector.is_some_and(|selector| read::selects(selector, read::labels(pod)));
            let mut tally = Tally { counts: vec![0; domains.count], domains, total: 0, own };
            let chosen = find(selector).into_iter().filter(|(other, _)| counts(other));
            chosen.for_each(|(_, node)| tally.add(node));
            tally
        };
        let all = |rule: &Value| tally(rule, &|_| true);
        let spread = |rule: &Value| {
            let tally = tally(rule, &|other| !read::terminating(other));
            let mut counted = vec![false; tally.counts.len()];
            for (domain, _) in tally.domains.of.iter().zip(&map.nodes).filter(|(_, node)| suits(node)) {
                domain.iter().for_each(|domain| counted[*domain] = true);
            }
            Spread { tally, counted, most: read::number(rule, "/maxSkew").unwrap_or(1) }
        };
        let wishes = |kind: &str, sign: i64| {
            let terms = read::list(pod, &format!("/spec/affinity/{kind}/{PREFERRED}")).iter();
            let weight = |term: &Value| sign * read::number(term, "/weight").unwrap_or(0);
            terms.map(|term| (weight(term), all(&term["podAffinityTerm"]))).collect::<Vec<_>>()
        };
        let hard = |rule: &&Value| read::text(rule, "/whenUnsatisfiable") != "ScheduleAnyway";
        let rules = read::list(pod, "/spec/topologySpreadConstraints").iter();
        let mut wished = wishes("podAffinity", 1);
        wished.extend(wishes("podAntiAffinity", -1));
        Self {
            spreads: rules.filter(hard).map(spread).collect(),
            with: required(pod, "podAffinity").iter().map(all).collect(),
            without: required(pod, "podAntiAffinity").iter().map(all).collect(),
            wished,
            shunned: shunned(pod, map, shunning),
        }
    }

    /// Why a node will not do beside those who are there.
    pub fn refuses(&self, node: usize) -> Option<&'static str> {
        if !self.spreads.iter().all(|spread| spread.keeps(node)) {
            return Some("node(s) didn't match pod topology spread constraints");
        }
        // The first of a group that wants its own company may start it.
        let with = |tally: &Tally| (tally.total == 0 && tally.own) || tally.near(node) > 0;
        let kept = self.without.iter().all(|tally| tally.near(node) == 0)
            && self.with.iter().all(with)
            && !self.shunned.get(node).copied().unwrap_or_default();
        (!kept).then_some("node(s) didn't match pod affinity/anti-affinity rules")
    }

    /// How much such a pod would rather be on a node for its company.
    pub fn wish(&self, node: usize) -> i64 {
        self.wished.iter().map(|(weight, tally)| weight.saturating_mul(tally.near(node))).sum()
    }

    /// Another of these pods stands on a node from now on.
    pub fn joined(&mut self, node: usize) {
        let spreads = self.spreads.iter_mut().map(|spread| &mut spread.tally);
        let wished = self.wished.iter_mut().map(|(_, tally)| tally);
        let all = spreads.chain(&mut self.with).chain(&mut self.without).chain(wished);
        all.filter(|tally| tally.own).for_each(|tally| tally.add(Some(node)));
    }
}

/// The terms of a pod's affinity of a kind that must hold.
pub fn required<'b>(pod: &'b Value, kind: &str) -> &'b [Value] {
    let terms = read::at(pod, "/spec/affinity").and_then(|affinity| affinity.get(kind));
    terms
        .map(|terms| read::list(terms, "/requiredDuringSchedulingIgnoredDuringExecution"))
        .unwrap_or_default()
}

/// The nodes where a pod that is there wants no such pod near it.
fn shunned(pod: &Value, map: &Map<'_>, shunning: &[Shunning<'_>]) -> Vec<bool> {
    let mut closed = vec![];
    let chooses =
        |term: &Value| term.get("labelSelector").is_some_and(|rule| read::selects(rule, read::labels(pod)));
    for (term, stand) in shunning.iter().filter(|(term, _)| chooses(term)) {
        let domains = map.domains(term);
        let mut full = vec![false; domains.count];
        stand.iter().filter_map(|node| domains.of[*node]).for_each(|domain| full[domain] = true);
        closed.resize(map.nodes.len(), false);
        for (closed, domain) in closed.iter_mut().zip(&domains.of) {
            *closed |= domain.is_some_and(|domain| full[domain]);
        }
    }
    closed
}
