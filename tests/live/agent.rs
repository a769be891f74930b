//! An agent at a vantage of the served regions: the very command, reached by the run through a link that breaks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::PoisonError;
use std::time::Duration as Std;

use drillmaster::journal::read;
use drillmaster::model::event::{Outcome, What};
use drillmaster::model::sample::Seen;
use drillmaster::serve::ENVIRONMENT;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::sync::watch;

use super::drill::{answers, said};
use super::laboratory::stores;
use super::{Lab, MACHINE, PATIENCE, in_real_time};

/// An agent in west, which ends with this.
struct AgentProcess {
    _process: Child,
    listens: SocketAddr,
}

/// Where the documents of a lab say that west is seen from.
fn of_west(lab: &Lab) -> Value {
    let text = std::fs::read_to_string(lab.place.path().join("lab").join(ENVIRONMENT)).unwrap();
    let environment: Value = serde_json::from_str(&text).unwrap();
    let vantages = environment["spec"]["vantages"].as_array().unwrap().clone();
    vantages.into_iter().find(|one| one["name"] == "west").unwrap()
}

async fn agent(lab: &Lab) -> AgentProcess {
    let west = of_west(lab);
    let (proxy, dns) = (west["proxy"].as_str().unwrap(), west["dns"].as_str().unwrap());
    let arguments = ["vantage", "--listen", "127.0.0.1:0", "--proxy", proxy, "--dns", dns];
    let mut process = lab.drillmaster(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let mut says = BufReader::new(process.stderr.take().unwrap()).lines();
    let line = says.next_line().await.unwrap().unwrap();
    let listens = line.strip_prefix("a vantage listens on ").unwrap().parse().unwrap();
    AgentProcess { _process: process, listens }
}

/// The environment with an agent at west, reached at an address.
fn environment(lab: &Lab, agent: SocketAddr) -> String {
    let folder = lab.place.path().join("lab");
    let text = std::fs::read_to_string(folder.join(ENVIRONMENT)).unwrap();
    let mut environment: Value = serde_json::from_str(&text).unwrap();
    for vantage in environment["spec"]["vantages"].as_array_mut().unwrap() {
        if vantage["name"] == "west" {
            *vantage = json!({"name": "west", "agent": {"address": agent}});
        }
    }
    std::fs::write(folder.join("agent.yaml"), environment.to_string()).unwrap();
    "lab/agent.yaml".to_owned()
}

/// A way to an address that can be cut: what is under way then is lost, and nothing else comes through until it is joined again.
async fn way(to: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (cut, is_cut) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut is_cut = is_cut.clone();
            tokio::spawn(async move {
                if *is_cut.borrow() {
                    return;
                }
                let Ok(mut there) = TcpStream::connect(to).await else { return };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut stream, &mut there) => {}
                    _ = is_cut.wait_for(|cut| *cut) => {}
                }
            });
        }
    });
    (at, cut)
}

/// Cuts the way to the agent while the fault is there, from its request until the declaration is asked for.
async fn cut_with_the_fault(journal: PathBuf, cut: watch::Sender<bool>) -> watch::Sender<bool> {
    let holds = |what: &str| std::fs::read_to_string(&journal).is_ok_and(|text| text.contains(what));
    for (what, is_cut) in [("effectEnded", true), ("\"asked\"", false)] {
        while !holds(what) {
            tokio::time::sleep(Std::from_millis(20)).await;
        }
        cut.send(is_cut).unwrap();
    }
    cut
}

#[test]
fn what_an_agent_saw_while_nobody_reached_it_counts_as_everything_else_does() {
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    in_real_time(async {
        let lab = Lab::start().await;
        let before = stores(&lab.rehearsal);
        let agent = agent(&lab).await;
        let (at, cut) = way(agent.listens).await;
        let environment = environment(&lab, at);
        let checked = lab.ran(&["env", "check", &environment]).await;
        assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
        assert!(
            said(&checked).contains("west         ok  agent  its clock is known to "),
            "{}",
            said(&checked)
        );
        let people = tokio::spawn(answers(lab.evidence(), None));
        let journal = lab.evidence().join(drillmaster::journal::JOURNAL);
        let cutting = tokio::spawn(cut_with_the_fault(journal, cut));
        let run = ["run", "failover.yaml", "--env", &environment, "--evidence", "evidence"];
        let ran = lab.ran(&run).await;
        people.abort();
        assert!(cutting.is_finished(), "{}", said(&ran));
        assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
        assert_eq!(lab.changed(&before), Vec::<String>::new(), "the run left something");
        let verified = lab.ran(&["verify", "evidence"]).await;
        assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
        let evidence = read(&lab.evidence()).unwrap();
        let reached = evidence.events.iter().filter_map(|event| match &event.what {
            What::Reached { vantage, outcome } if vantage.as_str() == "west" => Some(*outcome == Outcome::Ok),
            _ => None,
        });
        assert_eq!(reached.collect::<Vec<_>>(), [true, false, true]);
        let samples = &evidence.samples[&("checkout".into(), "west".into())];
        assert!(samples.iter().all(|sample| sample.seen != Seen::Gap), "something is missing");
        let mut due: Vec<i64> = samples.iter().map(|sample| sample.scheduled.0).collect();
        due.sort_unstable();
        assert!(due.windows(2).all(|two| two[1] - two[0] == 200_000_000), "something is missing");
        assert!(samples.iter().any(|sample| matches!(sample.seen, Seen::Failed(_))), "it saw the outage");
    });
}

#[test]
fn a_vantage_that_nobody_reaches_refuses_the_start_and_is_named() {
    let _beside = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    in_real_time(async {
        let lab = Lab::start().await;
        let before = stores(&lab.rehearsal);
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let environment = environment(&lab, nobody);
        let drill = lab.place.path().join("failover.yaml");
        let text = std::fs::read_to_string(&drill).unwrap();
        let ledger = text.replace("writesPerSecond: 5}", "writesPerSecond: 5, from: west}");
        assert_ne!(ledger, text);
        let checked = lab.ran(&["env", "check", &environment]).await;
        assert_eq!(checked.status.code(), Some(15), "{}", said(&checked));
        assert!(
            said(&checked).contains(&format!("west         NOT USABLE  nobody at {nobody}")),
            "{}",
            said(&checked)
        );
        let run = |evidence| ["run", "failover.yaml", "--env", &environment, "--evidence", evidence];
        let ran = tokio::time::timeout(PATIENCE, lab.ran(&run("evidence"))).await.unwrap();
        assert_eq!(ran.status.code(), Some(15), "{}", said(&ran));
        for part in ["the agent at west is out of reach", &format!("nobody at {nobody}")] {
            assert!(said(&ran).contains(part), "{part}: {}", said(&ran));
        }
        std::fs::write(&drill, ledger).unwrap();
        let ran = lab.ran(&run("writes")).await;
        assert_eq!(ran.status.code(), Some(15), "{}", said(&ran));
        assert!(said(&ran).contains("the vantage west is an agent"), "{}", said(&ran));
        assert_eq!(lab.changed(&before), Vec::<String>::new());
    });
}
