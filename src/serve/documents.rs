//! The files with which served regions are used: a kubeconfig, and an Environment.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::tls::Authority;
use super::{Addresses, KUBECONFIG, ServeError};
use crate::document::API_VERSION;
use crate::model::effect::Resource;
use crate::sandbox::store::Key;
use crate::sandbox::{Sandbox, SandboxSpec};

/// A kubeconfig with a context for each region, named like it; the first is the current one.
pub fn kubeconfig(addresses: &Addresses, authority: &Authority) -> Value {
    let (certificate, key) = authority.admin();
    let data = |pem: String| json!(ByteString(pem.into_bytes()));
    let clusters: Vec<Value> = addresses
        .regions
        .iter()
        .map(|(name, address)| {
            json!({"name": name, "cluster": {
                "server": format!("https://{address}"), "certificate-authority-data": data(authority.certificate.clone()),
            }})
        })
        .collect();
    let contexts: Vec<Value> = addresses
        .regions
        .keys()
        .map(|name| json!({"name": name, "context": {"cluster": name, "user": "sandbox-admin"}}))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": addresses.regions.keys().next(),
        "clusters": clusters, "contexts": contexts,
        "users": [{"name": "sandbox-admin", "user": {
            "client-certificate-data": data(certificate), "client-key-data": data(key),
        }}],
    })
}

/// The Environment of the served regions.
pub fn environment(
    sandbox: &Sandbox,
    spec: &SandboxSpec,
    addresses: &Addresses,
    namespaces: &[String],
) -> Value {
    let regions: Vec<Value> = sandbox
        .regions()
        .map(|(name, state)| {
            let key = Key::new(&Resource::namespaces(), None, "kube-system");
            let uid = state.read(|store| {
                store.get(&key).and_then(|space| space["metadata"]["uid"].as_str().map(str::to_owned))
            });
            let range = spec.regions.iter().find(|region| region.name == *name);
            json!({
                "name": name, "class": "development", "kubeconfig": KUBECONFIG, "context": name,
                "identity": uid, "namespaces": namespaces,
                "addresses": range.map(|region| region.addresses.to_string()).into_iter().collect::<Vec<_>>(),
            })
        })
        .collect();
    let vantages: Vec<Value> = addresses
        .vantages
        .iter()
        .map(|(name, (proxy, dns))| json!({"name": name, "proxy": proxy, "dns": dns}))
        .collect();
    let mut environment = json!({"regions": regions, "vantages": vantages});
    if let Some(authority) = addresses.authority {
        environment["authority"] = json!(authority);
    }
    if let Some(alerts) = addresses.alerts {
        environment["alerts"] = json!({"alertmanager": format!("http://{alerts}")});
    }
    json!({
        "apiVersion": API_VERSION, "kind": "Environment", "metadata": {"name": "sandbox"}, "spec": environment,
    })
}

/// Writes a document that only its owner may read: it holds a key. JSON is YAML.
pub fn write(folder: &Path, document: &Value, name: &str) -> Result<(), ServeError> {
    let path = folder.join(name);
    let put = || {
        fs::create_dir_all(folder)?;
        // One of an earlier start, with its own mode, goes first.
        let _ = fs::remove_file(&path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(format!("{document:#}\n").as_bytes())
    };
    put().map_err(|why| ServeError::Write { path: path.clone(), why })
}
