//! Each protocol's probe over real sockets, on loopback: the right answer, each class of failure, a server that hangs, and nothing left behind.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod servers;

use std::net::SocketAddr;
use std::sync::Arc;

use drillmaster::cluster::clock::LiveClock;
use drillmaster::cluster::net::SocketNet;
use drillmaster::cluster::trust::Trust;
use drillmaster::model::plan::Probe;
use drillmaster::model::sample::{Failure, Sample, Seen};
use drillmaster::model::time::Duration;
use drillmaster::prober::{self, Observation, ProbeRun};
use drillmaster::world::{Clock, watch};
use serde_json::{Value, json};
use servers::Server;
use tokio::sync::mpsc;

/// Long enough for a slow machine; what hangs is given up after less.
const PATIENCE: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_millis(200);

/// The first answer of a probe; where a certificate is asked for, this authority is trusted.
async fn asked(ask: Value, timeout: Duration, authority: &str, dns: Option<SocketAddr>) -> Sample {
    let place = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    if !authority.is_empty() {
        std::fs::write(place.path().join("authority.pem"), authority).unwrap();
        files.push("authority.pem".to_owned());
    }
    let net = SocketNet::new(None, dns, None, Trust::of(&files, place.path()).unwrap()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(LiveClock::begin());
    let probe = Probe {
        id: "it".into(),
        service: None,
        control: false,
        every: Duration::from_secs(3600),
        timeout,
        from: vec!["outside".into()],
        fresh_every: 1,
        ask,
    };
    let run = ProbeRun {
        probe,
        vantage: "outside".into(),
        net: Arc::new(net),
        start: clock.now(),
        clock,
        ranges: Arc::new([]),
        regions: Arc::new([]),
    };
    let (out, mut seen) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    let first = async {
        let first = seen.recv().await;
        stop.send(true);
        first
    };
    match tokio::join!(prober::run(run, out, stopped), first) {
        (Ok(()), Some(Observation::Sample { sample, .. })) => sample,
        (probed, _) => panic!("no answer: {probed:?}"),
    }
}

async fn seen(ask: Value) -> Seen {
    asked(ask, PATIENCE, "", None).await.seen
}

/// A probe of a server that hangs times out, and its connection is gone.
async fn hangs(ask: Value, mut server: Server) {
    let sample = asked(ask, SOON, "", None).await;
    assert_eq!(sample.seen, Seen::Failed(Failure::Timeout));
    server.gone.recv().await.unwrap();
}

fn failed(failure: Failure) -> Seen {
    Seen::Failed(failure)
}

#[tokio::test]
async fn tcp_connects_and_waits_for_a_banner() {
    let mut mail = servers::saying("220 mail.example ESMTP\r\n").await;
    let address = mail.address.to_string();
    let sample =
        asked(json!({"tcp": {"address": address, "bannerContains": "ESMTP"}}), PATIENCE, "", None).await;
    assert_eq!((sample.seen, sample.address), (Seen::Ok, Some(mail.address.ip())));
    assert!(sample.stages.connect > 0 && sample.stages.first_byte > 0, "{:?}", sample.stages);
    mail.gone.recv().await.unwrap();
    assert_eq!(seen(json!({"tcp": {"address": address}})).await, Seen::Ok);
    mail.gone.recv().await.unwrap();
    let slams = servers::slamming("554 no\r\n").await.address.to_string();
    let slammed = seen(json!({"tcp": {"address": slams, "bannerContains": "220"}})).await;
    assert_eq!(slammed, failed(Failure::Body));
    let nobody = servers::nobody().await.to_string();
    assert_eq!(seen(json!({"tcp": {"address": nobody}})).await, failed(Failure::Refused));
    assert_eq!(seen(json!({"tcp": {"address": "a.invalid:1"}})).await, failed(Failure::Resolve));
    hangs(json!({"tcp": {"address": address, "bannerContains": "221"}}), mail).await;
}

#[tokio::test]
async fn tls_verifies_a_certificate_and_how_long_it_lasts() {
    let (acceptor, authority) = servers::tls("checkout.example", 30, b"anything");
    let serve = |mut stream| async move {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    };
    let server = servers::serving(Some(acceptor), serve).await;
    let ask = |name: &str, lasts: &str| json!({"tls": {"address": server.address.to_string(), "serverName": name, "certificateValidFor": lasts}});
    let sample = asked(ask("checkout.example", "480h"), PATIENCE, &authority, None).await;
    assert_eq!(sample.seen, Seen::Ok);
    assert!(sample.stages.connect > 0 && sample.stages.tls > 0, "{:?}", sample.stages);
    let sooner = asked(ask("checkout.example", "960h"), PATIENCE, &authority, None).await;
    assert_eq!(sooner.seen, failed(Failure::Certificate));
    for (name, trusted) in [("other.example", authority.as_str()), ("checkout.example", "")] {
        assert_eq!(
            asked(ask(name, "1h"), PATIENCE, trusted, None).await.seen,
            failed(Failure::Tls),
            "{name}"
        );
    }
    let (expired, authority) = servers::tls("checkout.example", -2, b"anything");
    let expired = servers::serving(Some(expired), serve).await.address.to_string();
    let ask = json!({"tls": {"address": expired, "serverName": "checkout.example"}});
    assert_eq!(asked(ask, PATIENCE, &authority, None).await.seen, failed(Failure::Tls));
    let silent = servers::saying("").await;
    hangs(json!({"tls": {"address": silent.address.to_string()}}), silent).await;
}

fn http_answer(request: &str) -> Option<String> {
    let said = |status: &str, body: &str| {
        let length = body.len();
        Some(format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    };
    match request.split(' ').nth(1)? {
        "/elsewhere" => said("302 Found", ""),
        "/echo" => said("200 OK", request.split("\r\n\r\n").nth(1)?),
        "/lag" => said("200 OK", r#"{"replicas": [{"lag": 7}]}"#),
        _ => None,
    }
}

#[tokio::test]
async fn http_sends_a_body_and_reads_headers_and_json() {
    let server = servers::http(None, http_answer).await;
    let url = |path: &str| format!("http://{}{path}", server.address);
    let lag = |bound: &str, value: u32| {
        let json = json!([{"pointer": "/replicas/0/lag", bound: value}]);
        json!({"http": {"url": url("/lag"), "expect": {"headers": {"content-type": "application/json"}, "json": json}}})
    };
    assert_eq!(seen(lag("below", 8)).await, Seen::Ok);
    assert_eq!(seen(lag("below", 7)).await, failed(Failure::Body));
    let header = json!({"url": url("/lag"), "expect": {"headersContain": {"content-type": "html"}}});
    assert_eq!(seen(json!({ "http": header })).await, failed(Failure::Header));
    let echo = json!({"url": url("/echo"), "method": "POST", "body": r#"{"sku":7}"#,
        "expect": {"statusClass": "2xx", "json": [{"pointer": "/sku", "equals": 7}]}});
    assert_eq!(seen(json!({ "http": echo })).await, Seen::Ok);
    assert_eq!(seen(json!({"http": {"url": url("/elsewhere")}})).await, failed(Failure::Status(302)));
    let either = json!({"url": url("/elsewhere"), "expect": {"statusIn": [200, 302]}});
    assert_eq!(seen(json!({ "http": either })).await, Seen::Ok, "a redirect is a status");
    hangs(
        json!({"http": {"url": url("/hangs")}}),
        servers::Server { address: server.address, gone: drained(server).await },
    )
    .await;
}

/// The words of a server whose earlier clients have gone.
async fn drained(mut server: Server) -> mpsc::UnboundedReceiver<()> {
    for _ in 0..6 {
        server.gone.recv().await.unwrap();
    }
    server.gone
}

#[tokio::test]
async fn https_asks_for_another_name_and_how_long_its_certificate_lasts() {
    let (acceptor, authority) = servers::tls("checkout.example", 30, b"http/1.1");
    let server = servers::http(Some(acceptor), http_answer).await;
    let ask = |name: Value, lasts: &str| {
        json!({"http": {"url": format!("https://{}/lag", server.address), "serverName": name,
            "expect": {"certificateValidFor": lasts}}})
    };
    for (name, lasts, seen) in [
        (json!("checkout.example"), "480h", Seen::Ok),
        (json!("checkout.example"), "960h", failed(Failure::Certificate)),
        (Value::Null, "480h", failed(Failure::Tls)),
    ] {
        assert_eq!(
            asked(ask(name.clone(), lasts), PATIENCE, &authority, None).await.seen,
            seen,
            "{name} {lasts}"
        );
    }
}

#[tokio::test]
async fn dns_asks_one_resolver_and_tells_its_codes_apart() {
    let resolver = servers::resolver().await;
    let ask = |name: &str, of: &str, expect: Value| json!({"dns": {"name": name, "type": of, "resolver": resolver, "expect": expect}});
    for (name, of, expect, is) in [
        ("web.example", "A", json!({"equals": ["192.0.2.2", "192.0.2.1"], "ttlAtMost": "30s"}), Seen::Ok),
        ("web.example", "A", json!({"ttlAtLeast": "31s"}), failed(Failure::Ttl)),
        ("web.example", "A", json!({"contains": ["192.0.2.3"]}), failed(Failure::Records)),
        ("large.example", "A", json!({"contains": ["192.0.2.1"]}), Seen::Ok),
        ("www.example", "CNAME", json!({"equals": ["web.example"]}), Seen::Ok),
        ("web.example", "TXT", json!({"equals": ["v=spf1 -all"]}), Seen::Ok),
        ("web.example", "AAAA", json!({}), failed(Failure::NoData)),
        ("fails.example", "A", json!({}), failed(Failure::Rcode(2))),
        ("nowhere.example", "A", json!({}), failed(Failure::Rcode(3))),
        ("refuses.example", "A", json!({}), failed(Failure::Rcode(5))),
    ] {
        let sample = asked(ask(name, of, expect.clone()), PATIENCE, "", None).await;
        assert_eq!((sample.seen, sample.address), (is, Some(resolver.ip())), "{name} {of} {expect}");
        assert!(sample.stages.resolve > 0, "{:?}", sample.stages);
    }
    let hangs = asked(ask("hangs.example", "A", json!({})), SOON, "", None).await;
    assert_eq!(hangs.seen, failed(Failure::Timeout));
    let nobody = json!({"dns": {"name": "web.example", "resolver": servers::nobody().await}});
    assert_eq!(seen(nobody).await, failed(Failure::Refused));
    let own = json!({"dns": {"name": "web.example", "expect": {"contains": ["192.0.2.1"]}}});
    assert_eq!(asked(own, PATIENCE, "", Some(resolver)).await.seen, Seen::Ok, "the resolver of its vantage");
}

#[tokio::test]
async fn grpc_asks_for_the_health_of_a_service() {
    let mut server = servers::grpc(None).await;
    let address = server.address.to_string();
    for (service, is) in [
        ("", Seen::Ok),
        ("up", Seen::Ok),
        ("down", failed(Failure::NotServing)),
        ("unknown", failed(Failure::Grpc(5))),
        ("refuses", failed(Failure::Grpc(14))),
    ] {
        let sample =
            asked(json!({"grpc": {"address": address, "service": service}}), PATIENCE, "", None).await;
        assert_eq!(sample.seen, is, "{service}");
        assert!(sample.stages.first_byte > 0, "{:?}", sample.stages);
        server.gone.recv().await.unwrap();
    }
    hangs(json!({"grpc": {"address": address, "service": "hangs"}}), server).await;
    let gopher = servers::slamming("i like gopher better\r\n").await.address.to_string();
    let other = seen(json!({"grpc": {"address": gopher}})).await;
    assert!(matches!(other, Seen::Failed(Failure::Protocol | Failure::Reset)), "{other:?}");
    let nobody = servers::nobody().await.to_string();
    assert_eq!(seen(json!({"grpc": {"address": nobody}})).await, failed(Failure::Refused));
    let silent = servers::saying("").await;
    hangs(json!({"grpc": {"address": silent.address.to_string()}}), silent).await;
}

#[tokio::test]
async fn grpc_over_tls_verifies_the_certificate() {
    let (acceptor, authority) = servers::tls("payments.example", 30, b"h2");
    let server = servers::grpc(Some(acceptor)).await;
    let ask = |lasts: &str| {
        json!({"grpc": {"address": server.address.to_string(), "tls": true, "serverName": "payments.example",
            "certificateValidFor": lasts}})
    };
    for (lasts, trusted, is) in [
        ("480h", authority.as_str(), Seen::Ok),
        ("960h", &authority, failed(Failure::Certificate)),
        ("480h", "", failed(Failure::Tls)),
    ] {
        assert_eq!(asked(ask(lasts), PATIENCE, trusted, None).await.seen, is, "{lasts}");
    }
}

fn prometheus_answer(request: &str) -> Option<String> {
    let result = match request.split(' ').nth(1)? {
        "/api/v1/query?query=lag%20%2B%200" => r#"[{"metric": {}, "value": [1.5, "4.5"]}]"#,
        "/api/v1/query?query=absent" => "[]",
        "/api/v1/query?query=nan" => r#"[{"metric": {}, "value": [1.5, "NaN"]}]"#,
        "/api/v1/query?query=hangs" => return None,
        _ => return Some("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_owned()),
    };
    let body = format!(r#"{{"status": "success", "data": {{"resultType": "vector", "result": {result}}}}}"#);
    Some(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

#[tokio::test]
async fn prometheus_is_asked_for_a_value_and_no_data_never_passes() {
    let mut server = servers::http(None, prometheus_answer).await;
    let url = format!("http://{}", server.address);
    let ask = |query: &str, below: u32| json!({"prometheus": {"url": url, "query": query, "below": below}});
    for (query, below, is) in [
        ("lag + 0", 5, Seen::Ok),
        ("lag + 0", 4, failed(Failure::Value)),
        ("absent", 5, failed(Failure::NoData)),
        ("nan", 5, failed(Failure::NoData)),
        ("lag{", 5, failed(Failure::Status(400))),
    ] {
        assert_eq!(seen(ask(query, below)).await, is, "{query} {below}");
        server.gone.recv().await.unwrap();
    }
    hangs(ask("hangs", 5), server).await;
}
