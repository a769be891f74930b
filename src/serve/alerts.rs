//! The simulated alerting as an Alertmanager shows it: `GET /api/v2/alerts` lists what fires.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::model::name::Name;
use crate::world::Alerts;

/// Serves what fires of these rules.
pub async fn serve(listener: TcpListener, alerts: Arc<dyn Alerts>, rules: Vec<Name>) {
    let rules: Arc<[Name]> = rules.into();
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (alerts, rules) = (Arc::clone(&alerts), Arc::clone(&rules));
        connections.spawn(async move {
            let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let answer = answered(request.uri().path(), &*alerts, &rules);
                async move { Ok::<_, Infallible>(answer) }
            });
            // A connection that breaks is its client's to notice.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

fn answered(path: &str, alerts: &dyn Alerts, rules: &[Name]) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if path != "/api/v2/alerts" {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let fires = |rule: &&Name| matches!(alerts.arrives(rule).now_or_never(), Some(Ok(_)));
    let firing: Vec<Value> = rules
        .iter()
        .filter(fires)
        .map(|rule| json!({"labels": {"alertname": rule}, "status": {"state": "active"}}))
        .collect();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.body_mut() = Full::from(Value::from(firing).to_string());
    response
}
