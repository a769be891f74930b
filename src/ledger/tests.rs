//! Tests of the whole ledger in virtual time: two nodes, a net that can be cut, and the client.

use std::sync::Arc;
use std::time::Duration as Std;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::client::{LedgerRun, read_back, remove};
use super::*;
use crate::http::simulated::{TestClock, TestNet};
use crate::http::{Ask, exchange};
use crate::model::effect::Request;
use crate::model::event::Outcome;
use crate::model::plan;
use crate::model::sample::{Failure, Found, Write, WriteSeen};
use crate::model::time::{At, Duration};
use crate::prober::Observation;
use crate::world::Clock as _;
use crate::world::watch;

/// East is primary and west its replica; the client writes to whichever `checkout` was made to be.
struct Pair {
    net: Arc<TestNet>,
    clock: Arc<TestClock>,
    east: Arc<Service>,
    west: Arc<Service>,
    kept: Memory,
}

fn config(role: &str, peer: &str, more: &[(&str, &str)]) -> Config {
    let mut env = std::collections::BTreeMap::new();
    let all = [("LEDGER_ROLE", role), ("LEDGER_PEER", peer), ("LEDGER_SHIP_EVERY", "500ms")];
    for (name, value) in all.iter().chain(more) {
        env.insert((*name).to_owned(), (*value).to_owned());
    }
    Config::from_env(&env).unwrap()
}

fn node(pair: (&Arc<TestNet>, &Arc<TestClock>), host: &str, config: Config, kept: &Memory) -> Arc<Service> {
    let (net, clock) = pair;
    let service = Service::new(config, Box::new(kept.clone()), net.clone(), clock.clone()).unwrap();
    let serving = service.clone();
    net.serves(host, move |stream| {
        tokio::spawn(serve_connection(serving.clone(), stream));
    });
    let following = service.clone();
    tokio::spawn(async move { following.replicate().await });
    service
}

fn pair_with(more: &[(&str, &str)]) -> Pair {
    let (net, clock, kept) = (TestNet::new(), TestClock::start(), Memory::default());
    let east = node((&net, &clock), "east", config("primary", "http://west:8080", more), &kept);
    let west = node((&net, &clock), "west", config("replica", "http://east:8080", more), &Memory::default());
    Pair { net, clock, east, west, kept }
}

fn pair() -> Pair {
    pair_with(&[])
}

async fn ran(service: &Service, command: &str) -> (Value, i32) {
    let argv: Vec<String> = command.split(' ').map(str::to_owned).collect();
    let ran = control(service, &argv).await;
    (serde_json::from_str(&ran.stdout).unwrap(), ran.code)
}

async fn status(service: &Service, field: &str) -> Value {
    ran(service, "status").await.0[field].clone()
}

fn ledger(host: &str) -> plan::Ledger {
    plan::Ledger {
        service: "checkout".into(),
        store: "orders".into(),
        url: format!("http://{host}/ledger"),
        writes_per_second: 10,
        timeout: Duration::from_secs(1),
        from: "outside".into(),
    }
}

async fn pause(milliseconds: u64) {
    sleep(Std::from_millis(milliseconds)).await;
}

impl Pair {
    /// Writes to a host from the next whole second on, for some milliseconds.
    async fn writes(&self, host: &str, milliseconds: u64) -> Vec<Write> {
        let second = 1_000_000_000;
        let start = At((self.clock.now().0 / second + 1) * second);
        let (out, mut seen) = mpsc::channel(100_000);
        let (stop, stopped) = watch::channel(false);
        let run = LedgerRun {
            plan: ledger(host),
            net: self.net.clone(),
            clock: self.clock.clone(),
            run: "run-1".into(),
            start,
        };
        let writing = tokio::spawn(client::run(run, out, stopped));
        sleep(start.since(self.clock.now()).std() + Std::from_millis(milliseconds)).await;
        stop.send(true);
        writing.await.unwrap().unwrap();
        let mut writes = Vec::new();
        while let Some(Observation::Write { write, .. }) = seen.recv().await {
            writes.push(write);
        }
        writes.sort_by_key(|write| write.number);
        writes
    }

