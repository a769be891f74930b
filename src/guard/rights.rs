//! Rights: what an API server must allow, so that a drill can run and be undone.
//!
//! A right is read off a request, so that what is asked for is what is sent: `cli` notes the requests of a rehearsal, and adds what
//! undoing its effects may send. (Verbs and subresources: Kubernetes' documentation, "Authorization Overview" and "Using RBAC Authorization".)

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::model::effect::{Act, Ref, Undo};
use crate::model::name::Name;

/// The subresources that take a connection over.
const UPGRADES: [&str; 2] = ["/exec", "/portforward"];

/// One right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// `None` where the resource has no namespace.
    pub namespace: Option<Name>,
    /// Empty for the core group.
    pub group: String,
    /// With its subresource: `pods/exec`.
    pub resource: String,
    pub verb: &'static str,
}

impl std::fmt::Display for Right {
    /// `patch deployments.apps in shop`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dot = if self.group.is_empty() { "" } else { "." };
        write!(f, "{} {}{dot}{}", self.verb, self.resource, self.group)?;
        self.namespace.as_ref().map_or(Ok(()), |namespace| write!(f, " in {namespace}"))
    }
}

impl Right {
    /// The rights that a request needs; none where it asks for no resource.
    pub fn of_request(method: &str, path: &str, query: &str) -> Vec<Right> {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = match segments.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return Vec::new(),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(Name::from(*namespace)), rest),
            rest => (None, rest),
        };
        let (resource, named) = match rest {
            [plural] => ((*plural).to_owned(), false),
            [plural, _] => ((*plural).to_owned(), true),
            [plural, _, sub, ..] => (format!("{plural}/{sub}"), true),
            [] => return Vec::new(),
        };
        let verbs: &[&'static str] = match (method, named) {
            // These are a GET that upgrades; newer servers ask for `create` as well.
            ("GET" | "POST", true) if UPGRADES.iter().any(|sub| resource.ends_with(sub)) => {
                &["get", "create"]
            }
            ("GET", true) => &["get"],
            ("GET", false) if query.contains("watch=true") => &["watch"],
            ("GET", false) => &["list"],
            ("POST", _) => &["create"],
            ("PUT", _) => &["update"],
            ("PATCH", _) => &["patch"],
            ("DELETE", true) => &["delete"],
            ("DELETE", false) => &["deletecollection"],
            _ => &[],
        };
        let right = |verb| Right {
            namespace: namespace.clone(),
            group: group.to_owned(),
            resource: resource.clone(),
            verb,
        };
        verbs.iter().copied().map(right).collect()
    }

    fn on(at: &Ref, sub: &str, verb: &'static str) -> Right {
        Right {
            namespace: at.namespace.clone(),
            group: at.resource.group.to_string(),
            resource: format!("{}{sub}", at.resource.plural),
            verb,
        }
    }

    /// The rights that undoing may need, and finding out what came of an effect whose answer was lost.
    pub fn of_undo(act: &Act, undo: &Undo) -> Vec<Right> {
        let looked = act.at().map(|at| Right::on(at, "", "get"));
        let undone = match undo {
            Undo::Nothing { .. } | Undo::Irreversible => Vec::new(),
            Undo::Restore { at, .. } => vec![Right::on(at, "", "get"), Right::on(at, "", "patch")],
            Undo::Remove { at, .. } => vec![Right::on(at, "", "get"), Right::on(at, "", "delete")],
            Undo::PutBack { at, .. } => vec![Right::on(at, "", "get"), Right::on(at, "", "create")],
            Undo::Reverse { exec, .. } => {
                vec![Right::on(&exec.at, "/exec", "get"), Right::on(&exec.at, "/exec", "create")]
            }
            Undo::Act(act) => act.at().map(|at| Right::on(at, "/exec", "create")).into_iter().collect(),
        };
        looked.into_iter().chain(undone).collect()
    }

    /// The review that asks an API server whether it gives this right.
    pub fn review(&self) -> Value {
        let (resource, sub) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "verb": self.verb, "group": self.group, "resource": resource, "subresource": sub,
                "namespace": self.namespace.as_ref().map_or("", Name::as_str),
            }},
        })
    }
}

/// Verbs by group and resource.
type Rules<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a str>>;

