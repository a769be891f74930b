//! What drills measure and leave on real regions.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use drillmaster::cluster::control::Said;
use drillmaster::cluster::people::Says;
use drillmaster::journal::{JOURNAL, read};
use drillmaster::ledger::{Change, Entry};
use drillmaster::measure::measure;
use drillmaster::model::sample::{Sample, Seen};

use crate::drill::{answer, said};
use crate::in_real_time;
use crate::regions::{PATIENCE, Real};

/// The documents as they are.
fn as_shipped(_name: &str, text: String) -> String {
    text
}

#[test]
#[ignore = "needs real regions; tests/run starts them"]
fn a_drill_on_real_regions_is_met_and_leaves_them_as_they_were() {
    in_real_time(async {
        let real = Real::start(as_shipped).await;
        let before = real.stands().await;
        let ran = real.run("failover.yaml", None).await;
        assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
        real.assert_stands(&before, "the run left something").await;
        assert!(!read(&real.evidence()).unwrap().header().unwrap().rehearsal);
        let verified = real.drillmaster(&["verify", "evidence"]).await;
        assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    });
}

#[test]
#[ignore = "needs real regions; tests/run starts them"]
fn a_pod_of_a_region_is_a_vantage_by_its_own_clock() {
    in_real_time(async {
        let real = Real::start(as_shipped).await;
        real.agent().await;
        let before = real.stands().await;
        let ran = real.run("failover.yaml", None).await;
        real.assert_stands(&before, "the run left something").await;
        real.no_agent().await;
        assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
        assert!(said(&ran).contains("the agent at west is in reach"), "{}", said(&ran));
        let evidence = read(&real.evidence()).unwrap();
        let samples = &evidence.samples[&("checkout".into(), "west".into())];
        let failed = |sample: &&Sample| matches!(sample.seen, Seen::Failed(_));
        assert!(samples.iter().any(|sample| failed(&sample)), "it saw the outage");
        assert!(samples.iter().all(|sample| sample.seen != Seen::Gap), "something is missing");
    });
}

#[test]
#[ignore = "needs real regions; tests/run starts them"]
fn an_isolation_that_nobody_enforces_makes_the_run_invalid() {
    in_real_time(async {
        let real = Real::start(as_shipped).await;
        let before = real.stands().await;
        real.harness("unenforce", &["east"]).await;
        let ran = real.run("failover.yaml", None).await;
        real.harness("enforce", &["east"]).await;
        assert_eq!(ran.status.code(), Some(12), "{}", said(&ran));
        real.assert_stands(&before, "the run left something").await;
    });
}

/// The records of a run that a region's ledger took itself, in its own file: until it was fenced, or followed somebody.
async fn taken(real: &Real, region: &str, run: &str) -> BTreeSet<u64> {
    let of_claim = ["-n", "shop", "get", "pvc", "data-ledger-0", "-o", "jsonpath={.spec.volumeName}"];
    let volume = real.kubectl(region, &of_claim).await;
    let file = real.folder.join(region).join("volumes").join(volume).join("ledger.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    let changes = text.lines().map(|line| serde_json::from_str::<Change>(line).unwrap());
    let mut numbers = BTreeSet::new();
    for change in changes {
        match change {
            Change::Append(logged) => match logged.entry {
                Entry::Record(record) if record.run == run => drop(numbers.insert(record.number)),
                _ => {}
            },
            Change::Fence | Change::Follow if !numbers.is_empty() => break,
            _ => {}
        }
    }
    numbers
}

#[test]
#[ignore = "needs real regions; tests/run starts them"]
fn writes_that_were_not_shipped_are_lost_and_counted_as_the_files_of_both_ledgers_say() {
    in_real_time(async {
        // Replication stands still, and more than a second of writes is too much.
        let lagging = |name: &str, text: String| match name {
            "ledger-east.yaml" => text.replace("LEDGER_SHIP_EVERY: 500ms", "LEDGER_SHIP_EVERY: 1h"),
            "catalogue.yaml" => text.replace("rpo: 10s", "rpo: 1s"),
            "failover.yaml" => text.replace("writesPerSecond: 5}", "writesPerSecond: 20}"),
            _ => text,
        };
        let real = Real::start(lagging).await;
        let before = real.stands().await;
        let ran = real.run("failover.yaml", None).await;
        assert_eq!(ran.status.code(), Some(10), "{}", said(&ran));
        real.assert_stands(&before, "the run left something").await;
        let evidence = read(&real.evidence()).unwrap();
        let run = evidence.header().unwrap().run.to_string();
        let east = taken(&real, "east", &run).await;
        let west = taken(&real, "west", &run).await;
        let gone: BTreeSet<u64> = east.difference(&west).copied().collect();
        let measured = measure(&evidence);
        let found = &measured.losses.iter().find(|loss| !loss.way_back).unwrap().found;
        let lost: BTreeSet<u64> = found.lost.iter().copied().collect();
        assert!(lost.len() >= 20, "only {} were lost", lost.len());
        // What was stored as the region went, and whose answer nobody heard, was never acknowledged.
        let unheard: BTreeSet<u64> = found.unknown_missing.iter().copied().collect();
        assert!(gone.is_superset(&lost), "{:?}", lost.difference(&gone));
        assert!(
            gone.difference(&lost).all(|number| unheard.contains(number)),
            "{:?}",
            gone.difference(&lost)
        );
    });
}

/// Waits until a run has come to a step.
async fn comes_to(evidence: &Path, step: &str) {
    let started = format!("\"stepStarted\":{{\"step\":\"{step}\"");
    let comes = async {
        while !std::fs::read_to_string(evidence.join(JOURNAL)).unwrap_or_default().contains(&started) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, comes).await.expect(step);
}

/// Says that a step is done, as soon as anybody asks.
async fn done(evidence: &Path, step: &str) {
    let heard = async {
        while !matches!(answer(evidence, Some(step), Says::Done).await, Ok(Said::Ok(_))) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect(step);
}

#[test]
#[ignore = "needs real regions; tests/run starts them"]
fn a_region_that_somebody_cuts_off_is_measured_as_one_that_a_fault_cuts_off() {
    in_real_time(async {
        let real = Real::start(as_shipped).await;
        let before = real.stands().await;
        let evidence = real.evidence();
        let on_call = async {
            comes_to(&evidence, "cut-east").await;
            real.harness("cut", &["east"]).await;
            done(&evidence, "cut-east").await;
            comes_to(&evidence, "promote-west").await;
            let promoted = real.ledger("west", "promote").await;
            assert_eq!(promoted["role"], "primary");
            done(&evidence, "promote-west").await;
            comes_to(&evidence, "connect-east").await;
            let fenced = real.ledger("east", "fence").await;
            assert_eq!(fenced["role"], "fenced");
            real.harness("mend", &["east"]).await;
            done(&evidence, "connect-east").await;
        };
        let run = real.run("cut-by-hand.yaml", Some("declare"));
        let (ran, ()) = tokio::join!(run, on_call);
        assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
        real.assert_stands(&before, "the run left something").await;
        let measured = measure(&read(&evidence).unwrap());
        let checkout = &measured.services["checkout"];
        assert!(checkout.rta.impact.span().is_some(), "{:?}", checkout.rta);
        assert!(measured.losses.iter().all(|loss| loss.is_read_whole), "{:?}", measured.losses);
    });
}
