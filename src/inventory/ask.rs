//! One request to an API server; while the server is busy and says when to come again, the same request again.
//!
//! Not left to `kube::Client`, whose own retries hide from the journal how long something took, and repeat what may have been done
//! already. Every caller brings its own timeout.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use serde_json::Value;

/// The longest body that is read.
const LONGEST_BODY: usize = 64 << 20;

/// How long a busy server is waited for in all.
const BUSY_FOR: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Answer {
    /// The server's own words about a refusal.
    pub fn message(&self) -> String {
        let said = serde_json::from_slice::<Value>(&self.body).unwrap_or_default();
        let text = || String::from_utf8_lossy(&self.body).chars().take(200).collect();
        said["message"].as_str().map_or_else(text, str::to_owned)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error("its answer broke off, or is over {LONGEST_BODY} bytes: {0}")]
    Body(String),
}

/// Sends a request, again and again where its verb and the answer allow it, each try within a time.
///
/// # Errors
/// Where there is no answer; `None` where there is none in time.
pub async fn ask(
    client: &kube::Client,
    request: &Request<Vec<u8>>,
    each_within: Duration,
) -> Option<Result<Answer, NoAnswer>> {
    let mut left = BUSY_FOR;
    loop {
        let (answer, again) = match tokio::time::timeout(each_within, once(client, request)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => return Some(Err(error)),
            Err(_) => return None,
        };
        match again.and_then(|after| Some((after, left.checked_sub(after)?))) {
            Some((after, rest)) if repeats(request, answer.status) => {
                tokio::time::sleep(after).await;
                left = rest;
            }
            _ => return Some(Ok(answer)),
        }
    }
}

/// Whether a request may be sent again after an answer that says when: one that reads, always; one that changes something only where it was
/// surely not done (429, RFC 6585, section 4). An eviction's 429 is a disruption budget's word, which only its caller can judge.
fn repeats(request: &Request<Vec<u8>>, status: StatusCode) -> bool {
    let reads = request.method() == Method::GET;
    let evicts = request.uri().path().ends_with("/eviction");
    (status == StatusCode::TOO_MANY_REQUESTS && !evicts) || (status.is_server_error() && reads)
}

/// One try, and after how long the server wants another (RFC 9110, section 10.2.3, in seconds: API servers send no dates).
async fn once(
    client: &kube::Client,
    request: &Request<Vec<u8>>,
) -> Result<(Answer, Option<Duration>), NoAnswer> {
    let answer = client.send(request.clone().map(Body::from)).await?;
    let status = answer.status();
    let after = answer.headers().get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    let body = Limited::new(answer.into_body(), LONGEST_BODY).collect().await;
    let body = body.map_err(|error| NoAnswer::Body(error.to_string()))?.to_bytes();
    // A server that wants another try at once gets it after a moment.
    Ok((Answer { status, body }, after.map(|seconds: u64| Duration::from_secs(seconds.max(1)))))
}
