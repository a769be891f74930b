//! A user's own manifests in the sandbox: stacks as teams write them, a real region's dump, and what is said of bad ones.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

#[path = "twin/bad.rs"]
mod bad;
#[path = "twin/tables.rs"]
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use drillmaster::cli::{inputs, validate};
use drillmaster::document::Look;
use drillmaster::sandbox::stand_in::get;
use drillmaster::sandbox::{Sandbox, SandboxError, SandboxSpec};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use proptest::prelude::*;
use serde_json::{Value, json};

type Files = BTreeMap<String, String>;

fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/twin")
}

/// The YAML files below a folder, by their path from another.
fn below(folder: &Path, from: &Path) -> Files {
    let mut files = Files::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(below(&path, from));
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            let name = path.strip_prefix(from).unwrap().to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    files
}

/// A stack: a file of its name, or the files of a folder.
fn stack(name: &str) -> Files {
    let all = below(&place().join("stacks"), &place());
    let mine = |path: &String| {
        *path == format!("stacks/{name}.yaml") || path.starts_with(&format!("stacks/{name}/"))
    };
    let found: Files = all.into_iter().filter(|(path, _)| mine(path)).collect();
    assert!(!found.is_empty(), "there is no stack {name}");
    found
}

/// Files with one passage exchanged where it stands first; it must be there.
fn edited(mut files: Files, from: &str, to: &str) -> Files {
    let text =
        files.values_mut().find(|text| text.contains(from)).unwrap_or_else(|| panic!("there is no `{from}`"));
    *text = text.replacen(from, to, 1);
    files
}

fn nodes() -> Value {
    ["a", "b", "c"].iter().map(|zone| json!({"name": format!("node-{zone}"), "zone": zone})).collect()
}

/// A region with these files, ready in virtual time; `path` is what its spec names.
async fn start(files: &Files, path: &str, nodes: Value) -> Result<Sandbox, SandboxError> {
    let region = json!({"name": "east", "addresses": "10.1.0.0/16", "nodes": nodes, "manifests": [path]});
    let spec: SandboxSpec = serde_json::from_value(json!({"regions": [region]})).unwrap();
    Sandbox::start(&spec, files, 7, 1_767_225_600_000_000_000, &[]).await
}

fn client(sandbox: &Sandbox) -> kube::Client {
    sandbox.world().regions["east"].clone()
}

/// How many pods are in each phase, of those that are ready or over.
async fn phases(sandbox: &Sandbox) -> BTreeMap<String, usize> {
    let mut phases = BTreeMap::new();
    for pod in Api::<Pod>::all(client(sandbox)).list(&ListParams::default()).await.unwrap() {
        let status = pod.status.unwrap();
        let ready =
            status.conditions.iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True");
        let phase = status.phase.unwrap();
        assert!(ready || phase == "Succeeded", "{:?} is {phase}", pod.metadata.name);
        *phases.entry(phase).or_default() += 1;
    }
    phases
}

/// A text without the letters in generated names: they follow from every change of a default.
fn stable(said: &str) -> String {
    let digest = |text: &str| text.len() > 8 && text.chars().all(|c| tables::GENERATED.contains(c));
    let word = |word: &str| {
        let Some(name) = word.strip_suffix(':') else { return word.to_owned() };
        let name = tables::without_suffix(name);
        format!(
            "{}:",
            name.split('-').map(|part| if digest(part) { "*" } else { part }).collect::<Vec<_>>().join("-")
        )
    };
    said.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn snapshot(name: &str, said: &str) {
    insta::with_settings!({ snapshot_path => "twin/said", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, said);
    });
}

