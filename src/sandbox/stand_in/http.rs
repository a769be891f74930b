//! An HTTP service that answers everything, as far as what it needs answers too.
//!
//! `UPSTREAM` is a URL that it asks for each request and without which it answers 503; `UPSTREAM_OPTIONAL` is one without which it
//! only degrades (`x-degraded: true`). Its readiness is its own: it holds once its settings make sense.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::get;
use crate::sandbox::net::pipe::End;
use crate::sandbox::net::{Listener, View};

/// How long an upstream may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// The service, as each of its connections shares it.
pub struct HttpStandIn {
    shared: Arc<Shared>,
}

struct Shared {
    status: StatusCode,
    /// The place that it runs in, told in `x-region`.
    place: HeaderValue,
    /// Who asks its upstreams; `None` for third parties, who ask nobody.
    net: Option<Arc<View>>,
    upstream: Option<Upstream>,
    optional: Option<Upstream>,
}

enum Upstream {
    Url(String),
    /// A setting that is no URL.
    Nonsense,
}

impl HttpStandIn {
    /// A third party that gives every request this status.
    pub fn third_party(place: &str, status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        Self {
            shared: Arc::new(Shared {
                status,
                place: header(place),
                net: None,
                upstream: None,
                optional: None,
            }),
        }
    }

    /// A pod's service with its environment.
    pub fn new(place: &str, env: &BTreeMap<String, String>, net: Arc<View>) -> Self {
        let upstream =
            |name: &str| env.get(name).filter(|text| !text.is_empty()).map(|text| Upstream::read(text));
        let shared = Shared {
            status: StatusCode::OK,
            place: header(place),
            net: Some(net),
            upstream: upstream("UPSTREAM"),
            optional: upstream("UPSTREAM_OPTIONAL"),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whether its settings make sense.
    pub fn is_ready(&self) -> bool {
        [&self.shared.upstream, &self.shared.optional]
            .into_iter()
            .flatten()
            .all(|upstream| matches!(upstream, Upstream::Url(_)))
    }
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("?"))
}

impl Upstream {
    fn read(text: &str) -> Upstream {
        let uri =
            text.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
        uri.map_or(Upstream::Nonsense, |_| Upstream::Url(text.to_owned()))
    }
}

impl Shared {
    async fn answer(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from_static(b"ok\n")));
        *response.status_mut() = self.status;
        response.headers_mut().insert("x-region", self.place.clone());
        if !self.has(self.upstream.as_ref()).await {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            *response.body_mut() = Full::new(Bytes::from_static(b"upstream does not answer\n"));
        } else if !self.has(self.optional.as_ref()).await {
            response.headers_mut().insert("x-degraded", HeaderValue::from_static("true"));
        }
        response
    }

    async fn has(&self, upstream: Option<&Upstream>) -> bool {
        let Some(upstream) = upstream else { return true };
        let (Upstream::Url(url), Some(net)) = (upstream, &self.net) else { return false };
        // Boxed: an answer that needs no upstream, as most do, would carry the space for asking one.
        let asked = Box::pin(get(net.as_ref(), url));
        matches!(timeout(PATIENCE, asked).await, Ok(Ok(status)) if good(status))
    }
}

fn good(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

impl Listener for HttpStandIn {
    fn accept(&self, stream: End, _: Ipv4Addr) -> AbortHandle {
        let shared = Arc::clone(&self.shared);
        let answer = service_fn(move |_| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(shared.answer().await) }
        });
        // A connection that breaks is its client's to notice.
        let serve =
            http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), answer);
        // In a box: a task is moved several times before it runs, and a connection is large.
        tokio::spawn(Box::pin(serve)).abort_handle()
    }

    fn serves(&self, asks: &dyn Fn(&str) -> bool) -> bool {
        let needed = match &self.shared.upstream {
            None => true,
            Some(Upstream::Url(url)) => asks(url),
            Some(Upstream::Nonsense) => false,
        };
        needed && good(self.shared.status)
    }
}
