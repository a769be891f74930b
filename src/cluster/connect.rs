//! A region's client, and who its cluster really is.
//!
//! All of kubeconfig's ways in are kube's own: client certificates, tokens, exec plugins, a pod's account. Nothing is retried
//! behind the engine's back. Every error names the region and what to do.

use std::path::Path;
use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;

use super::environment::ClusterSpec;
use crate::model::name::{Name, Region, Uid};
use crate::model::url::BadUrl;

/// How long a cluster has to say who it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a TCP and TLS connection may take.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);

/// The longest answer that is read to find out who answers.
const LONGEST_ANSWER: usize = 1 << 20;

/// Why an environment's clusters cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("region {region}: the kubeconfig cannot be used: {why}")]
    Config { region: Region, why: String },
    #[error(
        "region {region}: no answer from its API server: {why}: check the context's server and the way to it, or see `drillmaster env check`"
    )]
    Unreachable { region: Region, why: String },
    #[error("region {region}: what answers is no Kubernetes API server: {why}")]
    NoApiServer { region: Region, why: String },
    #[error("region {region}: the API server refused to say who it is: {why}")]
    Refused { region: Region, why: String },
    #[error(
        "region {region} is another cluster than the environment says: its identity is {found}, not {expected}; if that is right, write it into the environment"
    )]
    Identity { region: Region, expected: Uid, found: Uid },
    #[error("regions {one} and {other} are the same cluster, {identity}: a drill would fail over to itself")]
    Same { one: Region, other: Region, identity: Uid },
    #[error("the drill touches the namespace {namespace}, which the environment does not allow in {region}")]
    Scope { region: Region, namespace: Name },
    #[error("the alert source: {0}")]
    Alerts(#[from] BadUrl),
    #[error("names cannot be resolved here: {0}")]
    Names(String),
}

/// A region that answered, and is the cluster that it should be.
pub struct Connected {
    pub client: Client,
    pub identity: Uid,
    /// The API server's own version: `v1.37.2`.
    pub version: String,
    /// The `Date` of the API server's answer, to the second (RFC 9110, section 6.6.1); `None` where it says none.
    pub date: Option<String>,
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connected").field("identity", &self.identity).field("version", &self.version).finish()
    }
}

/// Connects to a region, and refuses any other cluster than the one that is expected.
///
/// # Errors
/// Each way in which that can fail, within its time.
pub async fn connect(spec: &ClusterSpec, folder: &Path) -> Result<Connected, ClusterError> {
    let connected = greet(&spec.name, spec.kubeconfig.as_deref(), spec.context.as_deref(), folder).await?;
    if connected.identity != spec.identity {
        return Err(ClusterError::Identity {
            region: spec.name.clone(),
            expected: spec.identity.clone(),
            found: connected.identity,
        });
    }
    Ok(connected)
}

/// Connects to a context, and asks who is there.
///
/// # Errors
/// As [`connect`], but for the identity.
pub async fn greet(
    region: &Region,
    kubeconfig: Option<&str>,
    context: Option<&str>,
    folder: &Path,
) -> Result<Connected, ClusterError> {
    let client = client(region, kubeconfig, context, folder).await?;
    let asked = async {
        let (version, _) = ask(region, &client, "/version").await?;
        let (space, date) = ask(region, &client, "/api/v1/namespaces/kube-system").await?;
        let of = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let missing = |what: &str| ClusterError::NoApiServer {
            region: region.clone(),
            why: format!("its answer has no {what}"),
        };
        let identity = of(&space, "/metadata/uid").ok_or_else(|| missing("metadata.uid"))?;
        let version = of(&version, "/gitVersion").ok_or_else(|| missing("gitVersion"))?;
        Ok(Connected { client: client.clone(), identity: identity.into(), version, date })
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(asked) => asked,
        Err(_) => Err(ClusterError::Unreachable {
            region: region.clone(),
            why: format!("nothing within {} s", PATIENCE.as_secs()),
        }),
    }
}

/// A client for a context.
async fn client(
    region: &Region,
    kubeconfig: Option<&str>,
    context: Option<&str>,
    folder: &Path,
) -> Result<Client, ClusterError> {
    let wrong =
        |why: &dyn std::error::Error| ClusterError::Config { region: region.clone(), why: chain(why) };
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let mut config = match kubeconfig {
        Some(path) => {
            let read = Kubeconfig::read_from(folder.join(path)).map_err(|why| wrong(&why))?;
            Config::from_custom_kubeconfig(read, &options).await.map_err(|why| wrong(&why))?
        }
        None if context.is_some() => Config::from_kubeconfig(&options).await.map_err(|why| wrong(&why))?,
        None => Config::infer().await.map_err(|why| wrong(&why))?,
    };
    config.connect_timeout = Some(CONNECTS_WITHIN);
    config.default_retry = false;
    Client::try_from(config).map_err(|why| wrong(&why))
}

/// Asks for a path; the answer as JSON, and the server's `Date`.
async fn ask(region: &Region, client: &Client, path: &str) -> Result<(Value, Option<String>), ClusterError> {
    let region = || region.clone();
    let unreachable =
        |why: &dyn std::error::Error| ClusterError::Unreachable { region: region(), why: chain(why) };
    let request = Request::get(path).body(Body::empty()).map_err(|why| unreachable(&why))?;
    let answer = client.send(request).await.map_err(|why| unreachable(&why))?;
    let status = answer.status();
    let date = answer.headers().get(header::DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
    let body = body.map_err(|why| ClusterError::Unreachable { region: region(), why: why.to_string() })?;
    let read: Result<Value, _> = serde_json::from_slice(&body.to_bytes());
    let Ok(value) = read else {
        let why = format!("{path} was answered with {status} and no JSON");
        return Err(ClusterError::NoApiServer { region: region(), why });
    };
    if status.is_success() {
        return Ok((value, date));
    }
    let said = value["message"].as_str().unwrap_or("without a reason");
    let help = match status {
        StatusCode::UNAUTHORIZED => ": the credentials of the context are not valid (any more)",
        StatusCode::FORBIDDEN => ": allow `get` on the namespace kube-system",
        _ => "",
    };
    Err(ClusterError::Refused { region: region(), why: format!("{status}: {said}{help}") })
}

/// An error with all its causes; each one once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            said.push_str(": ");
            said.push_str(&text);
        }
        cause = error.source();
    }
    said
}
