//! The simulated alerting as an Alertmanager shows it: `GET /api/v2/alerts` lists what fires.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
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
use crate::model::time::At;
use crate::world::{Alerts, Clock};

/// Serves what fires of these rules.
pub async fn serve(listener: TcpListener, alerts: Arc<dyn Alerts>, clock: Arc<dyn Clock>, rules: Vec<Name>) {
    let rules: Arc<[Name]> = rules.into();
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (alerts, clock, rules) = (Arc::clone(&alerts), Arc::clone(&clock), Arc::clone(&rules));
        connections.spawn(async move {
            let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let answer = answered(request.uri().path(), &*alerts, &*clock, &rules);
                async move { Ok::<_, Infallible>(answer) }
            });
            // A connection that breaks is its client's to notice.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

fn answered(path: &str, alerts: &dyn Alerts, clock: &dyn Clock, rules: &[Name]) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if path != "/api/v2/alerts" {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let firing = |rule: &Name| {
        let Some(Ok(arrived)) = alerts.arrives(rule, At(i64::MIN)).now_or_never() else { return None };
        let ago = clock.now().0.saturating_sub(arrived.0);
        let began = DateTime::from_timestamp_nanos(clock.wall_unix_ns().saturating_sub(ago));
        let began = began.to_rfc3339_opts(SecondsFormat::Millis, true);
        Some(json!({"labels": {"alertname": rule}, "status": {"state": "active"}, "startsAt": began}))
    };
    let firing: Vec<Value> = rules.iter().filter_map(firing).collect();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.body_mut() = Full::from(Value::from(firing).to_string());
    response
}
