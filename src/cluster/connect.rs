//! A region's client, and who its cluster really is.
//!
//! All of kubeconfig's ways in are kube's own: client certificates, tokens, exec plugins, a pod's account. Nothing is retried
//! behind the engine's back. Every error names the region and what to do. A region's client lives on a thread of its own, since
//! kube waits for a credential plugin without giving way, at the start and whenever a token is over: it would hold up every probe.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use kube::client::{AuthError, Body};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::clock::wall;
use super::environment::ClusterSpec;
use super::offset::{Offset, TOLERANCE};
use crate::model::name::{Name, Region, Uid};
use crate::model::url::BadUrl;

/// How long a cluster has to say who it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a credential plugin has for its first answer.
const LOGS_IN_WITHIN: Duration = Duration::from_secs(15);

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
    #[error(
        "region {region}: its clock is off by {offset} from this machine's, and may be by {TOLERANCE}: have both follow a time server (NTP)"
    )]
    Clock { region: Region, offset: Offset },
    #[error("the drill touches the namespace {namespace}, which the environment does not allow in {region}")]
    Scope { region: Region, namespace: Name },
    #[error("the alert source: {0}")]
    Alerts(#[from] BadUrl),
    #[error("the certificate authority {file} cannot be used: {why}")]
    Authority { file: String, why: String },
    #[error("TLS cannot be spoken here: {0}")]
    Tls(String),
    #[error("names cannot be resolved here: {0}")]
    Names(String),
}

/// A region that answered, and is the cluster that it should be.
pub struct Connected {
    pub client: Client,
    pub identity: Uid,
    /// The API server's own version: `v1.37.2`.
    pub version: String,
    /// How far its clock is from this machine's; `None` where it does not date its answers.
    pub offset: Option<Offset>,
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
        let (space, offset) = ask(region, &client, "/api/v1/namespaces/kube-system").await?;
        let of = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let missing = |what: &str| ClusterError::NoApiServer {
            region: region.clone(),
            why: format!("its answer has no {what}"),
        };
        let identity = of(&space, "/metadata/uid").ok_or_else(|| missing("metadata.uid"))?;
        let version = of(&version, "/gitVersion").ok_or_else(|| missing("gitVersion"))?;
        Ok(Connected { client: client.clone(), identity: identity.into(), version, offset })
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
    // kube takes one without a scheme, and panics by it.
    if config.cluster_url.scheme().is_none() {
        let why = format!("its server `{0}` is no URL: write it like `https://{0}`", config.cluster_url);
        return Err(ClusterError::Config { region: region.clone(), why });
    }
    config.connect_timeout = Some(CONNECTS_WITHIN);
    config.default_retry = false;
    let namespace = config.default_namespace.clone();
    let (home, alive) = thread_of_its_own(region).map_err(|why| wrong(&why))?;
    let made = home.spawn(async move { Client::try_from(config) });
    let inner = match tokio::time::timeout(LOGS_IN_WITHIN, made).await {
        Ok(Ok(Ok(inner))) => inner,
        Ok(Ok(Err(why))) => return Err(wrong(without_secrets(why).as_ref())),
        Ok(Err(why)) => return Err(wrong(&why)),
        Err(_) => {
            let why = format!(
                "its credential plugin did not end within {} s: log in with kubectl first",
                LOGS_IN_WITHIN.as_secs()
            );
            return Err(ClusterError::Config { region: region.clone(), why });
        }
    };
    let alive = Arc::new(alive);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, home, alive) = (inner.clone(), home.clone(), Arc::clone(&alive));
        async move {
            // A set, so that whoever gives up the answer gives up the request.
            let mut sent = JoinSet::new();
            sent.spawn_on(async move { inner.send(request).await }, &home);
            let answer = sent.join_next().await.ok_or("the request was given up")?;
            drop(alive);
            answer?.map_err(without_secrets)
        }
    });
    Ok(Client::new(service, namespace))
}

/// A runtime on a thread that ends with what comes beside it.
fn thread_of_its_own(region: &Region) -> std::io::Result<(Handle, oneshot::Sender<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (handle, (alive, ended)) = (runtime.handle().clone(), oneshot::channel());
    let lives = move || runtime.block_on(async { drop(ended.await) });
    std::thread::Builder::new().name(format!("region {region}")).spawn(lives)?;
    Ok((handle, alive))
}

/// Why there is no client or no answer, without what a credential plugin printed for kube.
fn without_secrets(error: kube::Error) -> tower::BoxError {
    let login = match &error {
        kube::Error::Auth(login) => Some(login),
        kube::Error::Service(cause) => cause.downcast_ref(),
        _ => None,
    };
    match login {
        Some(AuthError::AuthExecRun { out, .. }) => {
            let said: String = String::from_utf8_lossy(&out.stderr).trim().chars().take(200).collect();
            format!("its credential plugin ended with {}: {said}", out.status).into()
        }
        Some(AuthError::AuthExecParse(_)) => "its credential plugin printed no ExecCredential".into(),
        _ => error.into(),
    }
}

/// Asks for a path; the answer as JSON, and what its date tells of the server's clock.
async fn ask(region: &Region, client: &Client, path: &str) -> Result<(Value, Option<Offset>), ClusterError> {
    let region = || region.clone();
    let unreachable =
        |why: &dyn std::error::Error| ClusterError::Unreachable { region: region(), why: chain(why) };
    let request = Request::get(path).body(Body::empty()).map_err(|why| unreachable(&why))?;
    let sent = wall();
    let answer = client.send(request).await.map_err(|why| unreachable(&why))?;
    let received = wall();
    let status = answer.status();
    let date = answer.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    let offset = date.and_then(|date| Offset::told(date, sent, received));
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
    let body = body.map_err(|why| ClusterError::Unreachable { region: region(), why: why.to_string() })?;
    let read: Result<Value, _> = serde_json::from_slice(&body.to_bytes());
    let Ok(value) = read else {
        let why = format!("{path} was answered with {status} and no JSON");
        return Err(ClusterError::NoApiServer { region: region(), why });
    };
    if status.is_success() {
        return Ok((value, offset));
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
pub(super) fn chain(error: &dyn std::error::Error) -> String {
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
