//! One request to a region's API server, and what came of it: done, refused, or nobody knows.
//!
//! Why not `kube::Api`: an effect names its object by data, and the third outcome is what undo depends on. A request that changes
//! something and has no answer may have been applied; only reading tells.

use http::{Method, Request};
use serde_json::{Value, json};

use crate::inventory::ask;
use crate::model::effect::{Ref, Resource};
use crate::model::event::Outcome;
use crate::model::time::Duration;

/// How long an API server has to answer.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    Done(Value),
    /// 404.
    Missing,
    /// Any other refusal: surely not applied.
    Refused {
        code: u16,
        message: String,
    },
    /// No answer, or one that says nothing about what happened.
    Unknown(String),
}

impl Reply {
    /// As the outcome of a change.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Reply::Done(_) => Outcome::Ok,
            Reply::Missing => Outcome::failed("there is no such object"),
            Reply::Refused { code, message } => Outcome::failed(format!("{message} ({code})")),
            Reply::Unknown(why) => Outcome::unknown(why),
        }
    }
}

/// How a body is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Json,
    MergePatch,
    JsonPatch,
}

/// Reads an object.
pub(super) async fn get(client: &kube::Client, at: &Ref) -> Reply {
    send(client, Method::GET, &at.path(), None).await
}

/// Creates an object.
pub(super) async fn create(client: &kube::Client, at: &Ref, object: &Value) -> Reply {
    let path = at.resource.path(at.namespace.as_ref().map(AsRef::as_ref));
    send(client, Method::POST, &path, Some((Body::Json, object))).await
}

/// Creates a subresource, such as an eviction.
pub(super) async fn create_sub(client: &kube::Client, at: &Ref, sub: &str, object: &Value) -> Reply {
    send(client, Method::POST, &format!("{}/{sub}", at.path()), Some((Body::Json, object))).await
}

/// Patches an object; `dry` stores nothing.
pub(super) async fn patch(client: &kube::Client, at: &Ref, body: Body, patch: &Value, dry: bool) -> Reply {
    let query = if dry { "?dryRun=All" } else { "" };
    send(client, Method::PATCH, &format!("{}{query}", at.path()), Some((body, patch))).await
}

/// Deletes an object, and no other of its name.
pub(super) async fn delete(client: &kube::Client, at: &Ref, uid: &str, grace: Option<Duration>) -> Reply {
    let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}});
    if let Some(grace) = grace {
        options["gracePeriodSeconds"] = json!(grace.as_secs());
    }
    send(client, Method::DELETE, &at.path(), Some((Body::Json, &options))).await
}

/// Every object of a kind in a namespace.
pub(super) async fn list(client: &kube::Client, resource: &Resource, namespace: &str) -> Reply {
    send(client, Method::GET, &resource.path(Some(namespace)), None).await
}

async fn send(client: &kube::Client, method: Method, path: &str, body: Option<(Body, &Value)>) -> Reply {
    let reads = method == Method::GET;
    let mut request = Request::builder().method(method).uri(path);
    let mut bytes = Vec::new();
    if let Some((kind, value)) = body {
        let kind = match kind {
            Body::Json => "application/json",
            Body::MergePatch => "application/merge-patch+json",
            Body::JsonPatch => "application/json-patch+json",
        };
        request = request.header(http::header::CONTENT_TYPE, kind);
        bytes = value.to_string().into_bytes();
    }
    let request = match request.body(bytes) {
        Ok(request) => request,
        Err(error) => return Reply::Refused { code: 0, message: format!("not a request: {error}") },
    };
    let answer = match ask(client, &request, ANSWERS_WITHIN.std()).await {
        Some(Ok(answer)) => answer,
        Some(Err(error)) => {
            return Reply::Unknown(format!("the API server did not say what it did: {error}"));
        }
        None => return Reply::Unknown(format!("the API server did not answer within {ANSWERS_WITHIN}")),
    };
    match (answer.status.as_u16(), serde_json::from_slice(&answer.body)) {
        (200..300, Ok(value)) => Reply::Done(value),
        (200..300, Err(error)) => {
            Reply::Unknown(format!("the API server did not say what it did: its answer is no JSON: {error}"))
        }
        (404, _) => Reply::Missing,
        // A server error may come from behind a change that was applied.
        (code, _) if code < 500 || reads => Reply::Refused { code, message: answer.message() },
        (code, _) => {
            Reply::Unknown(format!("the API server did not say what it did: {} ({code})", answer.message()))
        }
    }
}
