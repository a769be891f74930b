//! Tests of the client in virtual time.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Duration as Std, sleep};

use super::simulated::{Host, TestClock, TestNet};
use super::*;

const TIMEOUT: Option<Duration> = Some(Duration::from_millis(700));

async fn asked(net: &TestNet, url: &str) -> Result<Exchange, Broken> {
    exchange(net, &*TestClock::start(), &Ask::get(url).unwrap(), TIMEOUT).await
}

async fn failure(net: &TestNet, url: &str) -> (Failure, bool) {
    let broken = asked(net, url).await.unwrap_err();
    (broken.failure, broken.sent)
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_whole_with_who_gave_it() {
    let net = TestNet::new();
    net.says("a", "HTTP/1.1 201 Created\r\nx-by: east\r\ncontent-length: 5\r\n\r\nhello");
    let answer = asked(&net, "http://a/").await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (201, &b"hello"[..]));
    assert_eq!(answer.headers["x-by"], "east");
    assert_eq!(answer.address.to_string(), "10.0.0.0");
}

#[tokio::test(start_paused = true)]
async fn each_way_to_break_has_its_class_and_says_whether_the_request_may_have_arrived() {
    let net = TestNet::new();
    net.host("refused", Host::Fails(ErrorKind::ConnectionRefused));
    net.host("unreachable", Host::Fails(ErrorKind::HostUnreachable));
    net.host("reset", Host::Fails(ErrorKind::ConnectionReset));
    net.says("closed", "");
    net.says("short", "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello");
    net.says("gopher", "i like gopher better\r\n\r\n");
    net.serves("silent", |stream| {
        tokio::spawn(async move {
            let _held = stream;
            sleep(Std::from_secs(3600)).await;
        });
    });
    net.serves("hole", |_| {});
    net.cut("hole", true);
    net.serves("slams", drop);
    for (host, failure_and_sent) in [
        ("unknown", (Failure::Resolve, false)),
        ("refused", (Failure::Refused, false)),
        ("unreachable", (Failure::Unreachable, false)),
        ("reset", (Failure::Reset, false)),
        ("hole", (Failure::Timeout, false)),
        ("slams", (Failure::Reset, false)),
        ("closed", (Failure::Protocol, true)),
        ("short", (Failure::Protocol, true)),
        ("gopher", (Failure::Protocol, true)),
        ("silent", (Failure::Timeout, true)),
    ] {
        assert_eq!(failure(&net, &format!("http://{host}/")).await, failure_and_sent, "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_comes_at_its_exact_instant_and_says_in_which_stage() {
    let net = TestNet::new();
    net.serves("hole", |_| {});
    net.cut("hole", true);
    let clock = TestClock::start();
    let ask = Ask::get("http://hole/").unwrap();
    let broken = exchange(&*net, &*clock, &ask, TIMEOUT).await.unwrap_err();
    assert_eq!(clock.now().0, 700_000_000);
    assert_eq!(broken.stages, Stages { connect: 700_000_000, ..Stages::default() });
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_is_cut_off() {
    let net = TestNet::new();
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 2 * BODY_LIMIT).into_bytes();
    answer.resize(answer.len() + 2 * BODY_LIMIT, b'x');
    net.says("a", answer);
    assert_eq!(asked(&net, "http://a/").await.unwrap().body.len(), BODY_LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_request_over_a_connection_that_was_closed_while_idle_was_not_sent() {
    let net = TestNet::new();
    net.says("a", "HTTP/1.1 204 No Content\r\n\r\n");
    let (clock, ask) = (TestClock::start(), Ask::get("http://a/").unwrap());
    let mut connection = Connection::open(&*net, &*clock, &ask, TIMEOUT).await.unwrap();
    assert_eq!(connection.exchange(&*clock, &ask, TIMEOUT).await.unwrap().status, 204);
    let again = connection.exchange(&*clock, &ask, TIMEOUT).await.unwrap_err();
    assert_eq!((again.failure, again.sent), (Failure::Reset, false));
    assert!(!connection.is_open());
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_body_is_not_that_of_the_first_byte() {
    let net = TestNet::new();
    net.serves("slow", |mut stream| {
        tokio::spawn(async move {
            let _ = stream.read(&mut [0; 1024]).await;
            sleep(Std::from_millis(100)).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await;
            sleep(Std::from_millis(300)).await;
            let _ = stream.write_all(b"hello").await;
        });
    });
    let stages = asked(&net, "http://slow/").await.unwrap().stages;
    assert_eq!(stages, Stages { first_byte: 100_000_000, body: 300_000_000, ..Stages::default() });
}

#[tokio::test(start_paused = true)]
async fn every_address_of_a_name_is_tried_in_turn() {
    let net = TestNet::new();
    net.host("both", Host::Fails(ErrorKind::ConnectionRefused));
    net.says("both", "HTTP/1.1 204 No Content\r\n\r\n");
    net.host("neither", Host::Fails(ErrorKind::ConnectionRefused));
    net.host("neither", Host::Fails(ErrorKind::HostUnreachable));
    let answer = asked(&net, "http://both/").await.unwrap();
    assert_eq!((answer.status, answer.address.to_string().as_str()), (204, "10.0.0.1"));
    assert_eq!(failure(&net, "http://neither/").await, (Failure::Unreachable, false), "the last one's");
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_answer_was_not_read_to_its_end_is_of_no_more_use() {
    let net = TestNet::new();
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 2 * BODY_LIMIT).into_bytes();
    answer.resize(answer.len() + 2 * BODY_LIMIT, b'x');
    net.says("a", answer);
    let (clock, ask) = (TestClock::start(), Ask::get("http://a/").unwrap());
    let mut connection = Connection::open(&*net, &*clock, &ask, TIMEOUT).await.unwrap();
    assert_eq!(connection.exchange(&*clock, &ask, TIMEOUT).await.unwrap().body.len(), BODY_LIMIT);
    assert!(!connection.is_open());
}
