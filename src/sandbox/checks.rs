//! What no type can say about a `SandboxSpec`: one function, asked where a document is read and again before a sandbox starts; and one for its
//! manifests, which are loaded into regions that nobody starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::document::{Diagnostic, Document, Path, Source, ordered, unknown};
use crate::model::effect::Resource;
use crate::model::name::Region;
use crate::model::time::Duration;
use crate::model::url::Url;

use super::assembly::{pod_addresses, raise};
use super::clock::Clock;
use super::control::node::blocks;
use super::spec::{Happens, OUTSIDE, RegionSpec, SandboxSpec};
use super::store::is_object_name;

/// The longest prefix of a region's range: beyond it there are too few addresses for pods, services and nodes.
const SMALLEST: u8 = 20;

/// How often alerting checks at most: a check has no longer than its period for an answer, and answers come from other regions.
const OFTENEST: Duration = Duration::from_secs(1);

/// One thing that is wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Where in the document.
    pub path: Path,
    pub message: String,
    pub help: String,
}

/// Everything that is wrong with a document of the right shape.
pub fn all(sandbox: &Document<SandboxSpec>) -> Vec<Diagnostic> {
    let said = wrong(&sandbox.spec)
        .into_iter()
        .map(|wrong| sandbox.text.error(&wrong.path, wrong.message).help(wrong.help));
    ordered(said.collect())
}

/// Everything that is wrong with the manifests of a document that is right otherwise, by the texts of all files that they stand for.
pub fn manifests(sandbox: &Document<SandboxSpec>, texts: &BTreeMap<String, Arc<Source>>) -> Vec<Diagnostic> {
    let clock = Clock::new(Instant::now(), 0);
    let mut found = Vec::new();
    for (index, region) in sandbox.spec.regions.iter().enumerate() {
        let state = match raise(region, texts, clock, 0) {
            Ok((state, _)) => state,
            Err(errors) => {
                found.extend(errors);
                continue;
            }
        };
        let nodes: Vec<String> = state.read(|store| {
            let resource = Resource::nodes();
            store
                .list(&resource.group, &resource.plural, None)
                .map(|(key, _)| key.name().to_owned())
                .collect()
        });
        let mut say = |wrong: Wrong| {
            found.push(sandbox.text.error(&wrong.path, wrong.message).help(wrong.help));
        };
        if nodes.is_empty() && !region.manifests.is_empty() {
            say(no_nodes(within("regions", index).then("manifests"), &region.name));
        }
        for (at, happening) in sandbox.spec.happenings.iter().enumerate() {
            if let Happens::NodeDown { region: of, node, .. } = &happening.what
                && *of == region.name
            {
                let path = within("happenings", at).then("what").then("nodeDown").then("node");
                unless_known(path, "node", node.as_str(), nodes.iter().map(String::as_str)).map(&mut say);
            }
        }
    }
    ordered(found)
}

fn no_nodes(path: Path, region: &Region) -> Wrong {
    let message = format!("`{region}` has no nodes");
    say(path, message, "add one to its `nodes`: `{name: east-a-1, zone: east-a}`")
}

/// Everything that is wrong with a spec.
pub fn wrong(spec: &SandboxSpec) -> Vec<Wrong> {
    [regions, links, hosts, people, alerts, happenings, times].iter().flat_map(|check| check(spec)).collect()
}

fn within(list: &str, index: usize) -> Path {
    Path::spec().then(list).then(index)
}

fn say(path: Path, message: impl Into<String>, help: impl Into<String>) -> Wrong {
    Wrong { path, message: message.into(), help: help.into() }
}