    async fn found(&self, host: &str) -> Vec<Found> {
        let deadline = At(i64::MAX);
        let read = read_back(&*self.net, &*self.clock, &ledger(host), &"run-1".into(), u64::MAX, deadline)
            .await
            .unwrap();
        assert!(read.stable);
        read.found
    }
}

fn numbers(found: &[Found]) -> Vec<u64> {
    found.iter().map(|found| found.number).collect()
}

#[tokio::test(start_paused = true)]
async fn a_failover_loses_exactly_what_was_not_shipped() {
    let pair = pair_with(&[("LEDGER_SHIP_EVERY", "470ms")]);
    // Writes at 1.0s, 1.1s, … 2.6s; shipped at 1.41s, 1.88s and 2.35s.
    let writes = pair.writes("east", 1_650).await;
    assert_eq!(writes.len(), 17);
    assert!(writes.iter().all(|write| write.seen == WriteSeen::Ok { epoch: 1 }));
    pair.net.cut("east", true);
    pause(3000).await;
    assert_eq!(ran(&pair.west, "promote").await.1, 0);
    let found = pair.found("west").await;
    assert_eq!(numbers(&found), (1..=14).collect::<Vec<_>>());
    assert_eq!(status(&pair.west, "epoch").await, 2);
    assert!(found.iter().all(|found| found.epoch == 1 && found.intact));
}

#[tokio::test(start_paused = true)]
async fn a_stale_primary_stays_primary_until_fenced_and_its_own_writes_are_dropped_when_it_follows_again() {
    let pair = pair();
    pair.writes("east", 1000).await;
    pause(1000).await;
    pair.net.cut("east", true);
    ran(&pair.west, "promote").await;
    pair.net.cut("east", false);
    let stale = pair.writes("east", 500).await;
    assert!(stale.iter().all(|write| write.seen == WriteSeen::Ok { epoch: 1 }));
    let taken = pair.writes("west", 300).await;
    assert!(taken.iter().all(|write| write.seen == WriteSeen::Ok { epoch: 2 }));
    let (refused, code) = ran(&pair.east, "resync").await;
    assert_eq!((refused["role"].as_str(), code), (Some("primary"), 1));
    ran(&pair.east, "fence").await;
    assert_eq!(ran(&pair.east, "resync").await.1, 0);
    pause(2000).await;
    let (east, _) = ran(&pair.east, "status").await;
    assert_eq!(
        (&east["role"], &east["synced"], &east["aside"]),
        (&json!("replica"), &json!(true), &json!(5))
    );
    assert_eq!(pair.found("east").await, pair.found("west").await);
    assert_eq!(ran(&pair.east, "try").await.0, json!({"accepted": false, "reason": "fenced"}));
    assert_eq!(ran(&pair.west, "demote").await.1, 0);
    assert_eq!(ran(&pair.east, "promote").await.0["epoch"], 3);
    assert_eq!(ran(&pair.east, "try").await.0, json!({"accepted": true, "reason": null}));
    pause(2000).await;
    assert_eq!(status(&pair.west, "synced").await, true);
}

#[tokio::test(start_paused = true)]
async fn a_replica_catches_up_at_once_with_what_was_due_before_and_gets_nothing_that_is_not() {
    // Nine pages and a part of what was due long ago: west restarts with nothing, right after a boundary.
    let pair = pair_with(&[("LEDGER_SHIP_EVERY", "60s")]);
    pair.writes("east", 455_000).await;
    pause(60_000 - (pair.clock.now().0 / 1_000_000 % 60_000) as u64 + 10).await;
    pair.writes("east", 500).await;
    let config = config("replica", "http://east:8080", &[("LEDGER_SHIP_EVERY", "60s")]);
    let west = node((&pair.net, &pair.clock), "west", config, &Memory::default());
    pause(1_000).await;
    assert_eq!((status(&pair.east, "last").await, status(&west, "last").await), (json!(4_555), json!(4_550)));
    pause(60_000).await;
    assert_eq!(status(&west, "last").await, 4_555);
}

