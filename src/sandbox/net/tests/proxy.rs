//! An Ingress controller between senders and pods, over the small world of the network's tests.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::*;

const CONTROLLER: &str = "10.1.223.254:80";

/// Says what it was asked, and its name.
struct Mirror(&'static str);

impl Listener for Mirror {
    fn accept(&self, stream: End, _: Ipv4Addr) -> AbortHandle {
        let name = self.0;
        let answer = service_fn(move |request: Request<Incoming>| async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let mut said = format!("{} {}\n", head.method, head.uri);
            for (key, value) in &head.headers {
                said.push_str(&format!("{key}: {}\n", value.to_str().unwrap()));
            }
            said.push_str(std::str::from_utf8(&body).unwrap());
            let response = Response::builder()
                .status(201)
                .header("x-region", name)
                .header("connection", "x-hop")
                .header("x-hop", "1");
            Ok::<_, std::convert::Infallible>(response.body(Full::new(Bytes::from(said))).unwrap())
        });
        let serve =
            http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), answer);
        tokio::spawn(Box::pin(async { drop(serve.await) })).abort_handle()
    }

    fn serves(&self, _: &dyn Fn(&str) -> bool) -> bool {
        true
    }
}

/// Takes a connection and says nothing.
struct Silent;

impl Listener for Silent {
    fn accept(&self, stream: End, _: Ipv4Addr) -> AbortHandle {
        tokio::spawn(async move {
            let _kept = stream;
            std::future::pending::<()>().await;
        })
        .abort_handle()
    }

    fn serves(&self, _: &dyn Fn(&str) -> bool) -> bool {
        false
    }
}

/// `web.example` leads to the service of `shop`, `/none` of it to one that there is not.
fn ingress() -> Value {
    let backend = |name: &str, port: Value| json!({"service": {"name": name, "port": port}});
    let paths = json!([
        {"path": "/", "pathType": "Prefix", "backend": backend("web", json!({"name": "http"}))},
        {"path": "/none", "pathType": "Prefix", "backend": backend("nobody", json!({"number": 80}))},
        {"path": "/port", "pathType": "Prefix", "backend": backend("web", json!({"number": 81}))},
    ]);
    json!({"kind": "Ingress", "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"rules": [{"host": "web.example", "http": {"paths": paths}}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.1.223.254"}]}}})
}

fn routed(latency_ms: u64) -> Arc<Network> {
    let network = world(latency_ms);
    network.listen([10, 1, 0, 1].into(), 8080, Arc::new(Mirror("east")));
    network.apply(&region("east"), "Ingress", &ingress());
    network
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

async fn send(network: &Arc<Network>, from: &str, request: Request<Full<Bytes>>) -> Option<Answer> {
    let exchange = async {
        let stream = sender(network, from).connect(at(CONTROLLER)).await.ok()?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = String::from_utf8(body.collect().await.ok()?.to_bytes().to_vec()).unwrap();
        Some(Answer { status: head.status.as_u16(), headers: head.headers, body })
    };
    timeout(LONG, exchange).await.ok()?
}

fn get(host: &str, path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", host).body(Full::default()).unwrap()
}

/// The status that a GET gets, and after how long.
async fn status(network: &Arc<Network>, from: &str, host: &str, path: &str) -> (Option<u16>, Duration) {
    let start = Instant::now();
    let answer = send(network, from, get(host, path)).await;
    (answer.map(|answer| answer.status), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_request_and_its_answer_pass_a_controller() {
    let network = routed(0);
    let request = Request::builder()
        .method(Method::DELETE)
        .uri("/ledger?run=a%2Fb")
        .header("host", "web.example")
        .header("x-run", "7")
        .header("x-forwarded-for", "192.0.2.9")
        .header("connection", "x-mine")
        .header("x-mine", "1")
        .body(Full::from("a body"))
        .unwrap();
    let answer = send(&network, "outside", request).await.unwrap();
    assert_eq!((answer.status, &answer.headers["x-region"]), (201, &"east".parse().unwrap()));
    assert!(!answer.headers.contains_key("x-hop"), "it concerned one connection");
    let mut lines: Vec<&str> = answer.body.lines().collect();
    assert_eq!(lines.remove(0), "DELETE /ledger?run=a%2Fb");
    lines.sort_unstable();
    let told = [
        "a body",
        "content-length: 6",
        "host: web.example",
        "x-forwarded-for: 198.51.100.1",
        "x-forwarded-host: web.example",
        "x-forwarded-proto: http",
        "x-run: 7",
    ];
    assert_eq!(lines, told);
}

#[tokio::test(start_paused = true)]
async fn a_controller_says_why_it_has_no_answer_of_a_pod() {
    let network = routed(0);
    let at_once = |status| (Some(status), Duration::ZERO);
    for (host, path, wanted) in [
        ("web.example", "/", 201),
        ("other.example", "/", 404),
        ("web.example", "/none", 503),
        ("web.example", "/port", 503),
    ] {
        assert_eq!(status(&network, "outside", host, path).await, at_once(wanted), "{host}{path}");
    }
    network.silence([10, 1, 0, 1].into(), 8080);
    assert_eq!(status(&network, "outside", "web.example", "/").await, at_once(502), "nobody listens");
    network.apply(&region("east"), "EndpointSlice", &slice(1, false));
    assert_eq!(status(&network, "outside", "web.example", "/").await, at_once(503), "nobody is ready");
    network.apply(&region("east"), "EndpointSlice", &slice(1, true));
    network.listen([10, 1, 0, 1].into(), 8080, Arc::new(Silent));
    let after = |seconds| (Some(504), Duration::from_secs(seconds));
    assert_eq!(status(&network, "outside", "web.example", "/").await, after(60), "no answer begins");
    network.darken(&region("east"), "n1", true);
    assert_eq!(status(&network, "outside", "web.example", "/").await, after(5), "no packet comes back");
    let refused = Err(Some(ErrorKind::ConnectionRefused));
    assert_eq!(ask(&sender(&network, "outside"), at("10.1.223.254:443")).await, refused);
}

#[tokio::test(start_paused = true)]
async fn a_controller_is_reached_like_a_load_balancer_and_reaches_pods_like_any_sender() {
    let network = routed(0);
    for from in ["outside", "east", "west", "tool.east", "web.west"] {
        assert_eq!(status(&network, from, "web.example", "/").await.0, Some(201), "{from}");
    }
    let into = |from: Value| {
        policy(json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [from]}]}))
    };
    for (spec, wanted) in [
        (policy(json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})), Some(504)),
        (into(json!({"namespaceSelector": {}})), Some(504)),
        (into(json!({"ipBlock": {"cidr": "10.1.0.0/16"}})), Some(201)),
        (into(json!({"ipBlock": {"cidr": "198.51.100.0/24"}})), Some(504)),
    ] {
        network.apply(&region("east"), "NetworkPolicy", &spec);
        assert_eq!(status(&network, "outside", "web.example", "/").await.0, wanted, "{spec}");
    }
    network.delete(&region("east"), "NetworkPolicy", &("shop".into(), "p".into()));
    network.vanish([10, 1, 223, 254].into(), true);
    assert_eq!(status(&network, "outside", "web.example", "/").await.0, None, "its own address vanished");
    network.vanish([10, 1, 223, 254].into(), false);
    network.delete(&region("east"), "Ingress", &("shop".into(), "web".into()));
    assert_eq!(status(&network, "outside", "web.example", "/").await.0, None, "nobody has the address");
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_egress_is_denied_does_not_reach_a_controller() {
    let network = routed(0);
    network.apply(&region("east"), "NetworkPolicy", &{
        let mut deny = policy(json!({"podSelector": {}, "policyTypes": ["Egress"]}));
        deny["metadata"]["namespace"] = json!("ops");
        deny
    });
    assert_eq!(status(&network, "tool.east", "web.example", "/").await.0, None);
    assert_eq!(status(&network, "outside", "web.example", "/").await.0, Some(201));
}

