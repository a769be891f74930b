//! The two real regions with the shop in them: what tests do to them, and what of them a drill could leave changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::drill::{answers, documents, said};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// Where an agent stands.
const AGENTS: &str = "vantages";

/// The image of this drillmaster.
const IMAGE: &str = "ghcr.io/drillmaster/drillmaster:0.1.0";

pub const REGIONS: [&str; 2] = ["east", "west"];

/// The kinds of everything that stands in the shop's namespace.
const KINDS: &str = "statefulsets.apps,deployments.apps,replicasets.apps,pods,services,endpointslices,configmaps,secrets,\
                     networkpolicies,dnsendpoints,persistentvolumeclaims,poddisruptionbudgets,serviceaccounts,roles,rolebindings";
/// What has no namespace and may be touched.
const WIDE: &str = "nodes,namespaces";

/// One test at a time has the regions.
static TURN: Mutex<()> = Mutex::new(());

/// The real regions, and a place for documents and evidence.
pub struct Real {
    /// The folder that tests/regions/regions.py keeps.
    pub folder: PathBuf,
    known: Value,
    pub place: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// What stands in the regions.
#[derive(Debug, PartialEq)]
pub struct Stands {
    /// What no controller owns: labels, annotations, spec and data.
    pub kept: BTreeMap<String, Value>,
    /// How many things each owner has of a kind, and how many of them are ready.
    pub owned: BTreeMap<String, (usize, usize)>,
}

impl Real {
    /// Takes the regions, with the shop as it is shipped but for what a change makes of its documents.
    pub async fn start(change: impl Fn(&str, String) -> String) -> Real {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = std::env::var_os("DRILLMASTER_REGIONS").expect("tests/regions/regions.py starts them");
        let folder = PathBuf::from(folder);
        let known: Value =
            serde_json::from_slice(&std::fs::read(folder.join("regions.json")).unwrap()).unwrap();
        let place = tempfile::tempdir().unwrap();
        documents(place.path(), change);
        let alerts = json!({"CheckoutDown": "http://checkout.shop.example/"});
        std::fs::write(folder.join("alerts.json"), alerts.to_string()).unwrap();
        let real = Real { folder, known, place, _turn: turn };
        real.apply().await;
        let kubeconfig = real.folder.join("kubeconfig.yaml");
        real.environment(&kubeconfig).await;
        real
    }

    pub fn evidence(&self) -> PathBuf {
        self.place.path().join("evidence")
    }

