//! The API as HTTP, for behaviours of the API server itself: a verb, a path, a JSON body, and the answer with its code.
//!
//! A path like `deployments/web/scale?dryRun=All` stands in the behaviour's namespace; one that begins with a slash is taken as it is.

use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// The media types of patches.
pub const JSON: &str = "application/json-patch+json";
pub const MERGE: &str = "application/merge-patch+json";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The body of an answer that went well.
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.code), "{}: {}", self.code, self.body);
        self.body
    }

    /// The `Status` of a refusal with this code and reason.
    pub fn refused(self, code: u16, reason: &str) -> Value {
        assert_eq!((self.code, self.body["reason"].as_str()), (code, Some(reason)), "{}", self.body);
        assert_eq!((&self.body["kind"], &self.body["status"]), (&json!("Status"), &json!("Failure")));
        self.body
    }

    /// Refused as invalid because of this field, and why.
    pub fn invalid(self, reason: &str, field: &str) {
        let status = self.refused(422, "Invalid");
        let causes = status["details"]["causes"].as_array().cloned().unwrap_or_default();
        let named = causes.iter().any(|cause| cause["reason"] == reason && cause["field"] == field);
        assert!(named, "no {reason} of {field}: {status}");
    }
}

impl Cluster {
    /// The full path of a path in the behaviour's namespace.
    pub fn path(&self, path: &str) -> String {
        if path.starts_with('/') {
            return path.to_owned();
        }
        let group = match path.split(['/', '?']).next().unwrap_or_default() {
            "deployments" | "replicasets" | "statefulsets" | "daemonsets" => "apis/apps/v1",
            "jobs" => "apis/batch/v1",
            "poddisruptionbudgets" => "apis/policy/v1",
            "networkpolicies" | "ingresses" => "apis/networking.k8s.io/v1",
            _ => "api/v1",
        };
        format!("/{group}/namespaces/{}/{path}", self.namespace)
    }

    /// Sends a request as it is.
    pub async fn ask(&self, verb: &str, path: &str, header: (&str, &str), body: Vec<u8>) -> Answer {
        let request = http::Request::builder()
            .method(verb)
            .uri(self.path(path))
            .header(header.0, header.1)
            .body(Body::from(body))
            .unwrap();
        let (parts, body) = self.client.send(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
        Answer { code: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn ask_json(&self, verb: &str, path: &str, content: &str, body: &Value) -> Answer {
        let body = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
        self.ask(verb, path, ("content-type", content), body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, ("accept", "application/json"), vec![]).await
    }

    /// Makes an object in a collection.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask_json("POST", path, "application/json", &body).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.ask_json("PUT", path, "application/json", body).await
    }

    /// Deletes with these options; `null` for none.
    pub async fn delete(&self, path: &str, options: Value) -> Answer {
        self.ask_json("DELETE", path, "application/json", &options).await
    }

    pub async fn patch(&self, kind: &str, path: &str, patch: Value) -> Answer {
        self.ask_json("PATCH", path, kind, &patch).await
    }
}

/// The names of a list's items.
pub fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

/// A ConfigMap with a label.
pub fn config(name: &str, label: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"part": label}},
        "data": {"key": "value"}})
}

/// A Deployment of web servers.
pub fn deployment(cluster: &Cluster, name: &str, replicas: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {
            "terminationGracePeriodSeconds": 20, "containers": [container(cluster)]}}}})
}

/// A pod that runs a web server.
pub fn pod(cluster: &Cluster, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 20, "containers": [container(cluster)]}})
}

/// A pod that no node takes.
pub fn homeless(cluster: &Cluster, name: &str) -> Value {
    let mut pod = pod(cluster, name);
    pod["spec"]["nodeSelector"] = json!({"drillmaster.dev/none": "such"});
    pod
}

fn container(cluster: &Cluster) -> Value {
    json!({"name": "web", "image": cluster.web, "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}})
}
