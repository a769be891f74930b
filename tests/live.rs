//! The same drill over sockets: simulated regions are served on loopback, and the binary runs it on them by `--env`, as on clusters.
//!
//! The regions live in the test, so that their truth is there; the orchestrator is a process that can be killed. Real time: nothing
//! here asserts how long something took.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test may")]

#[path = "live/agent.rs"]
mod agent;
#[path = "live/drill.rs"]
mod drill;
mod laboratory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration as Std;

use drill::{answers, documents, said};
use drillmaster::cli::inputs::{self, Inputs};
use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::journal::{JOURNAL, read};
use drillmaster::sandbox::state::Availability;
use drillmaster::serve::{self, ENVIRONMENT, Served};
use laboratory::{assert_no_two_accepted, ledger_status, seconds, stores, write_everywhere};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Std = Std::from_secs(300);

/// How many orchestrators die at the same time: they mostly wait.
const AT_ONCE: usize = 6;

/// A drill that is to be met measures: it has the machine to itself, while the others run beside each other.
static MACHINE: RwLock<()> = RwLock::new(());

/// Served regions, and a place for documents and evidence.
struct Lab {
    rehearsal: Rehearsal,
    _served: Served,
    place: TempDir,
}

impl Lab {
    async fn start() -> Lab {
        let place = tempfile::tempdir().unwrap();
        documents(place.path(), |_, text| text);
        let drill = place.path().join("failover.yaml");
        let inputs: Inputs = inputs::load(&drill, &[]).unwrap_or_else(|found| panic!("{found:?}"));
        let now = chrono::Utc::now().timestamp_nanos_opt().unwrap();
        let rehearsal = Rehearsal::prepare(&inputs, 7, now).await.unwrap();
        tokio::time::resume();
        let spec = &inputs.sandbox.as_ref().unwrap().spec;
        let served =
            serve::serve(&rehearsal.sandbox, spec, &["shop".to_owned()], &place.path().join("lab")).await;
        Lab { rehearsal, _served: served.unwrap(), place }
    }

    fn evidence(&self) -> PathBuf {
        self.place.path().join("evidence")
    }

    fn drillmaster(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drillmaster"));
        command.current_dir(self.place.path()).args(arguments).kill_on_drop(true).stdin(Stdio::null());
        command
    }

    async fn ran(&self, arguments: &[&str]) -> Output {
        let output = self.drillmaster(arguments).output();
        tokio::time::timeout(PATIENCE, output).await.expect("it hangs").unwrap()
    }