#[tokio::test(start_paused = true)]
async fn a_node_greets_with_its_role_and_says_whether_it_can_be_read() {
    let pair = pair();
    let greeting = async |host: &str| {
        let ask = Ask::get(&format!("http://{host}/")).unwrap();
        let answer = exchange(&*pair.net, &*pair.clock, &ask, None).await.unwrap();
        (answer.status, serde_json::from_slice::<Value>(&answer.body).unwrap()["role"].clone())
    };
    assert_eq!(greeting("east").await, (200, status(&pair.east, "role").await));
    assert_eq!(greeting("west").await, (200, status(&pair.west, "role").await));
    ran(&pair.east, "fence").await;
    assert_eq!(greeting("east").await, (503, status(&pair.east, "role").await));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_diverged_drops_nothing_until_it_is_told_to() {
    let pair = pair();
    pair.writes("east", 500).await;
    pause(1000).await;
    ran(&pair.west, "promote").await;
    pair.writes("west", 300).await;
    // Demoted without its peer's knowledge: east never follows, so west must wait for it in vain and stay primary.
    let (west, code) = ran(&pair.west, "demote").await;
    assert_eq!((code, &west["role"]), (1, &json!("primary")));
    ran(&pair.west, "fence").await;
    ran(&pair.west, "resync").await;
    pause(2000).await;
    let (west, _) = ran(&pair.west, "status").await;
    assert_eq!((&west["aside"], &west["synced"]), (&json!(4), &json!(true)));
}

#[tokio::test(start_paused = true)]
async fn a_demotion_waits_until_the_replica_has_every_write_and_refuses_new_ones_meanwhile() {
    let pair = pair();
    pair.net.cut("east", true);
    pause(12_000).await;
    let primary = pair.east.clone();
    ran(&primary, "corrupt 1").await;
    let demoting = tokio::spawn(async move { ran(&primary, "demote").await });
    pause(5000).await;
    assert!(!demoting.is_finished());
    assert_eq!(ran(&pair.east, "try").await.0["reason"], "not primary");
    pair.net.cut("east", false);
    let (status, code) = demoting.await.unwrap();
    assert_eq!((status["role"].as_str(), code), (Some("replica"), 0));
    assert_eq!(pair.west.state().node.last(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_demotion_without_a_replica_gives_up_and_stays_primary() {
    let pair = pair();
    pair.net.cut("east", true);
    pause(20_000).await;
    ran(&pair.east, "try").await;
    let (status, code) = ran(&pair.east, "demote").await;
    assert_eq!((status["role"].as_str(), code), (Some("primary"), 1));
    assert_eq!(ran(&pair.east, "try").await.0["accepted"], true);
}

#[tokio::test(start_paused = true)]
async fn a_fence_refuses_writes_and_survives_a_restart() {
    let pair = pair();
    ran(&pair.east, "fence").await;
    let writes = pair.writes("east", 300).await;
    assert!(writes.iter().all(|write| write.seen == WriteSeen::Failed(Failure::Status(503))));
    let config = config("primary", "http://west:8080", &[]);
    let again = node((&pair.net, &pair.clock), "east-again", config, &pair.kept);
    assert_eq!(ran(&again, "try").await.0, json!({"accepted": false, "reason": "fenced"}));
    let fenced = Ask::get("http://east-again/").unwrap();
    let get = async || exchange(&*pair.net, &*pair.clock, &fenced, None).await.unwrap().status;
    assert_eq!(get().await, 503);
    ran(&again, "promote").await;
    assert_eq!((get().await, ran(&again, "try").await.0["accepted"].clone()), (200, json!(true)));
}

#[tokio::test(start_paused = true)]
async fn a_write_is_failed_only_where_it_is_surely_not_stored() {
    let pair = pair();
    pair.net.says("gateway", "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    pair.net.says("closing", "");
    pair.net.serves("hung", |stream| {
        tokio::spawn(async move {
            let _held = stream;
            pause(3_600_000).await;
        });
    });
    pair.net.serves("hole", |_| {});
    pair.net.cut("hole", true);
    for (host, seen) in [
        ("east", WriteSeen::Ok { epoch: 1 }),
        ("west", WriteSeen::Failed(Failure::Status(503))),
        ("nowhere", WriteSeen::Failed(Failure::Resolve)),
        ("hole", WriteSeen::Failed(Failure::Timeout)),
        ("hung", WriteSeen::Unknown(Failure::Timeout)),
        ("closing", WriteSeen::Unknown(Failure::Protocol)),
        ("gateway", WriteSeen::Unknown(Failure::Status(503))),
    ] {
        let writes = pair.writes(host, 150).await;
        assert_eq!(writes.iter().map(|write| write.seen).collect::<Vec<_>>(), [seen, seen], "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn writes_are_sent_at_their_instants_whatever_becomes_of_them() {
    let pair = pair();
    pair.net.cut("east", true);
    let writes = pair.writes("east", 2950).await;
    assert_eq!(writes.len(), 30);
    for (write, number) in writes.iter().zip(1..) {
        assert_eq!((write.number, write.sent), (number, write.scheduled));
        assert_eq!(write.completed, write.sent.plus(Duration::from_secs(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_run_wrote_is_removed_on_both_sides_and_the_removal_is_proved() {
    let pair = pair();
    pair.writes("east", 1000).await;
    let deadline = At(60_000_000_000);
    let removed =
        async |host| remove(&*pair.net, &*pair.clock, &ledger(host), &"run-1".into(), deadline).await;
    assert!(matches!(removed("west").await, Outcome::Failed { .. } | Outcome::Unknown { .. }));
    let deadline = At(120_000_000_000);
    let removed = remove(&*pair.net, &*pair.clock, &ledger("east"), &"run-1".into(), deadline).await;
    assert_eq!(removed, Outcome::Ok);
    pause(1000).await;
    assert_eq!((pair.found("east").await, pair.found("west").await), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn damage_replicates_and_is_undone_by_a_repair_or_by_a_copy_that_loses_what_came_after() {
    let pair = pair_with(&[("LEDGER_SNAPSHOT_EVERY", "10s")]);
    assert_eq!(ran(&pair.east, "snapshot-restore").await.1, 1);
    pair.writes("east", 500).await;
    pause(10_000).await;
    pair.writes("east", 300).await;
    assert_eq!(ran(&pair.east, "corrupt 4").await.0["corrupt"], 4);
    pause(1000).await;
    for host in ["east", "west"] {
        let intact: Vec<bool> = pair.found(host).await.iter().map(|found| found.intact).collect();
        assert_eq!(intact, [true, true, true, true, false, false, false, false], "{host}");
    }
    assert_eq!(ran(&pair.east, "restore").await.0["corrupt"], 0);
    assert!(pair.found("east").await.iter().all(|found| found.intact));
    ran(&pair.east, "corrupt 1").await;
    let (restored, code) = ran(&pair.east, "snapshot-restore").await;
    assert_eq!((restored["restores"].as_u64(), restored["epoch"].as_u64(), code), (Some(1), Some(3), 0));
    let found = pair.found("east").await;
    assert_eq!(numbers(&found), [1, 2, 3, 4, 5]);
    assert!(found.iter().all(|found| found.intact));
    // The replica holds what the primary gave up: it says so, and follows again when it is told to.
    pause(1000).await;
    assert_eq!(status(&pair.west, "diverged").await, true);
    ran(&pair.west, "resync").await;
    pause(1000).await;
    assert_eq!(pair.found("west").await, found);
}

#[tokio::test(start_paused = true)]
async fn hostile_requests_are_refused() {
    let pair = pair();
    let asked = async |method: &str, target: &str, body: String| {
        let request = Request {
            method: method.into(),
            url: format!("http://east{target}"),
            headers: Default::default(),
            body: Some(body),
        };
        exchange(&*pair.net, &*pair.clock, &Ask::new(&request).unwrap(), None).await.unwrap().status
    };
    let record = |digest: &str, synthetic| {
        json!({"run": "r", "number": 1, "payload": "p", "digest": digest, "synthetic": synthetic}).to_string()
    };
    assert_eq!(asked("POST", "/ledger", record(&wire::digest("p"), true)).await, 201);
    for body in [record("0", true), record(&wire::digest("p"), false), "{".into(), "x".repeat(100_000)] {
        assert_eq!(asked("POST", "/ledger", body).await, 400);
    }
    assert_eq!(asked("GET", "/replicate?after=x&epoch=1", String::new()).await, 400);
    assert_eq!(asked("GET", "/ledger?run=r&after=99999999999999999999&limit=-1", String::new()).await, 200);
    assert_eq!(asked("GET", "/replicate?after=18446744073709551615&epoch=1", String::new()).await, 409);
    assert_eq!(asked("PUT", "/ledger", String::new()).await, 405);
    assert_eq!(asked("GET", "/elsewhere", String::new()).await, 404);
    // Control is for the same machine only.
    assert_eq!(asked("POST", "/control", "[\"promote\"]".into()).await, 404);
}

#[tokio::test(start_paused = true)]
async fn a_reading_is_stable_only_where_two_passes_agree_and_holds_nothing_that_was_written_later() {
    let pair = pair();
    pair.writes("east", 1000).await;
    let read = async |up_to, deadline| {
        let ledger = ledger("east");
        read_back(&*pair.net, &*pair.clock, &ledger, &"run-1".into(), up_to, deadline).await.unwrap()
    };
    let once = read(u64::MAX, pair.clock.now()).await;
    assert_eq!((once.found.len(), once.stable), (10, true), "a pass over a slow link may take all the time");
    let no_more = async {
        pause(500).await;
        pair.net.cut("east", true);
    };
    let soon = pair.clock.now().plus(Duration::from_secs(9));
    let (once, ()) = tokio::join!(read(u64::MAX, soon), no_more);
    assert!(!once.stable && once.found.len() == 10 && once.once.is_some(), "{once:?}");
    pair.net.cut("east", false);
    let earlier = read(4, At(i64::MAX)).await;
    assert_eq!((numbers(&earlier.found), earlier.stable), (vec![1, 2, 3, 4], true));
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_is_only_claimed_is_not_believed() {
    let pair = pair();
    pair.writes("east", 300).await;
    let page = serde_json::to_string(&pair.east.state().node.page("run-1", 0, 10)).unwrap();
    // A service that says it removed everything, and keeps it.
    pair.net.serves("lying", move |mut stream| {
        let page = page.clone();
        tokio::spawn(async move {
            let mut head = [0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            let body = if head[..length].starts_with(b"DELETE") { r#"{"removed":3}"# } else { page.as_str() };
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    });
    let deadline = pair.clock.now().plus(Duration::from_secs(5));
    let removed = remove(&*pair.net, &*pair.clock, &ledger("lying"), &"run-1".into(), deadline).await;
    assert_eq!(removed, Outcome::failed("3 records are still there"));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_lost_sight_of_its_primary_is_not_synced() {
    let pair = pair();
    pair.writes("east", 300).await;
    pause(2000).await;
    assert_eq!(status(&pair.west, "synced").await, true);
    pair.net.cut("east", true);
    pause(20_000).await;
    let (west, _) = ran(&pair.west, "status").await;
    assert_eq!((&west["synced"], &west["lag"]), (&json!(false), &json!(null)));
}

#[tokio::test(start_paused = true)]
async fn what_a_node_knew_of_its_peer_does_not_outlive_its_role() {
    let pair = pair();
    pair.writes("east", 300).await;
    pause(2000).await;
    assert_eq!((status(&pair.east, "lag").await, status(&pair.west, "lag").await), (json!(0), json!(0)));
    pair.net.cut("east", true);
    pair.west.state().diverged = true;
    // No more is asked before each status than its command: nobody had time to ask the peer.
    ran(&pair.east, "fence").await;
    ran(&pair.east, "promote").await;
    assert_eq!(status(&pair.east, "lag").await, json!(null), "its replica was not heard of since");
    ran(&pair.west, "fence").await;
    ran(&pair.west, "resync").await;
    let (west, _) = ran(&pair.west, "status").await;
    assert_eq!((&west["synced"], &west["lag"]), (&json!(false), &json!(null)));
    assert_eq!(west["diverged"], false);
}
