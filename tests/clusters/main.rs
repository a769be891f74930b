//! What can be wrong with clusters before a drill starts: each is told clearly, within its time, and nothing is touched.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod checking;
mod credentials;
mod probing;
mod server;

use std::path::Path;
use std::process::{Command, Output};

use http::Method;
use serde_json::{Value, json};
use server::{Answers, behind_tls, cluster};
use tempfile::TempDir;

/// An Environment of two regions in a folder, each with its own kubeconfig.
fn environment(place: &Path, servers: [&str; 2], identities: [&str; 2]) {
    let mut regions = Vec::new();
    for ((region, server), identity) in ["east", "west"].into_iter().zip(servers).zip(identities) {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": server}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
            "users": [{"name": "me", "user": {"token": "t0ken-canary"}}],
        });
        std::fs::write(place.join(format!("{region}.kubeconfig")), kubeconfig.to_string()).unwrap();
        regions.push(json!({
            "name": region, "class": "development", "kubeconfig": format!("{region}.kubeconfig"),
            "identity": identity, "namespaces": ["shop"],
        }));
    }
    write_environment(place, json!({"regions": regions}));
}

fn write_environment(place: &Path, spec: Value) {
    let document = json!({
        "apiVersion": "drillmaster.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "lab"}, "spec": spec,
    });
    std::fs::write(place.join("environment.yaml"), document.to_string()).unwrap();
}

fn drillmaster(place: &Path, arguments: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_drillmaster");
    Command::new(binary).current_dir(place).args(arguments).env_remove("KUBECONFIG").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// What `env check` and `run` say where west answers like this and east well; nothing was written anywhere.
fn refused(west: Answers) -> String {
    let place = tempfile::tempdir().unwrap();
    let (east, asked_east) = cluster(Answers::Well("uid-east"));
    let (west, asked_west) = cluster(west);
    environment(place.path(), [&east, &west], ["uid-east", "uid-west"]);
    let checked = drillmaster(place.path(), &["env", "check", "environment.yaml"]);
    assert_eq!(checked.status.code(), Some(15), "{}", said(&checked));
    assert!(
        said(&checked).contains("east         ok  v1.37.2  development  identity uid-east"),
        "{}",
        said(&checked)
    );
    let run = run(place.path());
    assert_eq!(run.status.code(), Some(15), "{}", said(&run));
    let text = said(&run);
    assert!(said(&checked).contains(text.lines().next().unwrap().trim_start_matches("error: ")), "{text}");
    let mut asked = asked_east.lock().unwrap().clone();
    asked.extend(asked_west.lock().unwrap().iter().cloned());
    assert!(asked.iter().all(|(method, _)| method == Method::GET), "{asked:?}");
    assert!(!place.path().join("evidence").exists(), "a run that never began left evidence");
    assert!(!text.contains("t0ken-canary"), "{text}");
    text
}

/// The drill of tests/live, with all that it and its rehearsal refer to.
fn documents(place: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["failover.yaml", "catalogue.yaml", "sandbox.yaml"] {
        std::fs::copy(root.join("tests/live").join(name), place.join(name)).unwrap();
    }
    std::fs::create_dir_all(place.join("manifests")).unwrap();
    for entry in std::fs::read_dir(root.join("scenarios/manifests")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), place.join("manifests").join(entry.file_name())).unwrap();
    }
}

/// Runs that drill with the environment of a folder.
fn run(place: &Path) -> Output {
    documents(place);
    drillmaster(place, &["run", "failover.yaml", "--env", "environment.yaml", "--evidence", "evidence"])
}

#[test]
fn a_cluster_that_answers_strangely_is_told_with_its_region_and_a_way_on() {
    for (west, tells) in [
        (Answers::Well("uid-other"), "region west is another cluster than the environment says"),
        (Answers::With(401), "the credentials of the context are not valid"),
        (Answers::With(403), "allow `get` on the namespace kube-system"),
        (Answers::With(429), "429 Too Many Requests: no way"),
        (Answers::With(500), "500 Internal Server Error: no way"),
        (
            Answers::Html,
            "what answers is no Kubernetes API server: /version was answered with 200 OK and no JSON",
        ),
        (Answers::HangsMidBody, "region west: no answer from its API server"),
    ] {
        let text = refused(west);
        assert!(text.contains(tells), "{west:?}: {text}");
    }
}

#[test]
fn a_cluster_that_never_answers_is_given_up() {
    let text = refused(Answers::Never);
    assert!(text.contains("region west: no answer from its API server: nothing within 10 s"), "{text}");
}

#[test]
fn two_regions_that_are_one_cluster_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let (server, _) = cluster(Answers::Well("uid-east"));
    environment(place.path(), [&server, &server], ["uid-east", "uid-east"]);
    let checked = drillmaster(place.path(), &["env", "check", "environment.yaml"]);
    assert_eq!(checked.status.code(), Some(2), "{}", said(&checked));
    assert!(said(&checked).contains("`west` is the same cluster as `east`"), "{}", said(&checked));
}

fn wrong_file(change: impl FnOnce(&TempDir)) -> String {
    let place = tempfile::tempdir().unwrap();
    let (east, _) = cluster(Answers::Well("uid-east"));
    let (west, _) = cluster(Answers::Well("uid-west"));
    environment(place.path(), [&east, &west], ["uid-east", "uid-west"]);
    change(&place);
    let run = run(place.path());
    assert_eq!(run.status.code(), Some(15), "{}", said(&run));
    said(&run)
}