    /// Starts the drill on the served regions.
    fn run(&self) -> Child {
        let environment = format!("lab/{ENVIRONMENT}");
        self.drillmaster(&["run", "failover.yaml", "--env", &environment, "--evidence", "evidence"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    async fn heal(&self) -> Output {
        self.ran(&["heal", "evidence", "--env", &format!("lab/{ENVIRONMENT}")]).await
    }

    fn changed(&self, before: &BTreeMap<String, Value>) -> Vec<String> {
        let now = stores(&self.rehearsal);
        let keys = before.keys().chain(now.keys());
        let mut changed: Vec<String> =
            keys.filter(|key| before.get(*key) != now.get(*key)).cloned().collect();
        changed.dedup();
        changed
    }
}

/// Runs a test in real time, on regions that have settled before it.
fn in_real_time<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

#[test]
fn a_drill_on_served_regions_is_met_and_leaves_them_as_they_were() {
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    in_real_time(async {
        let lab = Lab::start().await;
        let rehearsed = lab.ran(&["run", "failover.yaml", "--seed", "1", "--evidence", "rehearsed"]).await;
        assert_eq!(rehearsed.status.code(), Some(0), "{}", said(&rehearsed));
        let before = stores(&lab.rehearsal);
        let planned = lab.ran(&["plan", "failover.yaml", "--env", &format!("lab/{ENVIRONMENT}")]).await;
        assert_eq!(planned.status.code(), Some(0), "{}", said(&planned));
        assert_eq!(lab.changed(&before), Vec::<String>::new(), "a plan changed something");
        let people = tokio::spawn(answers(lab.evidence(), None));
        let ran = tokio::time::timeout(PATIENCE, lab.run().wait_with_output()).await.unwrap().unwrap();
        people.abort();
        assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
        assert_eq!(lab.changed(&before), Vec::<String>::new(), "the run left something");
        let evidence = read(&lab.evidence()).unwrap();
        let header = evidence.header().unwrap();
        assert!(!header.rehearsal && header.seed.is_none());
        let verified = lab.ran(&["verify", "evidence"]).await;
        assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
        let healed = lab.heal().await;
        assert_eq!(healed.status.code(), Some(0), "{}", said(&healed));
    });
}

/// Kills the orchestrator once its journal holds so many records of effects and undoings, heals twice, and looks at what is left:
/// whether the service went home.
async fn dies(records: usize) -> bool {
    let lab = Lab::start().await;
    let what = format!("killed at {records}");
    let truth = lab.rehearsal.sandbox.truth();
    let before = stores(&lab.rehearsal);
    let writers = write_everywhere(&lab.rehearsal.sandbox.world());
    let people = tokio::spawn(answers(lab.evidence(), None));
    tokio::time::timeout(PATIENCE, killed(&lab, records, &what)).await.unwrap();
    let healed = lab.heal().await;
    people.abort();
    let (east, west) =
        (ledger_status(&lab.rehearsal, "east").await, ledger_status(&lab.rehearsal, "west").await);
    let roles = (east["role"].as_str().unwrap(), west["role"].as_str().unwrap());
    let home = match roles {
        ("primary", "replica") => true,
        ("fenced" | "replica", "primary" | "replica") => false,
        _ => panic!("{what}: {roles:?}: {}", said(&healed)),
    };
    if home {
        assert_eq!(healed.status.code(), Some(0), "{what}: {}", said(&healed));
        assert_eq!(lab.changed(&before), Vec::<String>::new(), "{what}");
    } else {
        assert_eq!(healed.status.code(), Some(14), "{what}: {}", said(&healed));
        assert!(said(&healed).contains("left: "), "{what}: {}", said(&healed));
    }
    let blocks = stores(&lab.rehearsal).into_keys().filter(|key| key.contains("networkpolicies")).count();
    assert_eq!(blocks, 0, "{what}: the fault is still there: {}", said(&healed));
    let stored = stores(&lab.rehearsal);
    let again = lab.heal().await;
    assert_eq!(again.status.code(), healed.status.code(), "{what}: {}", said(&again));
    assert_eq!(lab.changed(&stored), Vec::<String>::new(), "{what}: a second healing changed something");
    assert_eq!(said(&again).contains("nothing was left to put back"), home, "{what}: {}", said(&again));
    seconds(7).await;
    drop(writers);
    assert!(!assert_no_two_accepted(&truth.ledgers(), &what).is_empty(), "{what}: nobody wrote");
    home
}

/// Starts the drill, and kills it.
async fn killed(lab: &Lab, records: usize, what: &str) {
    started(lab, records, what).await.kill().await.unwrap();
}

/// Starts the drill, and waits for so many records. On a machine that is too busy to measure anything a guard refuses the start: then it is
/// started again.
async fn started(lab: &Lab, records: usize, what: &str) -> Child {
    const REFUSED: i32 = 15;
    let mut run = lab.run();
    while effects(&lab.evidence()) < records {
        if let Some(status) = run.try_wait().unwrap() {
            assert_eq!(status.code(), Some(REFUSED), "{what}: it ended before");
            std::fs::remove_dir_all(lab.evidence()).unwrap();
            run = lab.run();
        }
        tokio::time::sleep(Std::from_millis(2)).await;
    }
    run
}

fn interrupt(run: &Child) {
    let kill = format!("kill -INT {}", run.id().unwrap());
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

#[test]
fn a_second_interrupt_says_what_it_leaves_and_how_to_go_on() {
    let _beside = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    in_real_time(async {
        let lab = Lab::start().await;
        let before = stores(&lab.rehearsal);
        let run = tokio::time::timeout(PATIENCE, started(&lab, 2, "interrupted")).await.unwrap();
        // Nothing can be put back meanwhile.
        let (_, east) = lab.rehearsal.sandbox.regions().find(|(name, _)| name.as_str() == "east").unwrap();
        east.set_availability(Availability::BlackHole);
        interrupt(&run);
        let journal = lab.evidence().join(JOURNAL);
        while !std::fs::read_to_string(&journal).unwrap().contains("abortRequested") {
            tokio::time::sleep(Std::from_millis(2)).await;
        }
        interrupt(&run);
        let ended = tokio::time::timeout(PATIENCE, run.wait_with_output()).await.unwrap().unwrap();
        assert_eq!(ended.status.code(), Some(14), "{}", said(&ended));
        for part in
            ["left: step lose-east: create east: networkpolicies/", "drillmaster heal evidence --env lab/"]
        {
            assert!(said(&ended).contains(part), "{part}: {}", said(&ended));
        }
        east.set_availability(Availability::Up);
        let healed = lab.heal().await;
        assert_eq!(healed.status.code(), Some(0), "{}", said(&healed));
        assert_eq!(lab.changed(&before), Vec::<String>::new(), "{}", said(&healed));
    });
}

#[test]
fn a_run_that_nobody_can_page_does_not_start() {
    let _beside = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    in_real_time(async {
        let lab = Lab::start().await;
        let before = stores(&lab.rehearsal);
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = taken.local_addr().unwrap().to_string();
        let folder = lab.place.path().join("lab");
        let served = std::fs::read_to_string(folder.join(ENVIRONMENT)).unwrap();
        let mut paged: Value = serde_json::from_str(&served).unwrap();
        paged["spec"]["alerts"]["webhook"] = at.as_str().into();
        std::fs::write(folder.join("paged.yaml"), paged.to_string()).unwrap();
        let run = ["run", "failover.yaml", "--env", "lab/paged.yaml", "--evidence", "evidence"];
        let ran = lab.ran(&run).await;
        assert_eq!(ran.status.code(), Some(15), "{}", said(&ran));
        assert!(said(&ran).contains(&format!("nobody can be paged at {at}")), "{}", said(&ran));
        assert!(!lab.evidence().exists() && lab.changed(&before).is_empty());
    });
}

/// How many records of effects and of their undoing a journal holds.
fn effects(evidence: &Path) -> usize {
    let text = std::fs::read_to_string(evidence.join(JOURNAL)).unwrap_or_default();
    let of_effects = ["effectIntended", "effectEnded", "undoStarted", "undoEnded"];
    text.lines().filter(|line| of_effects.iter().any(|kind| line.contains(kind))).count()
}

#[test]
fn whoever_dies_around_the_promotion_and_the_failback_leaves_no_two_sides_that_accept() {
    let _beside = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    // Before the fault is in place, around the promotion, the switch, the fence, the way back.
    let cases = Mutex::new(1..=20);
    let turns = || std::iter::from_fn(|| cases.lock().unwrap().next());
    let ways: Vec<bool> = std::thread::scope(|scope| {
        let at_once =
            |_| scope.spawn(|| turns().map(|records| in_real_time(dies(records))).collect::<Vec<_>>());
        let threads: Vec<_> = (0..AT_ONCE).map(at_once).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ways.iter().any(|home| *home) && ways.iter().any(|home| !home), "{ways:?}");
}
