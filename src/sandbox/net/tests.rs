//! The network over two regions with a service each, in virtual time.

mod proxy;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::pipe::End;
use super::{Listener, Network, Source, View};
use crate::model::lookup::{Answers, NXDOMAIN, Query, RecordType};
use crate::model::name::Name;
use crate::sandbox::clock::Clock;
use crate::sandbox::spec::{Host, Link};
use crate::world::Net;

const LONG: Duration = Duration::from_secs(3600);

/// Answers one byte for each that it gets: its own.
struct Echo(u8);

impl Listener for Echo {
    fn accept(&self, mut stream: End, _: Ipv4Addr) -> AbortHandle {
        let mine = self.0;
        let serve = async move {
            while let Ok(1..) = stream.read(&mut [0; 1]).await {
                if stream.write_all(&[mine]).await.is_err() {
                    break;
                }
            }
        };
        tokio::spawn(serve).abort_handle()
    }

    fn serves(&self, _: &dyn Fn(&str) -> bool) -> bool {
        true
    }
}

fn region(name: &str) -> Name {
    name.into()
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

/// East (10.1) and west (10.2), each with `shop/web-0` behind `shop/web` (LB .255.1, cluster .254.1) and `ops/tool`; a third party.
fn world(latency_ms: u64) -> Arc<Network> {
    let link = |a: &str, b: &str| Link {
        between: [a.into(), b.into()],
        latency: crate::model::time::Duration::from_millis(latency_ms),
    };
    let ranges = [("east", "10.1.0.0/16"), ("west", "10.2.0.0/16")];
    let hosts = [Host { host: "acquirer.example".into(), address: [203, 0, 113, 10].into(), status: 200 }];
    let network = Network::new(
        Clock::new(Instant::now(), 0),
        ranges.iter().map(|(name, range)| (region(name), range.parse().unwrap())).collect(),
        &[link("outside", "east"), link("outside", "west"), link("east", "west")],
        &hosts,
        fastrand::Rng::with_seed(1),
    );
    for (number, name) in [(1, "east"), (2, "west")] {
        for object in objects(number, name) {
            network.apply(&region(name), object["kind"].as_str().unwrap(), &object);
        }
        network.listen([10, number, 0, 1].into(), 8080, Arc::new(Echo(number)));
        network.listen([10, number, 0, 2].into(), 8080, Arc::new(Echo(number)));
    }
    network.listen([203, 0, 113, 10].into(), 80, Arc::new(Echo(9)));
    network
}

fn objects(number: u8, region: &str) -> Vec<Value> {
    let pod = |namespace: &str, name: &str, last: u8| {
        json!({"kind": "Pod",
            "metadata": {"namespace": namespace, "name": name, "labels": {"app": name}},
            "spec": {"nodeName": "n1", "containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
            "status": {"phase": "Running", "podIP": format!("10.{number}.0.{last}")}})
    };
    let hostname = format!("web.{region}.example");
    vec![
        json!({"kind": "Namespace", "metadata": {"name": "ops", "labels": {"team": "ops"}}}),
        pod("shop", "web-0", 1),
        pod("ops", "tool", 2),
        json!({"kind": "Service",
            "metadata": {"namespace": "shop", "name": "web", "annotations": {
                "external-dns.alpha.kubernetes.io/hostname": hostname, "external-dns.alpha.kubernetes.io/ttl": "30"}},
            "spec": {"clusterIP": format!("10.{number}.254.1"), "ports": [{"name": "http", "port": 80}]},
            "status": {"loadBalancer": {"ingress": [{"ip": format!("10.{number}.255.1")}]}}}),
        slice(number, true),
    ]
}

fn slice(number: u8, ready: bool) -> Value {
    json!({"kind": "EndpointSlice",
        "metadata": {"namespace": "shop", "name": "web-x", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [format!("10.{number}.0.1")], "conditions": {"ready": ready}}]})
}

/// Another slice of the same service, with the pod of `ops`.
fn another_slice(number: u8) -> Value {
    let mut slice = slice(number, true);
    slice["metadata"]["name"] = json!("web-y");
    slice["endpoints"][0]["addresses"] = json!([format!("10.{number}.0.2")]);
    slice
}

fn policy(spec: Value) -> Value {
    json!({"kind": "NetworkPolicy", "metadata": {"namespace": "shop", "name": "p"}, "spec": spec})
}

fn record(address: &str, ttl: u64) -> Value {
    json!({"kind": "DNSEndpoint", "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"endpoints": [
            {"dnsName": "web.example", "recordType": "A", "recordTTL": ttl, "targets": [address]}]}})
}

