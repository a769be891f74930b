//! Ingresses: which Service an HTTP request goes to. Pure, fed with objects.
//!
//! Ingresses of one address are one controller's, and are merged by host as ingress-nginx merges them: the most specific host that matches decides
//! alone (exact, one label for the `*`, none), then the longest of its paths, an exact one before a prefix of the same length, then the oldest Ingress.
//! Where no path matches, the default backend of the oldest Ingress that speaks of the host and has one; of any Ingress, for hosts that nobody speaks
//! of. Sources: the Kubernetes documentation ("Path types", "Multiple matches", "Hostname wildcards") and the user guide of ingress-nginx.
//!
//! Made when an Ingress changes, so that a request only looks it up. Left out: what annotations ask for, and backends that are not Services, which
//! count as Services that there are not.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend};
use serde::Deserialize;
use serde_json::Value;

use super::index::Key;
use super::names::clean;

/// The port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    Number(u16),
    Name(String),
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    pub service: Key,
    pub port: Port,
}

/// The Ingresses of a region.
#[derive(Debug, Default)]
pub struct Ingresses {
    known: BTreeMap<Key, Ingress>,
    routers: BTreeMap<Ipv4Addr, Arc<Router>>,
}

impl Ingresses {
    /// Takes in an Ingress as it is now; whether that can have changed a route.
    pub fn apply(&mut self, key: Key, object: &Value) -> bool {
        let Ok(ingress) = Ingress::deserialize(object) else { return self.delete(&key) };
        let routed = |ingress: &Ingress| (ingress.spec.clone(), addresses(ingress));
        let same = self.known.get(&key).is_some_and(|known| routed(known) == routed(&ingress));
        self.known.insert(key, ingress);
        if !same {
            self.merge();
        }
        !same
    }

    /// Forgets an Ingress; whether there was one.
    pub fn delete(&mut self, key: &Key) -> bool {
        let was = self.known.remove(key).is_some();
        if was {
            self.merge();
        }
        was
    }

    /// Who routes at an address.
    pub fn router(&self, address: Ipv4Addr) -> Option<&Arc<Router>> {
        self.routers.get(&address)
    }

    /// The addresses at which somebody routes.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.routers.keys().copied()
    }

    fn merge(&mut self) {
        let mut oldest_first: Vec<&Ingress> = self.known.values().collect();
        // Stable: those of one second stay in the order of their names.
        oldest_first.sort_by_key(|ingress| ingress.metadata.creation_timestamp.clone());
        let mut routers: BTreeMap<Ipv4Addr, Router> = BTreeMap::new();
        for ingress in oldest_first {
            for address in addresses(ingress) {
                routers.entry(address).or_default().add(ingress);
            }
        }
        self.routers =
            routers.into_iter().map(|(address, router)| (address, Arc::new(router.sorted()))).collect();
    }
}

fn addresses(ingress: &Ingress) -> Vec<Ipv4Addr> {
    let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let points = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    points.filter_map(|point| point.ip.as_ref()?.parse().ok()).collect()
}

/// The rules of one controller.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Router {
    /// By host as it stands in a rule, `*.shop.example` too; the empty one stands for all others.
    hosts: BTreeMap<String, Host>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Host {
    /// The first that matches counts.
    paths: Vec<Path>,
    default: Option<Backend>,
}

#[derive(Debug, PartialEq, Eq)]
struct Path {
    path: String,
    exact: bool,
    backend: Backend,
}

impl Router {
    fn add(&mut self, ingress: &Ingress) {
        let Some(spec) = &ingress.spec else { return };
        let namespace = ingress.metadata.namespace.as_deref().unwrap_or_default();
        let default = spec.default_backend.as_ref().map(|backend| Backend::read(namespace, backend));
        for rule in spec.rules.iter().flatten() {
            let name = clean(rule.host.as_deref().unwrap_or_default()).into_owned();
            let host = self.hosts.entry(name).or_default();
            let paths = rule.http.iter().flat_map(|http| &http.paths);
            host.paths.extend(paths.map(|path| Path::read(namespace, path)));
            if host.default.is_none() {
                host.default.clone_from(&default);
            }
        }
        if let Some(default) = default {
            self.hosts.entry(String::new()).or_default().default.get_or_insert(default);
        }
    }

    fn sorted(mut self) -> Router {
        for host in self.hosts.values_mut() {
            host.paths.sort_by_key(|path| Reverse((path.path.len(), path.exact)));
        }
        self
    }

    /// Where a request goes; `None` where no rule matches. The host may have a port.
    pub fn backend(&self, host: &str, path: &str) -> Option<&Backend> {
        let host = self.host(&clean(host.split(':').next().unwrap_or_default()))?;
        let rule = host.paths.iter().find(|rule| rule.matches(path));
        rule.map(|rule| &rule.backend).or(host.default.as_ref())
    }

