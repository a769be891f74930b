//! Pages, as Alertmanager's webhook sends them: each has arrived when its request was read, so that its instant is exact.
//!
//! ```text
//! Alertmanager ─► POST {"alerts": [{"status": "firing", "labels": {"alertname": …}, "startsAt": …}, …]} ─► Pages ─► arrives
//! ```
//! What is sent is hostile (I15): its length, the time that it takes and how many pages are kept are bounded, and whatever is no page is
//! answered 400 and forgotten. Whoever reaches the address can page: it belongs where only Alertmanager does. A page that is
//! repeated while its alert goes on firing is no new one: what counts is when the alert began. (The payload: Alertmanager's documentation,
//! `webhook_config`.)

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration as Std;

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::alerts::began;
use crate::http::BODY_LIMIT;
use crate::model::name::Name;
use crate::model::time::At;
use crate::world::{Clock, watch};

/// So many pages are kept, the newest.
const MOST_PAGES: usize = 1000;

/// So many connections at once.
const MOST_CONNECTIONS: usize = 64;

/// How long one connection may last; Alertmanager makes another.
const LASTS: Std = Std::from_secs(60);

/// That an alert fires, as somebody was told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Page {
    alert: String,
    arrived: At,
    /// By its source's clock; `None` where that does not say.
    began: Option<At>,
}

/// The pages of one address, newest last.
pub struct Pages {
    address: SocketAddr,
    clock: Arc<dyn Clock>,
    seen: watch::Sender<Arc<VecDeque<Page>>>,
}

impl Pages {
    /// Those that will be sent to an address, once somebody listens there.
    pub fn at(address: SocketAddr, clock: Arc<dyn Clock>) -> Pages {
        Pages { address, clock, seen: watch::Sender::new(Arc::default()) }
    }

    /// Takes pages from now on, until the runtime ends; says where.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub async fn listen(self: &Arc<Self>) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(self.address).await.map_err(|why| {
            io::Error::new(why.kind(), format!("nobody can be paged at {}: {why}", self.address))
        })?;
        let address = listener.local_addr()?;
        tokio::spawn(Arc::clone(self).accept(listener));
        Ok(address)
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            while connections.try_join_next().is_some() {}
            if connections.len() < MOST_CONNECTIONS {
                connections.spawn(timeout(LASTS, Arc::clone(&self).connection(stream)));
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let answer = service_fn(|request: Request<Incoming>| {
            let pages = Arc::clone(&self);
            async move {
                let body = Limited::new(request.into_body(), BODY_LIMIT).collect().await;
                let is_page = body.is_ok_and(|body| pages.take(&body.to_bytes()));
                let status = if is_page { StatusCode::OK } else { StatusCode::BAD_REQUEST };
                let mut response = Response::new(Full::<Bytes>::default());
                *response.status_mut() = status;
                Ok::<_, Infallible>(response)
            }
        });
        // A connection that breaks is its client's to notice.
        drop(http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
    }

    /// Takes in what was sent; `false` where it is no page.
    fn take(&self, body: &[u8]) -> bool {
        let arrived = self.clock.now();
        let sent: Option<Value> = serde_json::from_slice(body).ok();
        let Some(alerts) = sent.as_ref().and_then(|sent| sent["alerts"].as_array()) else { return false };
        let firing = alerts.iter().filter(|alert| alert["status"] == "firing");
        let pages = firing.filter_map(|alert| {
            let name = alert["labels"]["alertname"].as_str()?.to_owned();
            Some(Page { alert: name, arrived, began: began(alert, &*self.clock) })
        });
        let pages: Vec<Page> = pages.take(MOST_PAGES).collect();
        self.seen.send_if_modified(|seen| {
            let kept = Arc::make_mut(seen);
            kept.extend(pages);
            kept.drain(..kept.len().saturating_sub(MOST_PAGES));
            true
        });
        true
    }

    /// Waits for the page of an alert that began at an instant or later, and says when it arrived.
    pub async fn arrives(&self, alert: &Name, since: At) -> At {
        let mut seen = self.seen.subscribe();
        loop {
            let new =
                |page: &&Page| page.alert == alert.as_str() && page.began.unwrap_or(page.arrived) >= since;
            if let Some(page) = seen.get_and_update().iter().find(new) {
                return page.arrived;
            }
            if seen.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::clock::LiveClock;
    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn posted(to: SocketAddr, body: &str) -> String {
        let mut stream = TcpStream::connect(to).await.unwrap();
        let head = format!(
            "POST /any HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        // Whoever sends too much is cut off meanwhile.
        drop(stream.write_all((head + body).as_bytes()).await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    }

    fn page(alert: &str, status: &str, clock: &LiveClock, ago_s: i64) -> String {
        let began = chrono::DateTime::from_timestamp_nanos(clock.wall_unix_ns() - ago_s * 1_000_000_000);
        json!({"version": "4", "alerts": [
            {"status": status, "labels": {"alertname": alert}, "startsAt": began.to_rfc3339()}]})
        .to_string()
    }

    #[tokio::test]
    async fn a_page_arrives_once_its_alert_began_late_enough_and_nothing_else_does() {
        let clock = Arc::new(LiveClock::begin());
        let pages = Arc::new(Pages::at(([127, 0, 0, 1], 0).into(), clock.clone()));
        let to = pages.listen().await.unwrap();
        let (alert, since) = (Name::from("CheckoutDown"), clock.now());
        let waiting = pages.arrives(&alert, since);
        let mut waiting = std::pin::pin!(waiting);
        for (sent, status) in [
            (page("Other", "firing", &clock, -1), "200"),
            (page("CheckoutDown", "resolved", &clock, -1), "200"),
            (page("CheckoutDown", "firing", &clock, 3600), "200"),
            ("{".to_owned(), "400"),
            ("[]".to_owned(), "400"),
            (" ".repeat(BODY_LIMIT + 1), "400"),
        ] {
            let answer = tokio::select! {
                biased;
                at = &mut waiting => panic!("{at:?} by {}", &sent[..sent.len().min(200)]),
                answer = posted(to, &sent) => answer,
            };
            assert!(answer.contains(status) || sent.len() > BODY_LIMIT, "{answer}");
        }
        let late = page("CheckoutDown", "firing", &clock, -1);
        let before = clock.now();
        let (arrived, answer) = tokio::join!(waiting, posted(to, &late));
        assert!(answer.contains("200") && before <= arrived && arrived <= clock.now());
        assert_eq!(pages.arrives(&alert, since).await, arrived, "whoever asks later hears the same");
        let taken = Arc::new(Pages::at(to, clock));
        assert!(taken.listen().await.unwrap_err().to_string().contains(&to.to_string()));
    }

    #[test]
    fn as_many_pages_are_kept_as_fit() {
        let clock = Arc::new(LiveClock::begin());
        let pages = Pages::at(([127, 0, 0, 1], 0).into(), clock);
        let one = json!({"status": "firing", "labels": {"alertname": "A"}});
        let many = json!({"alerts": vec![one; 700]}).to_string();
        assert!(pages.take(many.as_bytes()) && pages.take(many.as_bytes()));
        assert_eq!(pages.seen.get().len(), MOST_PAGES);
    }
}
