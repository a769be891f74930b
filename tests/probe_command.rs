//! `drillmaster probe` as its users have it: over real sockets, by its words and its exit code.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};

use serde_json::Value;

/// A server that gives one answer to whoever asks, until the test ends.
fn answers(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = BufReader::new(stream.try_clone().unwrap()).lines();
            while asked.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            // Whoever asked may be gone by now.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nready";

fn probed(url: &str, more: &[&str]) -> Output {
    let asks = ["probe", url, "--every", "10ms", "--for", "400ms"];
    Command::new(env!("CARGO_BIN_EXE_drillmaster")).args(asks).args(more).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn a_service_that_answers_is_well_and_its_answers_are_counted_by_stage() {
    let url = format!("http://{}/", answers(OK));
    let ran = probed(&url, &["--output", "json", "--body-contains", "ready"]);
    let seen = json(&ran);
    assert_eq!(ran.status.code(), Some(0), "{seen}");
    assert_eq!(seen["url"], url.as_str());
    assert!(seen["ok"].as_u64() > Some(0) && seen["failed"] == serde_json::json!({}), "{seen}");
    let whole = seen["latencies"].as_array().unwrap().iter().find(|took| took["stage"] == "whole").unwrap();
    let counted: u64 =
        seen["histogram"].as_array().unwrap().iter().map(|bar| bar["count"].as_u64().unwrap()).sum();
    assert_eq!((&whole["count"], counted), (&seen["ok"], seen["ok"].as_u64().unwrap()));
}

#[test]
fn a_service_that_refuses_is_down_and_the_exit_says_so() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = probed(&format!("http://{nobody}/"), &[]);
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert_eq!(ran.status.code(), Some(10), "{out}{err}");
    assert!(out.contains(" 0 ok, ") && out.contains(" refused)") && out.contains("had not ended"), "{out}");
    assert!(err.contains("fails: refused"), "{err}");
}

#[test]
fn an_answer_that_is_another_one_is_a_failure_by_its_kind() {
    let busy = answers("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let seen = json(&probed(&format!("http://{busy}/"), &["--output", "json"]));
    assert!(seen["failed"]["status-503"].as_u64() > Some(0), "{seen}");
    let other = answers(OK);
    let seen = json(&probed(&format!("http://{other}/"), &["--output", "json", "--body-contains", "closed"]));
    assert!(seen["failed"]["body"].as_u64() > Some(0), "{seen}");
}

#[test]
fn what_cannot_be_asked_is_told_at_once() {
    for (url, more, tells) in [
        ("ftp://shop/", &[][..], "cannot ask"),
        ("http://shop.example/", &["--timeout", "0s"], "the timeout is 0s"),
        ("http://shop.example/", &["--certificate-authority", "missing.pem"], "missing.pem"),
    ] {
        let ran = probed(url, more);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{said}");
        assert!(said.contains(tells), "{said}");
    }
    let often = ["probe", "http://shop.example/", "--every", "10us"];
    let ran = Command::new(env!("CARGO_BIN_EXE_drillmaster")).args(often).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(2), "{said}");
    assert!(said.contains("10us") || said.contains("1ms"), "{said}");
}