    fn host(&self, name: &str) -> Option<&Host> {
        let wildcard = || self.hosts.get(&format!("*.{}", name.split_once('.')?.1));
        self.hosts.get(name).or_else(wildcard).or_else(|| self.hosts.get(""))
    }
}

impl Path {
    fn read(namespace: &str, stated: &HTTPIngressPath) -> Path {
        let path = stated.path.as_deref().unwrap_or("/");
        let exact = stated.path_type == "Exact";
        // A prefix is of elements, so that a slash at its end says nothing.
        let path = if exact { path } else { path.trim_end_matches('/') };
        Path { path: path.to_owned(), exact, backend: Backend::read(namespace, &stated.backend) }
    }

    fn matches(&self, path: &str) -> bool {
        match path.strip_prefix(&self.path) {
            Some(rest) if self.exact => rest.is_empty(),
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl Backend {
    fn read(namespace: &str, stated: &IngressBackend) -> Backend {
        let service = stated.service.as_ref();
        let port = service.and_then(|service| service.port.as_ref());
        let number = port.and_then(|port| port.number).and_then(|number| u16::try_from(number).ok());
        let name = || port.and_then(|port| port.name.clone()).unwrap_or_default();
        let service = service.map(|service| service.name.clone()).unwrap_or_default();
        Backend {
            service: (namespace.to_owned(), service),
            port: number.filter(|number| *number > 0).map_or_else(|| Port::Name(name()), Port::Number),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 223, 254);

    /// An Ingress of a name, made in a minute, with an address.
    fn ingress(name: &str, minute: u8, spec: &Value) -> Value {
        json!({"metadata": {"namespace": "shop", "name": name, "creationTimestamp": format!("2026-01-01T00:{minute:02}:00Z")},
            "spec": spec, "status": {"loadBalancer": {"ingress": [{"ip": ADDRESS.to_string()}]}}})
    }

    fn service(name: &str) -> Value {
        json!({"service": {"name": name, "port": {"number": 80}}})
    }

    /// A rule of a host with paths `Prefix /foo service`.
    fn rule(host: &str, paths: &[&str]) -> Value {
        let path = |text: &&str| {
            let words: Vec<&str> = text.split(' ').collect();
            json!({"pathType": words[0], "path": words[1], "backend": service(words[2])})
        };
        let mut rule = json!({"http": {"paths": paths.iter().map(path).collect::<Vec<_>>()}});
        if !host.is_empty() {
            rule["host"] = json!(host);
        }
        rule
    }

    fn all(objects: &[Value]) -> Ingresses {
        let mut all = Ingresses::default();
        for object in objects {
            assert!(all.apply(super::super::index::key_of(object), object));
        }
        all
    }

    /// The name of the service that a URL goes to.
    fn goes<'a>(all: &'a Ingresses, url: &str) -> Option<&'a str> {
        let (host, path) = url.split_once('/').unwrap();
        let backend = all.router(ADDRESS)?.backend(host, &format!("/{path}"))?;
        Some(backend.service.1.as_str())
    }

    fn check(objects: &[Value], urls: &[(&str, Option<&str>)]) {
        let all = all(objects);
        for (url, service) in urls {
            assert_eq!(goes(&all, url), *service, "{url}");
        }
    }

    /// The table "Examples" of the Kubernetes documentation of Ingress, path types; a path that matches none goes nowhere.
    #[test]
    fn paths_match_as_the_documentation_says() {
        for (kind, path, asked, matches) in [
            ("Prefix", "/", "/any/path", true),
            ("Exact", "/foo", "/foo", true),
            ("Exact", "/foo", "/bar", false),
            ("Exact", "/foo", "/foo/", false),
            ("Exact", "/foo/", "/foo", false),
            ("Prefix", "/foo", "/foo", true),
            ("Prefix", "/foo", "/foo/", true),
            ("Prefix", "/foo/", "/foo", true),
            ("Prefix", "/foo/", "/foo/", true),
            ("Prefix", "/aaa/bb", "/aaa/bbb", false),
            ("Prefix", "/aaa/bbb", "/aaa/bbb", true),
            ("Prefix", "/aaa/bbb/", "/aaa/bbb", true),
            ("Prefix", "/aaa/bbb", "/aaa/bbb/", true),
            ("Prefix", "/aaa/bbb", "/aaa/bbb/ccc", true),
            ("Prefix", "/aaa/bbb", "/aaa/bbbxyz", false),
            ("ImplementationSpecific", "/aaa/bbb", "/aaa/bbb/ccc", true),
            ("ImplementationSpecific", "/aaa/bbb", "/aaa/bbbxyz", false),
            ("Prefix", "/foo", "/FOO", false),
        ] {
            let spec = json!({"rules": [rule("a.example", &[&format!("{kind} {path} web")])]});
            let goes_to = matches.then_some("web");
            check(&[ingress("a", 0, &spec)], &[(&format!("a.example{asked}"), goes_to)]);
        }
    }

    #[test]
    fn the_longest_path_counts_and_an_exact_one_before_a_prefix() {
        let paths = ["Prefix / root", "Prefix /api api", "Prefix /api/v2/ second", "Exact /api/v2 exactly"];
        let spec = json!({"rules": [rule("a.example", &paths)]});
        check(
            &[ingress("a", 0, &spec)],
            &[
                ("a.example/", Some("root")),
                ("a.example/apis", Some("root")),
                ("a.example/api", Some("api")),
                ("a.example/api/v3", Some("api")),
                ("a.example/api/v2", Some("exactly")),
                ("a.example/api/v2/", Some("second")),
                ("a.example/api/v2/orders", Some("second")),
            ],
        );
    }

    #[test]
    fn the_most_specific_host_decides_alone() {
        let rules = [
            rule("shop.example", &["Prefix /cart exact"]),
            rule("*.shop.example", &["Prefix / wildcard"]),
            rule("", &["Prefix / anybody"]),
        ];
        check(
            &[ingress("a", 0, &json!({ "rules": rules }))],
            &[
                ("shop.example/cart", Some("exact")),
                ("SHOP.example:8080/cart", Some("exact")),
                ("shop.example./cart", Some("exact")),
                ("shop.example/other", None),
                ("www.shop.example/", Some("wildcard")),
                ("a.www.shop.example/", Some("anybody")),
                ("other.example/", Some("anybody")),
                ("10.1.223.254/", Some("anybody")),
            ],
        );
        let only_exact = json!({"rules": [rule("shop.example", &["Prefix / exact"])]});
        check(&[ingress("a", 0, &only_exact)], &[("other.example/", None), ("www.shop.example/", None)]);
    }

    #[test]
    fn what_no_rule_matches_goes_to_the_default_backend() {
        let shop = json!({"defaultBackend": service("sorry"), "rules": [rule("shop.example", &["Prefix /cart cart"])]});
        let empty = json!({"defaultBackend": service("park"), "rules": [{"host": "parked.example"}]});
        let other = json!({"rules": [rule("other.example", &["Exact /only other"])]});
        check(
            &[ingress("a", 1, &shop), ingress("b", 2, &empty), ingress("c", 0, &other)],
            &[
                ("shop.example/cart", Some("cart")),
                ("shop.example/else", Some("sorry")),
                ("parked.example/", Some("park")),
                ("nobody.example/", Some("sorry")),
                ("other.example/else", None),
            ],
        );
    }

    #[test]
    fn ingresses_of_one_address_are_merged_and_the_oldest_wins() {
        let spec = |service: &str, path: &str| json!({"rules": [rule("shop.example", &[&format!("Prefix {path} {service}")])]});
        let mut elsewhere = ingress("d", 0, &spec("elsewhere", "/"));
        elsewhere["status"]["loadBalancer"]["ingress"][0]["ip"] = json!("10.1.223.253");
        let mut unserved = ingress("e", 0, &spec("unserved", "/"));
        unserved["status"] = json!({"loadBalancer": {}});
        let (young, old) = (ingress("a", 2, &spec("young", "/")), ingress("b", 1, &spec("old", "/")));
        let objects = [young, old, ingress("c", 3, &spec("api", "/api")), elsewhere, unserved];
        check(&objects, &[("shop.example/", Some("old")), ("shop.example/api", Some("api"))]);
        let mut all = all(&objects);
        assert_eq!(all.addresses().count(), 2);
        assert!(!all.apply(("shop".into(), "b".into()), &objects[1]), "nothing changed");
        assert!(all.delete(&("shop".into(), "b".into())));
        assert_eq!(goes(&all, "shop.example/"), Some("young"));
        for name in ["a", "c"] {
            all.delete(&("shop".into(), name.into()));
        }
        assert_eq!(goes(&all, "shop.example/"), None, "the address went with its last Ingress");
    }

    #[test]
    fn a_backend_is_a_port_of_a_service_of_the_same_namespace() {
        for (backend, name, port) in [
            (service("web"), "web", Port::Number(80)),
            (json!({"service": {"name": "web", "port": {"name": "http"}}}), "web", Port::Name("http".into())),
            (json!({"resource": {"kind": "Bucket", "name": "b"}}), "", Port::Name(String::new())),
        ] {
            let all = all(&[ingress("a", 0, &json!({ "defaultBackend": backend }))]);
            let found = all.router(ADDRESS).unwrap().backend("x.example", "/").unwrap();
            assert_eq!(*found, Backend { service: ("shop".into(), name.into()), port });
        }
    }
}