/// The Role for each namespace and the ClusterRole for the rest that hold these rights, and no more.
pub fn roles(name: &str, rights: &BTreeSet<Right>) -> Vec<Value> {
    let mut by_place: BTreeMap<Option<&Name>, Rules<'_>> = BTreeMap::new();
    for right in rights {
        let rules = by_place.entry(right.namespace.as_ref()).or_default();
        rules.entry((&right.group, &right.resource)).or_default().push(right.verb);
    }
    let role = |(namespace, rules): (Option<&Name>, Rules<'_>)| {
        let rule = |((group, resource), verbs): ((&str, &str), Vec<&str>)| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
        let mut role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": if namespace.is_some() { "Role" } else { "ClusterRole" },
            "metadata": {"name": format!("drillmaster-{name}")},
            "rules": rules.into_iter().map(rule).collect::<Vec<_>>(),
        });
        if let Some(namespace) = namespace {
            role["metadata"]["namespace"] = json!(namespace);
        }
        role
    };
    by_place.into_iter().map(role).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::effect::Resource;

    fn said(method: &str, path: &str, query: &str) -> Vec<String> {
        Right::of_request(method, path, query).iter().map(Right::to_string).collect()
    }

    #[test]
    fn a_request_tells_its_rights() {
        for (method, path, query, rights) in [
            ("GET", "/api/v1/namespaces/shop/pods", "limit=500", &["list pods in shop"][..]),
            ("GET", "/api/v1/namespaces/shop/pods", "watch=true", &["watch pods in shop"]),
            ("GET", "/api/v1/nodes", "", &["list nodes"]),
            ("PATCH", "/api/v1/nodes/a", "", &["patch nodes"]),
            ("GET", "/api/v1/namespaces/kube-system", "", &["get namespaces"]),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/shop/deployments/web",
                "",
                &["patch deployments.apps in shop"],
            ),
            (
                "DELETE",
                "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/x",
                "",
                &["delete networkpolicies.networking.k8s.io in shop"],
            ),
            ("POST", "/api/v1/namespaces/shop/pods/p/eviction", "", &["create pods/eviction in shop"]),
            (
                "GET",
                "/api/v1/namespaces/shop/pods/p/exec",
                "command=a",
                &["get pods/exec in shop", "create pods/exec in shop"],
            ),
            ("GET", "/version", "", &[]),
        ] {
            assert_eq!(said(method, path, query), rights, "{method} {path}");
        }
    }

    #[test]
    fn undoing_needs_what_takes_the_effect_back() {
        let at = Ref::new(&"east".into(), Resource::config_maps(), Some("shop"), "settings");
        let act = Act::Create { at: at.clone(), object: json!({}) };
        let rights = Right::of_undo(&act, &Undo::Remove { at, run: "r".into(), uid: None });
        let said: BTreeSet<String> = rights.iter().map(Right::to_string).collect();
        assert_eq!(said, ["delete configmaps in shop", "get configmaps in shop"].map(String::from).into());
    }

    #[test]
    fn roles_hold_each_right_once_at_its_place() {
        let rights = [
            Right::of_request("GET", "/api/v1/namespaces/shop/pods", ""),
            Right::of_request("GET", "/api/v1/namespaces/shop/pods/p", ""),
            Right::of_request("PATCH", "/api/v1/nodes/a", ""),
        ];
        let roles = roles("d", &rights.into_iter().flatten().collect());
        assert_eq!(roles.len(), 2);
        assert_eq!(roles[0]["kind"], "ClusterRole");
        assert_eq!(
            roles[0]["rules"],
            json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]}])
        );
        assert_eq!(roles[1]["metadata"], json!({"name": "drillmaster-d", "namespace": "shop"}));
        assert_eq!(
            roles[1]["rules"],
            json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}])
        );
    }

    #[test]
    fn a_review_asks_for_the_right_and_nothing_else() {
        let right = Right::of_request("POST", "/api/v1/namespaces/shop/pods/p/eviction", "").remove(0);
        let asked = right.review()["spec"]["resourceAttributes"].clone();
        let wanted = json!({"verb": "create", "group": "", "resource": "pods", "subresource": "eviction", "namespace": "shop"});
        assert_eq!(asked, wanted);
    }
}