fn sender(network: &Arc<Network>, from: &str) -> Arc<View> {
    let (place, address, pod): (&str, [u8; 4], Option<(&str, &str)>) = match from {
        "outside" => ("outside", [198, 51, 100, 1], None),
        "east" => ("east", [10, 1, 253, 1], None),
        "west" => ("west", [10, 2, 253, 1], None),
        "web.east" => ("east", [10, 1, 0, 1], Some(("shop", "web-0"))),
        "tool.east" => ("east", [10, 1, 0, 2], Some(("ops", "tool"))),
        "web.west" => ("west", [10, 2, 0, 1], Some(("shop", "web-0"))),
        other => panic!("{other}"),
    };
    let pod = pod.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
    network.view(Source { place: place.into(), address: address.into(), pod })
}

/// The answer's byte, or the error, or silence.
async fn ask(view: &View, to: SocketAddr) -> Result<u8, Option<ErrorKind>> {
    let exchange = async {
        let mut stream = view.connect(to).await?;
        stream.write_all(b"?").await?;
        stream.read_u8().await
    };
    timeout(LONG, exchange).await.map_err(|_| None)?.map_err(|error| Some(error.kind()))
}

const EAST: &str = "10.1.255.1:80";
const ACQUIRER: &str = "203.0.113.10:80";

#[tokio::test(start_paused = true)]
async fn every_address_answers_as_on_a_real_network() {
    let network = world(0);
    for (from, to, wanted) in [
        ("outside", EAST, Ok(1)),
        ("outside", "10.1.254.1:80", Err(None)),
        ("outside", "10.1.0.1:8080", Err(None)),
        ("outside", "192.0.2.1:80", Err(Some(ErrorKind::NetworkUnreachable))),
        ("outside", "[::1]:80", Err(Some(ErrorKind::NetworkUnreachable))),
        ("outside", ACQUIRER, Ok(9)),
        ("outside", "10.1.255.1:81", Err(Some(ErrorKind::ConnectionRefused))),
        ("east", "10.1.254.1:80", Ok(1)),
        ("east", "10.1.0.1:8080", Ok(1)),
        ("east", "10.1.0.1:9", Err(Some(ErrorKind::ConnectionRefused))),
        ("east", "10.1.0.77:80", Err(Some(ErrorKind::HostUnreachable))),
        ("web.east", "10.2.255.1:80", Ok(2)),
        ("web.east", "10.2.0.1:8080", Err(None)),
    ] {
        assert_eq!(ask(&sender(&network, from), at(to)).await, wanted, "{from} to {to}");
    }
    let start = Instant::now();
    let _ = ask(&sender(&network, "east"), at("10.1.0.77:80")).await;
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    network.apply(&region("east"), "EndpointSlice", &slice(1, false));
    let refused = Err(Some(ErrorKind::ConnectionRefused));
    assert_eq!(ask(&sender(&network, "outside"), at(EAST)).await, refused);
}

#[tokio::test(start_paused = true)]
async fn a_service_is_reached_at_the_endpoints_of_all_its_slices() {
    let network = world(0);
    network.listen([10, 1, 0, 2].into(), 8080, Arc::new(Echo(5)));
    let who = async |network: &Arc<Network>| {
        let outside = sender(network, "outside");
        let mut who = [ask(&outside, at(EAST)).await, ask(&outside, at(EAST)).await];
        who.sort();
        who
    };
    network.apply(&region("east"), "EndpointSlice", &another_slice(1));
    assert_eq!(who(&network).await, [Ok(1), Ok(5)]);
    let mut elsewhere = another_slice(1);
    elsewhere["metadata"]["labels"]["kubernetes.io/service-name"] = json!("other");
    network.apply(&region("east"), "EndpointSlice", &elsewhere);
    assert_eq!(who(&network).await, [Ok(1), Ok(1)]);
    network.apply(&region("east"), "EndpointSlice", &another_slice(1));
    network.delete(&region("east"), "EndpointSlice", &("shop".to_owned(), "web-x".to_owned()));
    assert_eq!(who(&network).await, [Ok(5), Ok(5)]);
}

