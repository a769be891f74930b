//! The fault `egressDeny`.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Fault, policy};
use crate::model::dns;
use crate::model::effect::{Act, Ref, Resource};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Labels;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: lose-the-payment-provider
fault:
  egressDeny:
    namespace: shop
    selector: {app: checkout}
    to: {host: api.payments.example}
proof: {probe: checkout, failsWithin: 30s}
"#;

/// Cuts pods off from a third party: they reach everything but its addresses.
///
/// Cannot: follow a host whose addresses change during the drill, since they are looked up once, when the step starts. Where
/// another policy allows the address, policies add up and the pods still reach it. Needs a network plugin that enforces policies.
///
/// Effects: creates a NetworkPolicy on the selected pods that allows all egress except to the addresses.
///
/// Undo: removes the policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressDeny {
    /// Where the pods are.
    pub namespace: Name,
    /// Their labels.
    pub selector: Labels,
    /// Whom they lose.
    pub to: ThirdParty,
}

/// A third party, as the pods reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ThirdParty {
    /// At this address.
    Address(IpAddr),
    /// At every address of this host, as its name server gives them when the step starts.
    Host(String),
}

impl ThirdParty {
    fn addresses(&self, facts: &Facts) -> Result<Vec<IpAddr>, Refusal> {
        let mut all = match self {
            ThirdParty::Address(address) => vec![*address],
            ThirdParty::Host(host) => facts.addresses(host)?.to_vec(),
        };
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }
}

/// All addresses of one family but these.
fn everything_but(network: &str, addresses: &[IpAddr], mine: fn(&IpAddr) -> bool, bits: u8) -> Value {
    let except: Vec<String> =
        addresses.iter().filter(|address| mine(address)).map(|address| format!("{address}/{bits}")).collect();
    if except.is_empty() {
        return json!({"ipBlock": {"cidr": network}});
    }
    json!({"ipBlock": {"cidr": network, "except": except}})
}

impl Fault for EgressDeny {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        let pods = Read::in_namespace(scene.region, Resource::pods(), &self.namespace);
        let mut reads = vec![pods, policy::reads(scene, &self.namespace)];
        if let ThirdParty::Host(host) = &self.to {
            reads.extend(dns::watches(host));
        }
        reads
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        scene.may_touch(&self.namespace)?;
        let pods = facts.objects(scene.region, &Resource::pods(), Some(&self.namespace))?;
        if !pods.values().any(|pod| self.selector.match_object(pod)) {
            return Err(Refusal::NoTarget(format!(
                "{} has no pods with the labels {} in {}{}",
                scene.region,
                self.selector,
                self.namespace,
                self.selector.instead(pods.values())
            )));
        }
        let lost = self.to.addresses(facts)?;
        if lost.is_empty() {
            return Err(Refusal::NoTarget("the third party has no address".to_owned()));
        }
        let peers = [
            everything_but("0.0.0.0/0", &lost, IpAddr::is_ipv4, 32),
            everything_but("::/0", &lost, IpAddr::is_ipv6, 128),
        ];
        let spec = json!({
            "podSelector": {"matchLabels": self.selector},
            "policyTypes": ["Egress"],
            "egress": [{"to": peers}],
        });
        Ok(vec![policy::create(scene, facts, &self.namespace, spec)?])
    }

    /// The pods that lose the third party.
    fn hits(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Ref>, Refusal> {
        let pods = facts.objects(scene.region, &Resource::pods(), Some(&self.namespace))?;
        let ours = pods.iter().filter(|(_, pod)| self.selector.match_object(pod));
        let at = |name: &Name| {
            Ref::new(scene.region, Resource::pods(), Some(self.namespace.as_str()), name.as_str())
        };
        Ok(ours.map(|((_, name), _)| at(name)).collect())
    }

    fn in_effect(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        let denies = |spec: &Value| {
            let allows_all = |rule: &Value| rule["to"].as_array().is_none_or(Vec::is_empty);
            spec["podSelector"]["matchLabels"] == json!(self.selector)
                && policy::is_about(spec, "Egress")
                && !policy::rules(spec, "egress").iter().any(allows_all)
        };
        policy::stands(scene, facts, &self.namespace, denies)
    }

    /// Only the way out is closed.
    fn cuts_off(&self, _pod: &Ref) -> bool {
        false
    }
}