    async fn ran(&self, program: &str, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(program);
        command.current_dir(self.place.path()).args(arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let whole = async {
            // One that does not read it has its reasons.
            drop(stdin.write_all(input.as_bytes()).await);
            drop(stdin);
            child.wait_with_output().await.unwrap()
        };
        tokio::time::timeout(PATIENCE, whole).await.expect("it hangs")
    }

    pub async fn drillmaster(&self, arguments: &[&str]) -> Output {
        self.ran(env!("CARGO_BIN_EXE_drillmaster"), arguments, "").await
    }

    fn controlplane(&self) -> String {
        self.known["binaries"]["controlplane"].as_str().unwrap().to_owned()
    }

    pub async fn kubectl(&self, region: &str, arguments: &[&str]) -> String {
        self.kubectl_with(region, arguments, "").await
    }

    /// With this on its stdin.
    pub async fn kubectl_with(&self, region: &str, arguments: &[&str], input: &str) -> String {
        let kubeconfig = format!("--kubeconfig={}/kubeconfig.yaml", self.folder.display());
        let mut all = vec!["kubectl", &kubeconfig, "--context", region];
        all.extend(arguments);
        let output = self.ran(&self.controlplane(), &all, input).await;
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the harness does.
    pub async fn harness(&self, act: &str, arguments: &[&str]) -> String {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regions/regions.py");
        let folder = self.folder.display().to_string();
        let all = [&[act, &folder], arguments].concat();
        let output = self.ran(&program.display().to_string(), &all, "").await;
        assert!(output.status.success(), "{act} {arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A command of the ledger, given in its region's own network: it works while the region is cut off.
    pub async fn ledger(&self, region: &str, command: &str) -> Value {
        let (program, kubeconfig) = (
            self.controlplane(),
            format!("--kubeconfig={}/{region}/admin.kubeconfig", self.folder.display()),
        );
        let kubectl = ["kubectl", &kubeconfig, "-n", "shop", "exec", "ledger-0", "--"];
        let all = [&[region, &program], &kubectl[..], &["drillmaster", "ledger", command]].concat();
        serde_json::from_str(&self.harness("at", &all).await).unwrap()
    }

    /// Loads the shop's manifests into both regions, and waits until everything runs.
    async fn apply(&self) {
        for region in REGIONS {
            let mut files = vec![format!("shop-{region}"), format!("ledger-{region}")];
            files.extend((region == "west").then(|| "dns".to_owned()));
            for file in files {
                let applied = self.kubectl(region, &["apply", "-f", &format!("manifests/{file}.yaml")]).await;
                if applied.contains("configmap/ledger configured") {
                    // It reads its settings when it starts.
                    self.kubectl(region, &["-n", "shop", "delete", "pod", "ledger-0"]).await;
                }
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
    pub async fn environment(&self, kubeconfig: &Path) {
        let path = self.place.path().join("environment.yaml");
        drop(std::fs::remove_file(&path));
        let kubeconfig = kubeconfig.display().to_string();
        let asked = "env init environment.yaml --region east=east --region west=west --namespace shop --class development";
        let mut arguments: Vec<&str> = asked.split(' ').collect();
        arguments.extend(["--kubeconfig", &kubeconfig]);
        let written = self.drillmaster(&arguments).await;
        assert_eq!(written.status.code(), Some(0), "{}", said(&written));
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

    /// Puts an agent into a pod of west, in a namespace of its own, and names it in the Environment.
    pub async fn agent(&self) {
        let container = json!({"name": "vantage", "image": IMAGE, "args": ["vantage"]});
        let labels = json!({"app": "vantage"});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": AGENTS}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "vantage", "namespace": AGENTS, "labels": labels},
             "spec": {"containers": [container]}},
        ]});
        self.kubectl_with("west", &["apply", "-f", "-"], &list.to_string()).await;
        let waits = ["-n", AGENTS, "wait", "--for=condition=Ready", "pod/vantage", "--timeout=120s"];
        self.kubectl("west", &waits).await;
        self.sees_through_agent();
    }

    /// Names the agent in the Environment instead of the proxy.
    pub fn sees_through_agent(&self) {
        let labels = json!({"app": "vantage"});
        self.sees_west_by(&json!({"pod": {"region": "west", "namespace": AGENTS, "labels": labels}}));
    }

    /// Gives agents a namespace that allows only what needs next to no rights, and has runs make theirs in it.
    pub async fn makes_agent(&self) {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let space =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": AGENTS, "labels": labels}});
        self.kubectl_with("west", &["apply", "-f", "-"], &space.to_string()).await;
        self.sees_through_a_made_agent();
    }

    /// Has runs make an agent, by the Environment.
    pub fn sees_through_a_made_agent(&self) {
        self.sees_west_by(&json!({"start": {"region": "west", "namespace": AGENTS, "image": IMAGE}}));
    }

    fn sees_west_by(&self, agent: &Value) {
        let path = self.place.path().join("environment.yaml");
        let mut environment: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        environment["spec"]["vantages"][1] = json!({"name": "west", "agent": agent});
        std::fs::write(&path, environment.to_string()).unwrap();
    }

    /// The pods in the namespace of agents.
    pub async fn agents(&self) -> String {
        self.kubectl("west", &["-n", AGENTS, "get", "pods", "-o", "name"]).await
    }

    /// Takes the agent away.
    pub async fn no_agent(&self) {
        self.kubectl("west", &["delete", "namespace", AGENTS, "--timeout=120s"]).await;
    }

    /// Runs a drill, while the duty manager answers its questions: all of them, or those of one step.
    pub async fn run(&self, drill: &str, answered: Option<&'static str>) -> Output {
        let people = tokio::spawn(answers(self.evidence(), answered));
        let ran = self.run_unanswered(drill).await;
        people.abort();
        ran
    }

    /// Runs a drill. An orchestrator has a machine of its own; here it goes first, or else the clusters that share this one with it would
    /// keep it from measuring.
    pub async fn run_unanswered(&self, drill: &str) -> Output {
        let arguments = ["run", drill, "--env", "environment.yaml", "--evidence", "evidence"];
        let first = ["--rr", "1", env!("CARGO_BIN_EXE_drillmaster")];
        self.ran("chrt", &[&first, &arguments[..]].concat(), "").await
    }

    /// What stands in the shop's namespaces, and around them.
    pub async fn stands(&self) -> Stands {
        let mut stands = Stands { kept: BTreeMap::new(), owned: BTreeMap::new() };
        for region in REGIONS {
            for (scope, kinds) in [(&["-n", "shop"][..], KINDS), (&[], WIDE)] {
                let list = self.kubectl(region, &[scope, &["get", kinds, "-o", "json"]].concat()).await;
                let list: Value = serde_json::from_str(&list).unwrap();
                for object in list["items"].as_array().unwrap() {
                    stands.take(region, object);
                }
            }
        }
        stands
    }

    /// The run has left everything as it was: what nobody owns at once, and what controllers make as soon as they have made it.
    pub async fn assert_stands(&self, before: &Stands, what: &str) {
        let now = self.stands().await;
        assert_eq!(now.kept, before.kept, "{what}");
        let settled = async {
            while self.stands().await.owned != before.owned {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE / 5, settled).await;
        assert!(in_time.is_ok(), "{what}: {:?}, and it was {:?}", self.stands().await.owned, before.owned);
    }

    /// The lines of a region's audit log about a user, from a line on.
    pub fn audited(&self, region: &str, user: &str, from: usize) -> (usize, Vec<Value>) {
        let path = self.known["regions"][region]["audit"].as_str().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().skip(from).collect();
        let events = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        (from + lines.len(), events.filter(|event| event["user"]["username"] == user).collect())
    }
}

impl Stands {
    fn take(&mut self, region: &str, object: &Value) {
        let meta = &object["metadata"];
        let kind = object["kind"].as_str().unwrap();
        if let Some(owner) = meta["ownerReferences"].get(0) {
            // A rollout leaves old, empty revisions behind.
            if object["spec"]["replicas"] == 0 {
                return;
            }
            let holder = format!("{region} {} {}: {kind}", owner["kind"], owner["name"]);
            let (count, ready) = self.owned.entry(holder).or_default();
            *count += 1;
            *ready += usize::from(is_ready(object));
        } else {
            let name = format!("{region} {kind} {}", meta["name"]);
            let kept = json!([meta["labels"], meta["annotations"], object["spec"], object["data"]]);
            self.kept.insert(name, kept);
        }
    }
}

fn is_ready(object: &Value) -> bool {
    match object["kind"].as_str() {
        Some("Pod") => object["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True"),
        Some("ReplicaSet") => object["status"]["readyReplicas"] == object["spec"]["replicas"],
        Some("EndpointSlice") => object["endpoints"]
            .as_array()
            .is_some_and(|all| all.iter().all(|endpoint| endpoint["conditions"]["ready"] == true)),
        _ => true,
    }
}