fn regions(spec: &SandboxSpec) -> Vec<Wrong> {
    let mut found = Vec::new();
    for (index, region) in spec.regions.iter().enumerate() {
        let path = within("regions", index);
        let before = &spec.regions[..index];
        if region.name.as_str() == OUTSIDE {
            let message = format!("no region can be called `{OUTSIDE}`: that is where users are");
            found.push(say(path.then("name"), message, "give it another name"));
        }
        if before.iter().any(|other| other.name == region.name) {
            let message = format!("two regions are called `{}`", region.name);
            found.push(say(path.then("name"), message, "rename one of them"));
        }
        if region.addresses.prefix > SMALLEST {
            let message = format!("a prefix longer than /{SMALLEST} holds too few addresses");
            found.push(say(path.then("addresses"), message, "give it a larger range, like `10.1.0.0/16`"));
        }
        if let Some(other) = before.iter().find(|other| other.addresses.overlaps(&region.addresses)) {
            let message =
                format!("`{}` shares addresses with `{}`, {}", region.name, other.name, other.addresses);
            found.push(say(path.then("addresses"), message, "give each region a range of its own"));
        }
        if let Some((message, help)) = crowded(region, region.nodes.len()) {
            found.push(say(path.then("addresses"), message, help));
        }
        if region.nodes.is_empty() && region.manifests.is_empty() {
            found.push(no_nodes(path.then("nodes"), &region.name));
        }
        for (at, node) in region.nodes.iter().enumerate() {
            if !is_object_name(node.name.as_str()) {
                let message = format!("`{}` is no name for a node", node.name);
                let help = "Kubernetes takes lower case letters, digits, `-` and `.`, with a letter or a digit at both ends";
                found.push(say(path.then("nodes").then(at).then("name"), message, help));
            }
            if region.nodes[..at].iter().any(|other| other.name == node.name) {
                let message = format!("two nodes of `{}` are called `{}`", region.name, node.name);
                found.push(say(path.then("nodes").then(at).then("name"), message, "rename one of them"));
            }
        }
    }
    found
}

/// What is wrong where a region's range has not enough blocks of addresses for the pods of so many nodes, and what helps.
pub(super) fn crowded(region: &RegionSpec, nodes: usize) -> Option<(String, String)> {
    let (range, room) = (region.addresses, blocks(pod_addresses(region.addresses)));
    let needed = u32::try_from(nodes).unwrap_or(u32::MAX);
    (needed > room).then(|| {
        let message = format!(
            "`{}` has {nodes} nodes, and {range} has room for the pods of {room}: each node gets a /24 of its first half",
            region.name
        );
        // A bit for the half, and those that number the nodes.
        let prefix = 23_u32.saturating_sub(needed.next_power_of_two().trailing_zeros());
        (message, format!("give it a larger range, one of /{prefix}"))
    })
}

/// A name that is none of those that there are.
fn unless_known<'a>(
    path: Path,
    what: &str,
    name: &str,
    all: impl Iterator<Item = &'a str> + Clone,
) -> Option<Wrong> {
    if all.clone().any(|known| known == name) {
        return None;
    }
    let (message, help) = unknown(what, name, all.clone(), all);
    Some(say(path, message, help.unwrap_or_else(|| "there is none".to_owned())))
}

fn region_names(spec: &SandboxSpec) -> impl Iterator<Item = &str> + Clone {
    spec.regions.iter().map(|region| region.name.as_str())
}

/// Regions, and what lies in none.
fn places(spec: &SandboxSpec) -> impl Iterator<Item = &str> + Clone {
    region_names(spec).chain([OUTSIDE])
}

fn links(spec: &SandboxSpec) -> Vec<Wrong> {
    let ends = spec.links.iter().enumerate().flat_map(|(index, link)| {
        let path = within("links", index).then("between");
        link.between.iter().enumerate().map(move |(end, place)| (path.then(end), place))
    });
    ends.filter_map(|(path, place)| unless_known(path, "place", place.as_str(), places(spec))).collect()
}

fn hosts(spec: &SandboxSpec) -> Vec<Wrong> {
    let mut found = Vec::new();
    for (index, host) in spec.hosts.iter().enumerate() {
        let path = within("hosts", index);
        if let Some(region) = spec.regions.iter().find(|region| region.addresses.holds(host.address.into())) {
            let message =
                format!("`{}` has an address of `{}`, {}", host.host, region.name, region.addresses);
            found.push(say(path.then("address"), message, "give it one outside, like `203.0.113.10`"));
        }
        if spec.hosts[..index].iter().any(|other| other.host == host.host) {
            let message = format!("two hosts are called `{}`", host.host);
            found.push(say(path.then("host"), message, "rename one of them"));
        }
    }
    found
}