#[tokio::test(start_paused = true)]
async fn five_stacks_become_ready_as_teams_write_them_and_say_what_is_not_simulated() {
    let mut said = String::new();
    for (name, running, succeeded) in
        [("storefront", 3, 1), ("search", 5, 0), ("orders", 3, 0), ("reports", 1, 7), ("portal", 7, 0)]
    {
        let sandbox =
            start(&stack(name), "stacks", nodes()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let phases = phases(&sandbox).await;
        let count = |phase: &str| phases.get(phase).copied().unwrap_or_default();
        assert_eq!((count("Running"), count("Succeeded")), (running, succeeded), "{name}");
        said.push_str(&format!("{name}\n"));
        sandbox.notes().iter().for_each(|line| said.push_str(&format!("  {line}\n")));
    }
    snapshot("five_stacks", &said);
}

#[tokio::test(start_paused = true)]
async fn a_stack_serves_where_its_probes_and_ports_are() {
    let sandbox = start(&stack("storefront"), "stacks", nodes()).await.unwrap();
    let inside = sandbox.world().vantages["east"].clone();
    for (url, status) in [
        ("http://storefront.storefront/", Some(200)),
        ("http://storefront.storefront:9090/metrics", Some(200)),
        ("http://storefront.storefront:8081/", None),
    ] {
        assert_eq!(get(&*inside, url).await.ok().map(|status| status.as_u16()), status, "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stacks_ingress_leads_to_its_services_by_host_and_path() {
    let mut files = stack("portal");
    // The addresses of controllers come from the end of the range.
    let record = "{dnsName: \"*\", targets: [10.1.223.254]}";
    let records = ["portal.example.org", "www.portal.example.org", "other.example.org"];
    let records = records.map(|name| record.replace('*', name)).join(", ");
    let endpoint = "apiVersion: externaldns.k8s.io/v1alpha1\nkind: DNSEndpoint\nmetadata: {name: portal, namespace: portal}\n";
    files.insert("stacks/names.yaml".into(), format!("{endpoint}spec: {{endpoints: [{records}]}}\n"));
    // The ledger stands in for the API, which tells the two services apart.
    let files = edited(
        files,
        "      labels: {app: portal-api}\n",
        "      labels: {app: portal-api}\n      annotations: {stand-in.drillmaster.dev/api: ledger}\n",
    );
    let sandbox = start(&files, "stacks", nodes()).await.unwrap();
    for vantage in ["outside", "east"] {
        let net = sandbox.world().vantages[vantage].clone();
        for (url, status) in [
            ("http://portal.example.org/any/path", Some(200)),
            ("http://portal.example.org/api/no-such-path", Some(404)),
            ("http://portal.example.org/apis", Some(200)),
            ("http://www.portal.example.org/api/no-such-path", Some(200)),
            ("http://other.example.org/", Some(404)),
            ("http://portal.example.org:443/", None),
        ] {
            let got = get(&*net, url).await.ok().map(|status| status.as_u16());
            assert_eq!(got, status, "{vantage} asks {url}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_nobody_serves_keeps_a_region_unready_and_says_why() {
    let unnamed = edited(stack("portal"), "  ingressClassName: public\n", "");
    for (files, from, to, why) in [
        (stack("portal"), "ClassName: public", "ClassName: inner", "IngressClass inner does not exist"),
        (unnamed, "class: \"true\"", "class: \"no\"", "it names no IngressClass, and none is the default"),
    ] {
        let files = edited(files, from, to);
        let error =
            start(&files, "stacks", nodes()).await.err().unwrap_or_else(|| panic!("{to}")).to_string();
        assert!(error.contains(&format!("ingresses/portal in portal has no address: {why}")), "{error}");
    }
}

/// The Secret that an operator outside of the stack would make.
fn with_signing_key(mut files: Files) -> Files {
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: payments-signing-key, namespace: payments}\n";
    files.insert("stacks/signing-key.yaml".into(), format!("{secret}stringData: {{key.pem: none}}\n"));
    files
}

#[tokio::test(start_paused = true)]
async fn the_sixth_stack_says_exactly_why_it_is_not_ready() {
    let error = start(&stack("payments"), "stacks", nodes()).await.err().unwrap();
    snapshot("the_sixth_stack", &stable(&error.to_string()));
    let sandbox = start(&with_signing_key(stack("payments")), "stacks", nodes()).await.unwrap();
    assert_eq!(phases(&sandbox).await["Running"], 2, "that was all that it lacked");
}

#[tokio::test(start_paused = true)]
async fn a_defect_in_each_stack_keeps_it_unready_and_is_named() {
    let mut said = String::new();
    for (files, from, to) in [
        (
            stack("storefront"),
            "{name: storefront-database, key: url}",
            "{name: storefront-database, key: uri}",
        ),
        (stack("search"), "kubernetes.io/arch: amd64", "kubernetes.io/arch: arm64"),
        (stack("orders"), "replicas: 3", "replicas: 4"),
        (stack("reports"), "claimName: archive", "claimName: archives"),
        (stack("portal"), "port: web}, periodSeconds", "port: wev}, periodSeconds"),
        (
            with_signing_key(stack("payments")),
            "registry.example/mesh/redirect",
            "registry.invalid/mesh/redirect",
        ),
    ] {
        let error = start(&edited(files, from, to), "stacks", nodes()).await.err();
        let error = error.unwrap_or_else(|| panic!("`{to}` was not noticed"));
        assert!(matches!(error, SandboxError::NotReady(..)), "{to}: {error}");
        said.push_str(&format!("{to}\n  {error}\n"));
    }
    snapshot("defects", &stable(&said));
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_refused_are_told_with_what_they_lack() {
    for (name, from, to, why) in [
        (
            "storefront",
            "kind: ServiceAccount\nmetadata:\n  name: storefront\n",
            "kind: ServiceAccount\nmetadata:\n  name: clerk\n",
            "error looking up service account storefront/storefront: serviceaccount \"storefront\" not found",
        ),
        (
            "orders",
            "metadata: {name: stateful}",
            "metadata: {name: stately}",
            "no PriorityClass with name stateful was found",
        ),
    ] {
        let error = start(&edited(stack(name), from, to), "stacks", nodes()).await.err();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(&format!(" is forbidden: {why}")), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_behind_which_nobody_answers_is_told_of() {
    let deployment = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {selector: {matchLabels: {app: web}}, \
                      template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web:1, ports: [{name: http, \
                      containerPort: 8080}]}]}}}}";
    let service = |name: &str, app: &str, target: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{selector: {{app: {app}}}, ports: [{{port: 80, \
             targetPort: {target}}}]}}}}\n"
        )
    };
    let text = format!("---\n{deployment}\n")
        + &service("good", "web", "http")
        + &service("number", "web", "8080")
        + &service("nobody", "wep", "http")
        + &service("named", "web", "htp")
        + &service("numbered", "web", "8081");
    let files = Files::from([("stacks/shop.yaml".to_owned(), text)]);
    let sandbox = start(&files, "stacks", nodes()).await.unwrap();
    let notes = sandbox.notes();
    let told: Vec<&str> =
        notes.iter().filter_map(|line| line.strip_prefix("east: nobody answers: ")).collect();
    assert_eq!(
        told,
        [
            "services/named in shop: its port 80 leads to the port named htp, which no container that it chooses declares",
            "services/nobody in shop: its selector chooses no pod of any workload",
            "services/numbered in shop: its port 80 leads to port 8081, which no container that it chooses declares or is probed at",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_stack_gets_the_time_that_the_spec_gives_it() {
    let slow = edited(stack("orders"), "initialDelaySeconds: 10", "initialDelaySeconds: 90");
    let error = start(&slow, "stacks", nodes()).await.err().unwrap().to_string();
    assert!(
        error.contains(
            "its readiness probe has no good answer: its command, which begins 90 s after the start"
        ),
        "{error}"
    );
    let region =
        json!({"name": "east", "addresses": "10.1.0.0/16", "nodes": nodes(), "manifests": ["stacks"]});
    let spec = serde_json::from_value(json!({"regions": [region], "settlesWithin": "10m"})).unwrap();
    Sandbox::start(&spec, &slow, 7, 0, &[]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stand_in_is_what_the_annotation_or_the_spec_says() {
    let annotated = edited(
        stack("portal"),
        "      labels: {app: portal}\n",
        "      labels: {app: portal}\n      annotations: {stand-in.drillmaster.dev/nginx: idle}\n",
    );
    let error = start(&annotated, "stacks", nodes()).await.err().unwrap().to_string();
    assert!(
        error.contains("its readiness probe has no good answer: httpGet on the port named web"),
        "{error}"
    );
    let region =
        json!({"name": "east", "addresses": "10.1.0.0/16", "nodes": nodes(), "manifests": ["stacks"]});
    let rules = json!([{"image": "registry.example/portal/*", "as": "ledger"}]);
    let spec = serde_json::from_value(json!({"regions": [region], "standIns": rules})).unwrap();
    let sandbox = Sandbox::start(&spec, &stack("portal"), 7, 0, &[]).await.unwrap();
    let inside = sandbox.world().vantages["east"].clone();
    let status = get(&*inside, "http://portal-api.portal:8080/no-such-path").await;
    assert_eq!(status.ok().map(|status| status.as_u16()), Some(404), "the ledger stands in for the API");
}

/// The folder of a dump: the one that is given, or the one of a region of Kubernetes 1.37 that lies here.
fn dump() -> PathBuf {
    std::env::var_os("DRILLMASTER_DUMP").map_or_else(|| place().join("region"), PathBuf::from)
}

#[tokio::test(start_paused = true)]
async fn a_regions_dump_becomes_ready_and_shows_the_same_tables() {
    let files = below(&dump().join("objects"), &dump());
    let sandbox = start(&files, "objects", json!([])).await.unwrap();
    let mut compared = 0;
    for entry in fs::read_dir(dump().join("tables")).unwrap() {
        let path = entry.unwrap().path();
        let printed = tables::parsed(&fs::read_to_string(&path).unwrap());
        let kind = path.file_stem().unwrap().to_string_lossy().into_owned();
        let served = tables::parsed(&tables::served(&client(&sandbox), &kind).await);
        if printed.is_empty() {
            continue;
        }
        assert_eq!(served, printed, "{kind}");
        compared += printed.len();
    }
    assert!(compared > 0, "no table was compared");
    if std::env::var_os("DRILLMASTER_DUMP").is_none() {
        snapshot("a_dump", &sandbox.notes().join("\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dumps_rollout_can_be_undone_since_its_old_sets_are_there() {
    let files = below(&dump().join("objects"), &dump());
    let sandbox = start(&files, "objects", json!([])).await.unwrap();
    let deployments: Api<Deployment> = Api::all(client(&sandbox));
    let sets: Api<ReplicaSet> = Api::all(client(&sandbox));
    let mut revisions = 0;
    for deployment in deployments.list(&ListParams::default()).await.unwrap() {
        let uid = deployment.metadata.uid.unwrap();
        let owned = sets.list(&ListParams::default()).await.unwrap().items;
        let mine = owned
            .iter()
            .filter(|set| set.metadata.owner_references.iter().flatten().any(|owner| owner.uid == uid));
        let name = deployment.metadata.name.unwrap();
        let mine: Vec<_> = mine
            .filter_map(|set| set.metadata.annotations.as_ref()?.get("deployment.kubernetes.io/revision"))
            .collect();
        assert!(!mine.is_empty(), "{name} has no set");
        revisions = revisions.max(mine.len());
    }
    assert!(revisions > 1, "no deployment of the dump was ever rolled out again");
}

/// Every object of a sandbox as one list, as `kubectl get -o yaml` prints it.
fn dumped(sandbox: &Sandbox) -> Files {
    let (_, state) = sandbox.regions().next().unwrap();
    let items: Vec<Value> = state.read(|store| store.all().map(|(_, object)| (**object).clone()).collect());
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    Files::from([("objects/all.json".to_owned(), list.to_string())])
}

#[tokio::test(start_paused = true)]
async fn a_dump_of_a_twin_is_a_twin() {
    for name in ["storefront", "search", "orders", "reports", "portal"] {
        let first = start(&stack(name), "stacks", nodes()).await.unwrap();
        let second = start(&dumped(&first), "objects", json!([]))
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        for kind in [
            "pods",
            "nodes",
            "services",
            "configmaps",
            "secrets",
            "persistentvolumeclaims",
            "namespaces",
            "deployments.apps",
            "replicasets.apps",
            "statefulsets.apps",
            "daemonsets.apps",
            "jobs.batch",
        ] {
            let (before, after) =
                (tables::served(&client(&first), kind).await, tables::served(&client(&second), kind).await);
            assert_eq!(tables::parsed(&before), tables::parsed(&after), "{name}: {kind}");
        }
    }
}

/// What `validate` says of a spec with these manifests.
fn said(files: &Files) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let spec = "apiVersion: drillmaster.dev/v1alpha1\nkind: SandboxSpec\nmetadata: {name: twin}\nspec:\n  regions:\n    - name: east\n      \
                addresses: 10.1.0.0/16\n      nodes: [{name: node-a, zone: a}]\n      manifests: [stacks]\n";
    fs::write(folder.path().join("sandbox.yaml"), spec).unwrap();
    let found = validate::check(&folder.path().join("sandbox.yaml"), &[]);
    found.render(Look::Plain).replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn the_stacks_are_valid() {
    for name in ["storefront", "search", "orders", "reports", "portal", "payments"] {
        assert_eq!(said(&stack(name)), "", "{name}");
    }
}

#[test]
fn no_value_of_a_secret_reaches_the_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_input/good");
    for file in ["drill.yaml", "catalogue.yaml", "sandbox.yaml", "runbooks/checkout-failover.md"] {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = fs::read_to_string(good.join(file)).unwrap();
        let text = text.replacen(
            "nodes: [{name: east-a, zone: a}]",
            "nodes: [{name: east-a, zone: a}]\n      manifests: [manifests]",
            1,
        );
        fs::write(path, text).unwrap();
    }
    fs::create_dir(folder.path().join("manifests")).unwrap();
    let noted = "    annotations: {kubectl.kubernetes.io/last-applied-configuration: '{\"stringData\": {\"a\": \"hidden-4\"}}'}\n";
    let text = format!(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata:\n    name: a\n{noted}  data:\n    a: aGlkZGVuLTE=\n  \
         stringData:\n    b: hidden-2\n    c: |\n      hidden-3\n      hidden-3\n    d: \"hidden-5\"\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {{name: a}}\n  \
         data: {{a: shown}}\n"
    );
    fs::write(folder.path().join("manifests/a.yaml"), text).unwrap();
    let inputs = inputs::load(&folder.path().join("drill.yaml"), &[])
        .unwrap_or_else(|found| panic!("{}", found.render(Look::Plain)));
    let kept = String::from_utf8(inputs.files["manifests/a.yaml"].clone()).unwrap();
    assert!(!kept.contains("hidden") && !kept.contains("aGlkZGVu"), "{kept}");
    assert!(kept.contains("shown") && kept.matches("sha256:").count() == 5, "{kept}");
    let again: Value = serde_yaml::from_str(&kept).unwrap();
    assert_eq!(again["items"][1]["data"]["a"], "shown", "{kept}");
    assert!(inputs.manifests["manifests/a.yaml"].contains("hidden-2"), "the twin itself has it");
}

#[tokio::test(start_paused = true)]
async fn the_readmes_example_becomes_ready() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    assert!(readme.contains("drillmaster sandbox tests/twin/shop.yaml"));
    let (document, manifests) = inputs::sandbox(&place().join("shop.yaml"))
        .unwrap_or_else(|found| panic!("{}", found.render(Look::Plain)));
    Sandbox::start(&document.spec, &manifests, 7, 0, &[]).await.unwrap();
}

#[test]
fn a_plan_and_a_run_say_what_is_not_simulated_and_bad_manifests_stop_them() {
    let folder = tempfile::tempdir().unwrap();
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    for (path, text) in below(&scenarios, &scenarios) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("[manifests/shop-east.yaml,", "[stacks, manifests/shop-east.yaml,"))
            .unwrap();
    }
    fs::create_dir(folder.path().join("runbooks")).unwrap();
    fs::copy(scenarios.join("runbooks/escalation.md"), folder.path().join("runbooks/escalation.md")).unwrap();
    fs::create_dir(folder.path().join("stacks")).unwrap();
    let portal = fs::read_to_string(place().join("stacks/portal.yaml")).unwrap();
    let drillmaster = |arguments: &[&str]| {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_drillmaster"));
        let output = command.current_dir(folder.path()).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    fs::write(folder.path().join("stacks/portal.yaml"), &portal).unwrap();
    for arguments in [
        &["plan", "escalation-tabletop.yaml"][..],
        &["run", "escalation-tabletop.yaml", "--quiet", "--evidence", "evidence"],
    ] {
        let (_, said) = drillmaster(arguments);
        assert!(
            said.contains("east: not simulated: Ingress portal/portal: nothing answers on port 443"),
            "{said}"
        );
    }
    let kept = fs::read_to_string(folder.path().join("evidence/inputs/stacks/portal.yaml")).unwrap();
    assert!(
        portal.contains("bm90LWEta2V5") && !kept.contains("bm90LWEta2V5") && kept.contains("sha256:"),
        "{kept}"
    );
    fs::write(folder.path().join("stacks/portal.yaml"), portal.replace("minReadySeconds", "minReadySecond"))
        .unwrap();
    for arguments in [
        &["plan", "escalation-tabletop.yaml"][..],
        &["validate", "shop-two-regions.yaml"],
        &["sandbox", "shop-two-regions.yaml"],
    ] {
        let (code, said) = drillmaster(arguments);
        assert!(code == Some(2) && said.contains("--> stacks/portal.yaml:84:3"), "{arguments:?}: {said}");
    }
}
