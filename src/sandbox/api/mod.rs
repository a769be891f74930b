//! The Kubernetes API of a region over HTTP, on any stream of bytes.
//!
//! ```text
//! kube::Client ─► client (in-memory connections) ─► serve ─► dispatch ─┬─ discovery ── openapi, review
//!                                                                      ├─ read ── present ── table, watch ── select, options
//!                                                                      ├─ write ── checks, values, fixed; patch ── strategic
//!                                                                      │    └─ managed ◄── apply
//!                                                                      └─ scale, eviction, exec, log
//! path (what is asked) · resources (what is served) · decode ── protobuf, typed, schema (bodies) · answer (answers and refusals)
//! shape, fields (what objects are made of) · admit (objects of manifests, without a request)
//! ```
//! Everything is a function of the region's state and one request; a black hole is a request that waits. To add a verb or a
//! subresource: a file here, and an arm in `dispatch`.

mod admit;
mod answer;
mod apply;
mod checks;
mod client;
mod decode;
mod discovery;
mod eviction;
mod exec;
mod fields;
mod fixed;
mod log;
mod managed;
mod openapi;
mod options;
mod patch;
mod path;
mod present;
mod protobuf;
mod read;
mod resources;
mod review;
mod scale;
mod schema;
mod select;
mod shape;
mod strategic;
mod table;
#[cfg(test)]
mod tests;
mod typed;
mod values;
mod watch;
mod write;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::header::{DATE, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::state::{Availability, RegionState};
use crate::world::Io;
pub use admit::{Misfit, admit, prune};
use answer::{Answer, Refusal};
pub use client::client;
use path::Asked;
pub use resources::{Kind, kind_of, near};

/// The largest request body, as in Kubernetes.
const LARGEST_BODY: usize = 3 << 20;

/// Serves one connection until its other end closes it.
pub async fn serve<S: Io + 'static>(state: Arc<RegionState>, stream: S) {
    let service = service_fn(move |request| {
        let state = state.clone();
        async move {
            let clock = state.clock;
            let mut answer = answer(state, request).await;
            if let Ok(date) = HeaderValue::from_str(&clock.http_date(clock.now())) {
                answer.headers_mut().insert(DATE, date);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    // The region's own date: hyper's would be the wall clock's. An error is the other end's leaving.
    let _ = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

/// Answers one request, as soon as the server can be reached.
async fn answer(state: Arc<RegionState>, request: Request<Incoming>) -> Response<Body> {
    let mut availability = state.availability_changes();
    // The state outlives its own senders, so that waiting cannot fail.
    let _ = availability.wait_for(|now| *now != Availability::BlackHole).await;
    if let Availability::Failing(code) = state.availability() {
        return Refusal::failing(code).into_response();
    }
    let (parts, body) = request.into_parts();
    if parts.headers.keys().any(|header| header.as_str().starts_with("impersonate-")) {
        return Refusal::impersonates().into_response();
    }
    let body = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Refusal::too_large(LARGEST_BODY).into_response(),
    };
    dispatch(&state, parts, body).await.unwrap_or_else(Refusal::into_response)
}

/// Who answers what.
async fn dispatch(state: &Arc<RegionState>, parts: Parts, body: Bytes) -> Answer {
    let call = match state.read(|store| path::read(store, &parts))? {
        Asked::About(segments) => return state.read(|store| discovery::answer(store, &segments)),
        Asked::Resource(call) => call,
    };
    if call.served.review {
        return review::answer(&call, &parts, &body);
    }
    if call.served.resource.plural == "events" {
        state.tell_events();
    }
    let named = call.name.is_some();
    match (call.sub.as_deref(), &parts.method) {
        (None, &Method::GET) if call.query.flag("watch") => watch::watch(state, call, &parts),
        (None | Some("status"), &Method::GET) if named => read::get(state, &call, &parts),
        (None, &Method::GET) => read::list(state, &call, &parts),
        (None, &Method::POST) if !named => write::create(state, &call, &parts, &body),
        (None | Some("status" | "finalize"), &Method::PUT) if named => {
            write::update(state, &call, &parts, &body)
        }
        (None | Some("status"), &Method::PATCH) if named => patch::patch(state, &call, &parts, &body),
        (None, &Method::DELETE) if named => write::delete(state, &call, &parts, &body),
        (None, &Method::DELETE) => write::delete_collection(state, &call, &parts, &body),
        (Some("scale"), &Method::GET) => scale::get(state, &call),
        (Some("scale"), &Method::PUT | &Method::PATCH) => scale::set(state, &call, &parts, &body),
        (Some("eviction"), &Method::POST) => eviction::evict(state, &call, &parts, &body),
        (Some("exec"), &Method::GET | &Method::POST) => exec::exec(state, &call, parts).await,
        (Some("log"), &Method::GET) => log::log(state, &call),
        _ => Err(Refusal::method_not_allowed()),
    }
}
