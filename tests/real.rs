//! The drill of the served regions, unchanged, on two real Kubernetes clusters: `tests/regions/regions.py with DIR` starts them and
//! runs these tests outside of both, where an orchestrator stands. The ledger runs there as real containers of this very program.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration as Std;

use drillmaster::cluster::control::{self, Wish};
use drillmaster::cluster::people::{Answer, Says};
use drillmaster::journal::read;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Std = Std::from_secs(600);

const REGIONS: [&str; 2] = ["east", "west"];

/// What a drill could leave changed: everything in the shop's namespace that no controller makes.
const KINDS: &str = "statefulsets.apps,deployments.apps,services,configmaps,networkpolicies,dnsendpoints,\
                     persistentvolumeclaims,poddisruptionbudgets,serviceaccounts";

/// One test at a time has the regions.
static TURN: Mutex<()> = Mutex::new(());

/// The real regions with the shop in them, and a place for documents and evidence.
struct Real {
    folder: PathBuf,
    known: Value,
    place: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Real {
    async fn start() -> Real {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder =
            std::env::var_os("DRILLMASTER_REGIONS").expect("start them with tests/regions/regions.py");
        let folder = PathBuf::from(folder);
        let known: Value =
            serde_json::from_slice(&std::fs::read(folder.join("regions.json")).unwrap()).unwrap();
        let place = tempfile::tempdir().unwrap();
        documents(place.path());
        let alerts = json!({"CheckoutDown": "http://checkout.shop.example/"});
        std::fs::write(folder.join("alerts.json"), alerts.to_string()).unwrap();
        let real = Real { folder, known, place, _turn: turn };
        real.apply().await;
        real.environment().await;
        real
    }

    fn evidence(&self) -> PathBuf {
        self.place.path().join("evidence")
    }

    async fn ran(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.current_dir(self.place.path()).args(arguments).kill_on_drop(true).stdin(Stdio::null());
        tokio::time::timeout(PATIENCE, command.output()).await.expect("it hangs").unwrap()
    }

    async fn drillmaster(&self, arguments: &[&str]) -> Output {
        self.ran(env!("CARGO_BIN_EXE_drillmaster"), arguments).await
    }

    async fn kubectl(&self, region: &str, arguments: &[&str]) -> String {
        let kubeconfig = format!("--kubeconfig={}/kubeconfig.yaml", self.folder.display());
        let program = self.known["binaries"]["controlplane"].as_str().unwrap();
        let mut all = vec!["kubectl", &kubeconfig, "--context", region];
        all.extend(arguments);
        let output = self.ran(program, &all).await;
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the harness does to a region.
    async fn harness(&self, act: &str, region: &str) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regions/regions.py");
        let folder = self.folder.display().to_string();
        let output = self.ran(&program.display().to_string(), &[act, &folder, region]).await;
        assert!(output.status.success(), "{}", said(&output));
    }

    /// Loads the shop's manifests into both regions, and waits until everything runs.
    async fn apply(&self) {
        for region in REGIONS {
            let mut files = vec![format!("shop-{region}"), format!("ledger-{region}")];
            files.extend((region == "west").then(|| "dns".to_owned()));
            for file in files {
                self.kubectl(region, &["apply", "-f", &format!("manifests/{file}.yaml")]).await;
            }
        }
        for region in REGIONS {
            for workload in ["statefulset/ledger", "deployment/storefront", "deployment/payments"] {
                let waits = ["-n", "shop", "rollout", "status", workload, "--timeout=300s"];
                self.kubectl(region, &waits).await;
            }
        }
    }

    /// Writes the Environment as a team would: `env init`, and then what stands around the clusters by hand.
    async fn environment(&self) {
        let kubeconfig = self.folder.join("kubeconfig.yaml").display().to_string();
        let written = self
            .drillmaster(&[
                "env",
                "init",
                "environment.yaml",
                "--region",
                "east=east",
                "--region",
                "west=west",
                "--kubeconfig",
                &kubeconfig,
                "--namespace",
                "shop",
                "--class",
                "development",
            ])
            .await;
        assert_eq!(written.status.code(), Some(0), "{}", said(&written));
        let path = self.place.path().join("environment.yaml");
        let mut environment: Value =
            serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let spec = &mut environment["spec"];
        for region in spec["regions"].as_array_mut().unwrap() {
            let name = region["name"].as_str().unwrap().to_owned();
            region["addresses"] = json!([self.known["regions"][&name]["addresses"]]);
        }
        let west = &self.known["regions"]["west"];
        spec["vantages"] = json!([
            {"name": "outside", "dns": self.known["resolver"]},
            {"name": "west", "proxy": west["proxy"], "dns": west["dns"]},
        ]);
        spec["authority"] = self.known["dns"].clone();
        spec["alerts"] = json!({"alertmanager": self.known["alertmanager"]});
        // JSON is YAML.
        std::fs::write(&path, environment.to_string()).unwrap();
    }

    /// Runs the drill, while somebody answers its questions. An orchestrator has a machine of its own; here it goes first, or else the
    /// clusters that share this one with it would keep it from measuring.
    async fn run(&self) -> Output {
        let people = tokio::spawn(answers(self.evidence()));
        let arguments = ["run", "failover.yaml", "--env", "environment.yaml", "--evidence", "evidence"];
        let ran = self
            .ran("chrt", &[&["--rr", "1", env!("CARGO_BIN_EXE_drillmaster")], &arguments[..]].concat())
            .await;
        people.abort();
        ran
    }

    /// What people and drills wrote into the shop's objects, by region and object.
    async fn shop(&self) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        for region in REGIONS {
            let list = self.kubectl(region, &["-n", "shop", "get", KINDS, "-o", "json"]).await;
            let list: Value = serde_json::from_str(&list).unwrap();
            for object in list["items"].as_array().unwrap() {
                let meta = &object["metadata"];
                let name = format!("{region} {} {}", object["kind"], meta["name"]);
                let kept = json!([meta["labels"], meta["annotations"], object["spec"], object["data"]]);
                found.insert(name, kept);
            }
        }
        found
    }
}