#[tokio::test(start_paused = true)]
async fn requests_of_one_connection_go_to_all_ready_endpoints_in_turn() {
    let network = routed(0);
    network.listen([10, 1, 0, 2].into(), 8080, Arc::new(Mirror("other")));
    network.apply(&region("east"), "EndpointSlice", &another_slice(1));
    let stream = sender(&network, "outside").connect(at(CONTROLLER)).await.unwrap();
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut answered = Vec::new();
    for _ in 0..4 {
        sender.ready().await.unwrap();
        let answer = sender.send_request(get("web.example", "/")).await.unwrap();
        answered.push(answer.headers()["x-region"].to_str().unwrap().to_owned());
        answer.into_body().collect().await.unwrap();
    }
    assert_eq!(answered[..2], answered[2..]);
    answered.sort();
    assert_eq!(answered, ["east", "east", "other", "other"]);
}

#[tokio::test(start_paused = true)]
async fn an_open_connection_hangs_when_its_controller_is_gone() {
    let network = routed(0);
    let stream = sender(&network, "outside").connect(at(CONTROLLER)).await.unwrap();
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(get("web.example", "/")).await.unwrap();
    answer.into_body().collect().await.unwrap();
    network.delete(&region("east"), "Ingress", &("shop".into(), "web".into()));
    sender.ready().await.unwrap();
    assert!(timeout(LONG, sender.send_request(get("web.example", "/"))).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_a_controller_leads_nowhere() {
    let network = routed(0);
    let mut slice = slice(1, true);
    slice["ports"][0]["port"] = json!(80);
    slice["endpoints"][0]["addresses"] = json!(["10.1.223.254"]);
    network.apply(&region("east"), "EndpointSlice", &slice);
    assert_eq!(status(&network, "outside", "web.example", "/").await, (Some(503), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn the_hostname_annotation_of_an_ingress_is_a_name_and_its_rules_are_not() {
    let network = routed(0);
    let mut annotated = ingress();
    let names = "external-dns.alpha.kubernetes.io/hostname";
    annotated["metadata"]["annotations"] = json!({names: "front.example"});
    network.apply(&region("east"), "Ingress", &annotated);
    sleep(Duration::from_secs(5)).await;
    let outside = sender(&network, "outside");
    assert_eq!(outside.resolve("front.example").await.unwrap(), [at(CONTROLLER).ip()]);
    assert!(outside.resolve("web.example").await.is_err());
}
