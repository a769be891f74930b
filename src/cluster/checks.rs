//! What no type can say about an `Environment`.

use std::collections::BTreeSet;

use super::environment::{AgentSpec, EnvironmentSpec, OUTSIDE, range};
use crate::document::{Diagnostic, Document, Path, ordered};
use crate::model::url::Url;

/// Everything that is wrong with a document of the right shape.
pub fn all(environment: &Document<EnvironmentSpec>) -> Vec<Diagnostic> {
    let found = [regions, vantages, alerts, commands].iter().flat_map(|check| check(environment)).collect();
    ordered(found)
}

fn within(list: &str, index: usize) -> Path {
    Path::spec().then(list).then(index)
}

fn regions(environment: &Document<EnvironmentSpec>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let regions = &environment.spec.regions;
    let mut say = |path: Path, message: String, help: &str| {
        found.push(environment.text.error(&path, message).help(help));
    };
    if regions.is_empty() {
        say(Path::spec().then("regions"), "there is no region".into(), "add one for each cluster");
    }
    for (index, region) in regions.iter().enumerate() {
        let path = within("regions", index);
        let before = &regions[..index];
        if region.name.as_str() == OUTSIDE {
            let message = format!("no region can be called `{OUTSIDE}`: that is where drillmaster runs");
            say(path.then("name"), message, "give it another name");
        }
        if before.iter().any(|other| other.name == region.name) {
            say(path.then("name"), format!("two regions are called `{}`", region.name), "rename one of them");
        }
        if let Some(other) = before.iter().find(|other| other.identity == region.identity) {
            let message = format!("`{}` is the same cluster as `{}`", region.name, other.name);
            say(path.then("identity"), message, "name two clusters: a drill would fail over to itself");
        }
        for (at, text) in region.addresses.iter().enumerate() {
            let path = path.then("addresses").then(at);
            match range(&region.name, text) {
                None => say(
                    path,
                    format!("`{text}` is no range of addresses"),
                    "write it like `10.1.0.0/16` or `fd00:1::/48`",
                ),
                Some(one) => {
                    let others = before.iter().flat_map(|other| other.ranges());
                    let shared =
                        others.into_iter().find(|other| other.holds(one.network) || one.holds(other.network));
                    if let Some(other) = shared {
                        let message = format!("`{}` shares addresses with `{}`", region.name, other.region);
                        say(path, message, "give each region the ranges that are its own");
                    }
                }
            }
        }
    }
    found
}

fn vantages(environment: &Document<EnvironmentSpec>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    let mut seen = BTreeSet::new();
    let mut say = |path: Path, message: String, help: &str| {
        found.push(environment.text.error(&path, message).help(help));
    };
    for (index, vantage) in environment.spec.vantages.iter().enumerate() {
        let path = within("vantages", index);
        if !seen.insert(&vantage.name) {
            let message = format!("two vantages are called `{}`", vantage.name);
            say(path.then("name"), message, "rename one of them");
        }
        let Some(agent) = &vantage.agent else { continue };
        for (field, given) in [("proxy", vantage.proxy.is_some()), ("dns", vantage.dns.is_some())] {
            if given {
                let message = format!("an agent asks by itself, without the `{field}` of another place");
                say(path.then(field), message, "leave it out, or leave out the agent");
            }
        }
        if vantage.name.as_str() == OUTSIDE {
            let message = format!("`{OUTSIDE}` is where drillmaster runs, and no agent");
            say(path.then("agent"), message, "give the vantage another name");
        }
        let path = path.then("agent");
        let (path, region) = match agent {
            AgentSpec::Pod(pod) => (path.then("pod"), &pod.region),
            AgentSpec::Start(start) => {
                if !is_part_of_a_pods_name(vantage.name.as_str()) {
                    let message = format!("no pod can be named after a vantage called `{}`", vantage.name);
                    say(
                        path.clone(),
                        message,
                        "name it with at most 40 of `a` to `z`, `0` to `9` and `-`, the last no `-`",
                    );
                }
                let path = path.then("start");
                if start.image.trim().is_empty() {
                    let message = "the agent has no image".to_owned();
                    say(path.then("image"), message, "name the image of this version of drillmaster");
                }
                (path, &start.region)
            }
            AgentSpec::Address(_) => continue,
        };
        let regions = || environment.spec.regions.iter().map(|region| region.name.as_str());
        if regions().all(|name| name != region.as_str()) {
            unknown.push(environment.text.unknown(
                &path.then("region"),
                "region",
                region.as_str(),
                regions(),
            ));
        }
    }
    found.extend(unknown);
    found
}

/// Whether it can end a pod's name (RFC 1123, section 2.1, as Kubernetes' documentation "Object Names and IDs" has it).
fn is_part_of_a_pods_name(name: &str) -> bool {
    let fits = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-';
    (1..=40).contains(&name.len()) && name.chars().all(fits) && !name.ends_with('-')
}

fn alerts(environment: &Document<EnvironmentSpec>) -> Vec<Diagnostic> {
    let wrong = environment.spec.alert_sources().filter_map(|(region, source)| {
        let at = region.map_or_else(Path::spec, |index| within("regions", index)).then("alerts");
        let Some(asked) = &source.alertmanager else {
            let nobody = source.webhook.is_none();
            let error = environment.text.error(&at, "nobody says here that an alert fires");
            return nobody
                .then(|| error.help("name an `alertmanager` to ask, or a `webhook` to be paged at"));
        };
        let why = asked.parse::<Url>().err()?;
        Some(environment.text.error(&at.then("alertmanager"), why.to_string()))
    });
    wrong.collect()
}

fn commands(environment: &Document<EnvironmentSpec>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, command) in environment.spec.commands.iter().enumerate() {
        let path = within("commands", index);
        if !seen.insert(&command.name) {
            let message = format!("two commands are called `{}`", command.name);
            found.push(environment.text.error(&path.then("name"), message).help("rename one of them"));
        }
        if command.run.is_empty() {
            let message = format!("the command `{}` runs nothing", command.name);
            let help = "name the program and its first arguments: `[/usr/local/bin/restore, --latest]`";
            found.push(environment.text.error(&path.then("run"), message).help(help));
        }
    }
    found
}