#[test]
fn a_kubeconfig_that_cannot_be_used_is_told_with_its_region() {
    let missing = wrong_file(|place| std::fs::remove_file(place.path().join("east.kubeconfig")).unwrap());
    assert!(missing.contains("region east: the kubeconfig cannot be used"), "{missing}");
    let broken = wrong_file(|place| std::fs::write(place.path().join("east.kubeconfig"), "a: [").unwrap());
    assert!(broken.contains("region east: the kubeconfig cannot be used"), "{broken}");
    let no_context = wrong_file(|place| {
        std::fs::write(place.path().join("east.kubeconfig"), "{apiVersion: v1, kind: Config}").unwrap();
    });
    assert!(no_context.contains("region east: the kubeconfig cannot be used"), "{no_context}");
    let schemeless = wrong_file(|place| east_at(place, "127.0.0.1:1", None));
    assert!(
        schemeless.contains("region east: the kubeconfig cannot be used: its server `127.0.0.1:1` is no URL"),
        "{schemeless}"
    );
    assert!(!schemeless.contains("panicked"), "{schemeless}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = wrong_file(|place| east_at(place, &format!("https://{free}"), None));
    assert!(nobody.contains("region east: no answer from its API server"), "{nobody}");
    assert!(nobody.contains("Connection refused"), "{nobody}");
}

/// East's kubeconfig leads to another server, and trusts this authority.
fn east_at(place: &TempDir, server: &str, authority: Option<&str>) {
    let file = place.path().join("east.kubeconfig");
    let mut kubeconfig: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    kubeconfig["clusters"][0]["cluster"]["server"] = json!(server);
    if let Some(pem) = authority {
        let data = k8s_openapi::ByteString(pem.as_bytes().to_vec());
        kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"] = json!(data);
    }
    std::fs::write(file, kubeconfig.to_string()).unwrap();
}

#[test]
fn a_certificate_that_is_over_or_of_another_authority_is_refused() {
    let (server, authority) = behind_tls(2099);
    let place = tempfile::tempdir().unwrap();
    let (west, _) = cluster(Answers::Well("uid-west"));
    environment(place.path(), [&server, &west], ["uid-east", "uid-west"]);
    east_at(&place, &server, Some(&authority));
    let checked = drillmaster(place.path(), &["env", "check", "environment.yaml"]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    let (_, another) = behind_tls(2099);
    let wrong = wrong_file(|place| east_at(place, &server, Some(&another)));
    assert!(wrong.contains("region east: no answer from its API server"), "{wrong}");
    assert!(wrong.contains("certificate"), "{wrong}");
    let (server, authority) = behind_tls(2021);
    let over = wrong_file(|place| east_at(place, &server, Some(&authority)));
    assert!(over.contains("region east") && over.contains("certificate expired"), "{over}");
}

#[test]
fn an_environment_that_contradicts_itself_is_refused_at_its_line() {
    let place = tempfile::tempdir().unwrap();
    let region = |name: &str, identity: &str, addresses: &str| json!({"name": name, "class": "staging", "identity": identity, "namespaces": ["shop"], "addresses": [addresses]});
    let mut unheard = region("west", "c", "10.9.0.0/16");
    unheard["alerts"] = json!({});
    write_environment(
        place.path(),
        json!({
            "regions": [region("east", "a", "10.1.0.0/16"), region("east", "a", "10.1.2.0/24"), region("outside", "b", "10.x"), unheard],
            "vantages": [
                {"name": "lab"}, {"name": "lab"},
                {"name": "Head Office", "agent": {"start": {"region": "wset", "namespace": "probes", "image": " "}}},
            ],
            "alerts": {"alertmanager": "ftp://alerts"},
            "commands": [{"name": "restore", "run": []}],
        }),
    );
    let checked = drillmaster(place.path(), &["validate", "environment.yaml"]);
    assert_eq!(checked.status.code(), Some(2), "{}", said(&checked));
    for tells in [
        "two regions are called `east`",
        "`east` is the same cluster as `east`",
        "`east` shares addresses with `east`",
        "no region can be called `outside`",
        "`10.x` is no range of addresses",
        "two vantages are called `lab`",
        "no pod can be named after a vantage called `Head Office`",
        "the agent has no image",
        "`wset`",
        "ftp",
        "nobody says here that an alert fires",
        "the command `restore` runs nothing",
    ] {
        assert!(said(&checked).contains(tells), "{tells}: {}", said(&checked));
    }
}

#[test]
fn an_environment_is_made_from_contexts_and_is_not_overwritten() {
    let place = tempfile::tempdir().unwrap();
    let (east, _) = cluster(Answers::Well("uid-east"));
    let (west, _) = cluster(Answers::Well("uid-west"));
    let of = |server: &str| json!({"server": server});
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "e", "cluster": of(&east)}, {"name": "w", "cluster": of(&west)}],
        "contexts": [{"name": "e", "context": {"cluster": "e", "user": "me"}}, {"name": "w", "context": {"cluster": "w", "user": "me"}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
    });
    std::fs::write(place.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
    let arguments = [
        "env",
        "init",
        "lab.yaml",
        "--region",
        "east=e",
        "--region",
        "west=w",
        "--kubeconfig",
        "kubeconfig",
        "--namespace",
        "shop",
        "--class",
        "staging",
    ];
    let made = drillmaster(place.path(), &arguments);
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    let checked = drillmaster(place.path(), &["env", "check", "lab.yaml"]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    assert!(said(&checked).contains("identity uid-west"), "{}", said(&checked));
    let text = std::fs::read_to_string(place.path().join("lab.yaml")).unwrap();
    assert!(text.contains("class: staging") && text.contains("uid-east"), "{text}");
    let again = drillmaster(place.path(), &arguments);
    assert_eq!(again.status.code(), Some(2), "{}", said(&again));
    assert_eq!(std::fs::read_to_string(place.path().join("lab.yaml")).unwrap(), text);
}