/// The drill with what it refers to; names live two seconds, since these tests wait for them.
fn documents(place: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["failover.yaml", "catalogue.yaml", "sandbox.yaml"] {
        std::fs::copy(root.join("tests/live").join(name), place.join(name)).unwrap();
    }
    std::fs::create_dir(place.join("manifests")).unwrap();
    for entry in std::fs::read_dir(root.join("scenarios/manifests")).unwrap() {
        let entry = entry.unwrap();
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let text = text.replace("recordTTL: 30", "recordTTL: 2").replace("ttl: \"30\"", "ttl: \"2\"");
        std::fs::write(place.join("manifests").join(entry.file_name()), text).unwrap();
    }
}

/// The duty manager: acknowledges and declares as soon as anybody asks.
async fn answers(evidence: PathBuf) {
    loop {
        for says in [Says::Acknowledge, Says::Done] {
            let answer = Answer { who: "Dana".into(), step: None, says, text: String::new() };
            // Nobody asks yet, or nobody listens.
            drop(control::say(&evidence, &Wish::Answer(answer)).await);
        }
        tokio::time::sleep(Std::from_millis(100)).await;
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn in_real_time<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

#[test]
#[ignore = "needs real regions; DRILLMASTER_REAL=1 tests/run starts them"]
fn a_drill_on_real_regions_is_met_and_leaves_them_as_they_were() {
    in_real_time(async {
        let real = Real::start().await;
        let before = real.shop().await;
        let planned = real.drillmaster(&["plan", "failover.yaml", "--env", "environment.yaml"]).await;
        assert_eq!(planned.status.code(), Some(0), "{}", said(&planned));
        assert_eq!(real.shop().await, before, "a plan changed something");
        let ran = real.run().await;
        assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
        assert_eq!(real.shop().await, before, "the run left something");
        assert!(!read(&real.evidence()).unwrap().header().unwrap().rehearsal);
        let verified = real.drillmaster(&["verify", "evidence"]).await;
        assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    });
}

#[test]
#[ignore = "needs real regions; DRILLMASTER_REAL=1 tests/run starts them"]
fn an_isolation_that_nobody_enforces_makes_the_run_invalid() {
    in_real_time(async {
        let real = Real::start().await;
        let before = real.shop().await;
        real.harness("unenforce", "east").await;
        let ran = real.run().await;
        real.harness("enforce", "east").await;
        assert_eq!(ran.status.code(), Some(12), "{}", said(&ran));
        assert_eq!(real.shop().await, before, "the run left something");
    });
}