/// A question goes to a role, and only one person can answer for it.
fn people(spec: &SandboxSpec) -> Vec<Wrong> {
    let people = spec.people.iter().enumerate();
    let twice =
        people.filter(|(index, one)| spec.people[..*index].iter().any(|other| other.role == one.role));
    let said = twice.map(|(index, one)| {
        let message = format!("two people answer as `{}`", one.role);
        say(
            within("people", index).then("role"),
            message,
            "keep one of them, or give the other a role of its own",
        )
    });
    said.collect()
}

fn alerts(spec: &SandboxSpec) -> Vec<Wrong> {
    let mut found = Vec::new();
    for (index, alert) in spec.alerts.iter().enumerate() {
        let path = within("alerts", index);
        found.extend(unless_known(path.then("from"), "vantage", alert.from.as_str(), places(spec)));
        if let Err(bad) = alert.url.parse::<Url>() {
            found.push(say(path.then("url"), bad.to_string(), "it is asked with a GET"));
        }
        if alert.every < OFTENEST {
            let message =
                format!("checked every {}, it would have too little time for an answer", alert.every);
            found.push(say(path.then("every"), message, format!("check it at most every `{OFTENEST}`")));
        }
        if spec.alerts[..index].iter().any(|other| other.name == alert.name) {
            let message = format!("two alerts are called `{}`", alert.name);
            found.push(say(path.then("name"), message, "rename one of them"));
        }
    }
    found
}

fn happenings(spec: &SandboxSpec) -> Vec<Wrong> {
    let of_one = |(index, what): (usize, &Happens)| {
        let path = |kind: &str| within("happenings", index).then("what").then(kind);
        let region =
            |path: Path, name: &str| unless_known(path.then("region"), "region", name, region_names(spec));
        match what {
            Happens::Delete(target) => region(path("delete"), target.region.as_str()),
            Happens::Crash(target) => region(path("crash"), target.region.as_str()),
            Happens::Patch { target, .. } => region(path("patch").then("target"), target.region.as_str()),
            Happens::ApiDown { region: name, .. } => region(path("apiDown"), name.as_str()),
            // Whether there is such a node, the manifests decide, too.
            Happens::NodeDown { region: name, .. } => region(path("nodeDown"), name.as_str()),
            Happens::CutOff { vantage, .. } => {
                unless_known(path("cutOff").then("vantage"), "vantage", vantage.as_str(), places(spec))
            }
            Happens::HostDown { host, .. } => {
                let hosts = spec.hosts.iter().map(|host| host.host.as_str());
                unless_known(path("hostDown").then("host"), "host", host.as_str(), hosts)
            }
        }
    };
    spec.happenings.iter().map(|happening| &happening.what).enumerate().filter_map(of_one).collect()
}

/// The clock of a rehearsal has nothing finer than a millisecond.
fn times(spec: &SandboxSpec) -> Vec<Wrong> {
    let mut all: Vec<(Path, Duration)> = vec![(Path::spec().then("settlesWithin"), spec.settles_within)];
    all.extend(
        spec.links.iter().enumerate().map(|(at, link)| (within("links", at).then("latency"), link.latency)),
    );
    for (at, person) in spec.people.iter().enumerate() {
        let path = within("people", at).then("answers");
        all.push((path.then("after"), person.answers.after));
        all.push((path.then("jitter"), person.answers.jitter));
    }
    for (at, alert) in spec.alerts.iter().enumerate() {
        let path = within("alerts", at);
        all.push((path.then("every"), alert.every));
        all.push((path.then("failsFor"), alert.fails_for));
        all.push((path.then("notifiesAfter"), alert.notifies_after));
    }
    all.extend(
        spec.happenings.iter().enumerate().map(|(at, what)| (within("happenings", at).then("at"), what.at)),
    );
    let finer = all.into_iter().filter(|(_, time)| time.subsec_nanos() % 1_000_000 != 0);
    finer.map(|(path, _)| say(path, "a time in the sandbox is in whole milliseconds", "round it")).collect()
}