#[tokio::test(start_paused = true)]
async fn policies_decide_who_reaches_whom() {
    let everybody = ["outside", "east", "tool.east", "web.west"];
    let ops = json!({"namespaceSelector": {"matchLabels": {"team": "ops"}}});
    let tool = json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "tool"}}});
    let here = json!({"podSelector": {"matchLabels": {"app": "tool"}}});
    let block = json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.2.0.0/16"]}});
    let into =
        |from: &Value| json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [from]}]});
    let ports =
        |port: Value| json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [port]}]});
    let all: &[&str] = &everybody;
    for (spec, reach) in [
        (json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}), &[][..]),
        (json!({"podSelector": {"matchLabels": {"app": "other"}}, "policyTypes": ["Ingress"]}), all),
        (json!({"podSelector": {}, "policyTypes": ["Egress"]}), all),
        (json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}), all),
        (into(&ops), &["tool.east"]),
        (into(&tool), &["tool.east"]),
        (into(&here), &[]),
        (into(&block), &["east", "tool.east"]),
        (into(&json!({"ipBlock": {"cidr": "nonsense"}})), &[]),
        (ports(json!({"port": 8080})), all),
        (ports(json!({"port": "http"})), all),
        (ports(json!({"port": 8000, "endPort": 8100, "protocol": "TCP"})), all),
        (ports(json!({"port": 80})), &[]),
        (ports(json!({"port": 8080, "protocol": "UDP"})), &[]),
    ] {
        let network = world(0);
        network.apply(&region("east"), "NetworkPolicy", &policy(spec.clone()));
        for from in everybody {
            let wanted = if reach.contains(&from) { Ok(1) } else { Err(None) };
            assert_eq!(ask(&sender(&network, from), at(EAST)).await, wanted, "{from} under {spec}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn egress_policies_hold_back_a_pod_and_nobody_else() {
    let network = world(0);
    let block = json!({"ipBlock": {"cidr": "203.0.113.0/24"}});
    let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [block]}]});
    network.apply(&region("east"), "NetworkPolicy", &policy(spec));
    for (from, to, wanted) in [
        ("web.east", ACQUIRER, Ok(9)),
        ("web.east", "10.2.255.1:80", Err(None)),
        ("web.east", "10.1.0.2:8080", Err(None)),
        ("web.east", "10.1.0.1:8080", Ok(1)),
        ("tool.east", "10.2.255.1:80", Ok(2)),
        ("web.west", EAST, Ok(1)),
    ] {
        assert_eq!(ask(&sender(&network, from), at(to)).await, wanted, "{from} to {to}");
    }
    network.delete(&region("east"), "NetworkPolicy", &("shop".into(), "p".into()));
    assert_eq!(ask(&sender(&network, "web.east"), at("10.2.255.1:80")).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_fresh_answer_takes_four_latencies_to_the_millisecond() {
    for latency in [0, 7, 30] {
        let network = world(latency);
        let start = Instant::now();
        assert_eq!(ask(&sender(&network, "outside"), at(EAST)).await, Ok(1));
        assert_eq!(start.elapsed(), Duration::from_millis(4 * latency));
        let start = Instant::now();
        assert!(ask(&sender(&network, "outside"), at("10.1.255.1:81")).await.is_err());
        assert_eq!(start.elapsed(), Duration::from_millis(2 * latency));
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_connection_hangs_when_it_is_cut_and_breaks_when_its_process_ends() {
    type Breaks = fn(&Arc<Network>);
    let cuts: [(Breaks, bool); 4] = [
        (
            |network| {
                let deny = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
                network.apply(&region("east"), "NetworkPolicy", &policy(deny));
            },
            true,
        ),
        (|network| network.darken(&region("east"), "n1", true), true),
        (|network| network.vanish([198, 51, 100, 1].into(), true), true),
        (|network| network.silence([10, 1, 0, 1].into(), 8080), false),
    ];
    for (index, (breaks, hangs)) in cuts.into_iter().enumerate() {
        let network = world(0);
        let view = sender(&network, "outside");
        let mut stream = view.connect(at(EAST)).await.unwrap();
        stream.write_all(b"?").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), 1);
        breaks(&network);
        let _ = stream.write_all(b"?").await;
        let became = match timeout(LONG, stream.read_u8()).await {
            Err(_) => "hangs",
            Ok(Err(_)) => "is broken",
            Ok(Ok(_)) => "still answers",
        };
        assert_eq!(became, if hangs { "hangs" } else { "is broken" }, "way {index}");
        let again = if hangs { Err(None) } else { Err(Some(ErrorKind::ConnectionRefused)) };
        assert_eq!(ask(&view, at(EAST)).await, again, "way {index}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_does_not_open_when_it_is_cut_on_the_way() {
    let network = world(30);
    let view = sender(&network, "outside");
    let asking = tokio::spawn(async move { ask(&view, at(EAST)).await });
    sleep(Duration::from_millis(59)).await;
    let deny = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    network.apply(&region("east"), "NetworkPolicy", &policy(deny));
    assert_eq!(asking.await.unwrap(), Err(None));
}

#[tokio::test(start_paused = true)]
async fn a_name_moves_for_each_place_when_its_cached_answer_expires() {
    let network = world(0);
    let (outside, west) = (sender(&network, "outside"), sender(&network, "west"));
    let missing = outside.resolve("web.example").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    network.apply(&region("west"), "DNSEndpoint", &record("10.1.255.1", 30));
    sleep(Duration::from_secs(5)).await;
    let (east_address, west_address): (Ipv4Addr, Ipv4Addr) = ([10, 1, 255, 1].into(), [10, 2, 255, 1].into());
    assert_eq!(outside.resolve("web.example").await.unwrap(), [east_address]);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(west.resolve("WEB.example.").await.unwrap(), [east_address]);
    network.apply(&region("west"), "DNSEndpoint", &record("10.2.255.1", 30));
    sleep(Duration::from_millis(4_999)).await;
    assert_eq!(outside.resolve_authoritative("web.example").await.unwrap(), [east_address]);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(outside.resolve_authoritative("web.example").await.unwrap(), [west_address]);
    assert_eq!(
        outside.resolve("web.example").await.unwrap(),
        [east_address],
        "cached until 30 s after the answer"
    );
    sleep(Duration::from_secs(5)).await;
    assert_eq!(outside.resolve("web.example").await.unwrap(), [west_address]);
    assert_eq!(
        west.resolve("web.example").await.unwrap(),
        [east_address],
        "asked later, so believes it longer"
    );
    sleep(Duration::from_secs(20)).await;
    assert_eq!(west.resolve("web.example").await.unwrap(), [west_address]);
}

fn query(name: &str, of: RecordType) -> Query {
    Query { name: name.into(), of, resolver: None }
}

#[tokio::test(start_paused = true)]
async fn a_question_gets_what_the_place_resolves_with_the_rest_of_its_time() {
    let network = world(0);
    let outside = sender(&network, "outside");
    let ask = async |name: &str, of| outside.look_up(&query(name, of)).await.unwrap();
    let answers = |records: &[&str], seconds| Answers {
        code: 0,
        records: records.iter().map(|record| (*record).to_owned()).collect(),
        ttl: crate::model::time::Duration::from_secs(seconds),
    };
    assert_eq!(ask("web.example", RecordType::A).await, Answers::code(NXDOMAIN));
    assert_eq!(ask("web.example", RecordType::Txt).await, Answers::code(NXDOMAIN));
    network.apply(&region("west"), "DNSEndpoint", &record("10.1.255.1", 30));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(ask("WEB.example.", RecordType::A).await, answers(&["10.1.255.1"], 30));
    network.apply(&region("west"), "DNSEndpoint", &record("10.2.255.1", 30));
    sleep(Duration::from_millis(10_500)).await;
    assert_eq!(outside.resolve("web.example").await.unwrap(), [Ipv4Addr::new(10, 1, 255, 1)]);
    assert_eq!(ask("web.example", RecordType::A).await, answers(&["10.1.255.1"], 19), "as it is cached");
    sleep(Duration::from_millis(19_500)).await;
    assert_eq!(ask("web.example", RecordType::A).await, answers(&["10.2.255.1"], 30), "asked anew");
    for of in [RecordType::Aaaa, RecordType::Cname, RecordType::Txt] {
        assert_eq!(ask("web.example", of).await, Answers::default(), "{of:?}");
    }
    let alias = json!({"metadata": {"namespace": "shop", "name": "alias"}, "spec": {"endpoints": [
        {"dnsName": "www.example", "recordType": "CNAME", "targets": ["Web.Example."], "recordTTL": 7},
    ]}});
    network.apply(&region("west"), "DNSEndpoint", &alias);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(ask("www.example", RecordType::Cname).await, answers(&["web.example"], 7));
    assert_eq!(
        ask("www.example", RecordType::A).await,
        answers(&["10.2.255.1"], 7),
        "the least of the chain"
    );
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_a_question_names_is_nobody_in_a_simulated_network() {
    let network = world(0);
    let elsewhere =
        Query { resolver: Some(([192, 0, 2, 53], 53).into()), ..query("web.example", RecordType::A) };
    let view = sender(&network, "outside");
    assert!(timeout(Duration::from_secs(3600), view.look_up(&elsewhere)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_another_name_leads_there_within_its_region() {
    let network = world(0);
    let leads = |name: &str, to: &str| {
        let service = json!({"kind": "Service", "metadata": {"namespace": "shop", "name": name},
            "spec": {"type": "ExternalName", "externalName": to}});
        network.apply(&region("east"), "Service", &service);
    };
    leads("payments", "Acquirer.example.");
    leads("shelf", "web.shop.svc.cluster.local");
    leads("twice", "payments.shop.svc.cluster.local");
    leads("loop", "loop.shop.svc.cluster.local");
    sleep(Duration::from_secs(5)).await;
    for (from, host, wanted) in [
        ("web.east", "payments", Some([203, 0, 113, 10])),
        ("east", "payments.shop.svc.cluster.local", Some([203, 0, 113, 10])),
        ("east", "shelf.shop", Some([10, 1, 254, 1])),
        ("east", "twice.shop", Some([203, 0, 113, 10])),
        ("west", "payments.shop", None),
        ("outside", "payments.shop", None),
    ] {
        let found = sender(&network, from).resolve(host).await.ok();
        assert_eq!(found, wanted.map(|bytes: [u8; 4]| vec![bytes.into()]), "{from} asks for {host}");
    }
    let endless = sender(&network, "east").resolve("loop.shop").await.ok();
    assert!(endless.is_none_or(|found| found.is_empty()), "it leads nowhere");
}

#[tokio::test(start_paused = true)]
async fn names_of_services_pods_and_third_parties_resolve_where_they_should() {
    let network = world(20);
    sleep(Duration::from_secs(5)).await;
    let start = Instant::now();
    for (from, host, wanted) in [
        ("outside", "web.east.example", Some([10, 1, 255, 1])),
        ("outside", "acquirer.example", Some([203, 0, 113, 10])),
        ("outside", "web.shop", None),
        ("east", "web.shop.svc.cluster.local", Some([10, 1, 254, 1])),
        ("east", "web.shop.svc", Some([10, 1, 254, 1])),
        ("west", "web.shop", Some([10, 2, 254, 1])),
        ("web.west", "web", Some([10, 2, 254, 1])),
        ("tool.east", "web", None),
        ("web.west", "web-0.web.shop.svc", Some([10, 2, 0, 1])),
        ("east", "192.0.2.7", Some([192, 0, 2, 7])),
    ] {
        let found = sender(&network, from).resolve(host).await.ok();
        assert_eq!(found, wanted.map(|bytes: [u8; 4]| vec![bytes.into()]), "{from} asks for {host}");
    }
    assert_eq!(
        start.elapsed(),
        Duration::from_millis(40),
        "one place asks the authority once: tool.east for `web`"
    );
}
