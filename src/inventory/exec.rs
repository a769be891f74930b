//! A command in a container, through the Kubernetes API: what it printed, and how it ended.
//!
//! Works while network policies isolate the pod, since it comes by way of the API server and the kubelet.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::said;
use crate::model::effect::Ref;
use crate::model::name::Name;

/// More than this no status prints.
const MOST_OUTPUT: u64 = 1 << 20;

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    /// The exit status.
    pub code: i32,
}

/// Why nobody knows what came of a command.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    #[error("the API server would not run it: {}", said(.0))]
    Refused(#[from] kube::Error),
    #[error("its output could not be read: {0}")]
    Output(#[from] std::io::Error),
    #[error("its output is over a megabyte")]
    TooLong,
    #[error("it ended without a status")]
    NoStatus,
}

/// Runs a command in a pod's container, and waits for its end; every caller brings its own timeout.
///
/// # Errors
/// Where it cannot be run, or its end is not known.
pub async fn exec(
    client: &kube::Client,
    at: &Ref,
    container: Option<&Name>,
    argv: &[String],
) -> Result<Ran, ExecError> {
    let namespace = at.namespace.as_ref().map_or("default", Name::as_str);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = AttachParams { container: container.map(ToString::to_string), ..AttachParams::default() };
    let mut attached = pods.exec(at.name.as_str(), argv, &params.stderr(true)).await?;
    let status = attached.take_status();
    let (stdout, stderr) = (attached.stdout(), attached.stderr());
    let (stdout, stderr) = futures::join!(all_of(stdout), all_of(stderr));
    let (stdout, stderr) = (stdout?, stderr?);
    let status = match status {
        Some(status) => status.await.ok_or(ExecError::NoStatus)?,
        None => return Err(ExecError::NoStatus),
    };
    let code = match status.status.as_deref() {
        Some("Success") => 0,
        _ => exit_code(&status).ok_or(ExecError::NoStatus)?,
    };
    Ok(Ran { stdout, stderr, code })
}

/// The exit code in the status of an exec, where the command ended with one.
fn exit_code(status: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Status) -> Option<i32> {
    let causes = status.details.as_ref()?.causes.as_ref()?;
    causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"))?.message.as_ref()?.parse().ok()
}

async fn all_of(stream: Option<impl AsyncRead + Unpin>) -> Result<String, ExecError> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(MOST_OUTPUT + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() as u64 > MOST_OUTPUT {
        return Err(ExecError::TooLong);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
