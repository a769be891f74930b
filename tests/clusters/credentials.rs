//! Kubeconfig's ways in: credential plugins, and the account of the pod that drillmaster runs in.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use drillmaster::cluster::{self, EnvironmentSpec};
use http::Request;
use kube::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::{Answers, cluster};
use super::{drillmaster, environment, said, write_environment};

/// East's kubeconfig gets its token from a program, which is this shell script.
fn east_logs_in_by(place: &Path, script: &str) {
    let program = place.join("plugin.sh");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let file = place.join("east.kubeconfig");
    let mut kubeconfig: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    kubeconfig["users"][0]["user"] = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": program, "interactiveMode": "Never",
    }});
    std::fs::write(file, kubeconfig.to_string()).unwrap();
}

/// Two regions, of which east wants the token `of-a-plugin`.
fn lab(script: &str) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let (east, _) = cluster(Answers::To("uid-east", "of-a-plugin"));
    let (west, _) = cluster(Answers::Well("uid-west"));
    environment(place.path(), [&east, &west], ["uid-east", "uid-west"]);
    east_logs_in_by(place.path(), script);
    place
}

/// A plugin's answer, as a shell prints it.
fn credential(status: &Value) -> String {
    let credential =
        json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status});
    format!("echo '{credential}'")
}

#[test]
fn a_credential_plugin_gives_the_token() {
    let place = lab(&credential(&json!({"token": "of-a-plugin"})));
    let checked = drillmaster(place.path(), &["env", "check", "environment.yaml"]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
}

#[test]
fn a_credential_plugin_that_fails_or_hangs_is_told_with_its_region_and_without_what_it_printed() {
    for (script, tells) in [
        (
            "echo s3cret-canary; echo log in first >&2; exit 3",
            "its credential plugin ended with exit status: 3: log in first",
        ),
        ("echo s3cret-canary", "its credential plugin printed no ExecCredential"),
        ("exec sleep 30", "its credential plugin did not end within 15 s"),
    ] {
        let place = lab(script);
        let checked = drillmaster(place.path(), &["env", "check", "environment.yaml"]);
        let text = said(&checked);
        assert_eq!(checked.status.code(), Some(15), "{text}");
        assert!(text.contains("region east: ") && text.contains(tells), "{script}: {text}");
        assert!(text.contains("west         ok") && !text.contains("s3cret-canary"), "{script}: {text}");
    }
    let place = lab(&credential(&json!({"token": "an-old-one"})));
    let checked = drillmaster(place.path(), &["env", "check", "environment.yaml"]);
    assert!(said(&checked).contains("the credentials of the context are not valid"), "{}", said(&checked));
}

/// What runs once the regions are connected to, of which east's token is over at once, and its plugin then does this.
fn once_east_renews_by<T>(then: &str, test: impl AsyncFnOnce(Client, Client) -> T) -> T {
    let place = lab("");
    let over = json!({"token": "of-a-plugin", "expirationTimestamp": "2020-01-01T00:00:00Z"});
    let renews = place.path().join("renews");
    let script = format!("if [ -e '{}' ]; then {then}; fi; {}", renews.display(), credential(&over));
    east_logs_in_by(place.path(), &script);
    let text = std::fs::read_to_string(place.path().join("environment.yaml")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let spec: EnvironmentSpec = serde_json::from_value(document["spec"].clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut regions = cluster::connect_all(&spec, place.path()).await;
        let mut client = |name: &str| regions.remove(name).unwrap().unwrap().client;
        let (east, west) = (client("east"), client("west"));
        std::fs::write(&renews, "").unwrap();
        test(east, west).await
    })
}

async fn version(client: Client) -> kube::Result<Value> {
    client.request(Request::get("/version").body(Vec::new()).unwrap()).await
}

#[test]
fn a_region_that_renews_its_token_slowly_holds_up_no_other() {
    once_east_renews_by("exec sleep 20", async |east, west| {
        let slow = tokio::time::timeout(Duration::from_secs(5), version(east));
        let (slow, other) = tokio::join!(slow, version(west));
        assert!(slow.is_err(), "it waits for its plugin: {slow:?}");
        assert_eq!(other.unwrap()["gitVersion"], "v1.37.2");
    });
}

#[test]
fn a_token_that_cannot_be_renewed_is_told_without_what_the_plugin_printed() {
    once_east_renews_by("echo s3cret-canary; exit 1", async |east, _| {
        let error = format!("{:?}", version(east).await.unwrap_err());
        assert!(error.contains("its credential plugin ended with exit status: 1"), "{error}");
        assert!(!error.contains("s3cret-canary"), "{error}");
    });
}

/// kube reads a pod's account at fixed paths, so this is done in a mount namespace of its own, where they are the test's.
#[test]
fn the_account_of_the_pod_is_used_where_there_is_no_kubeconfig() {
    let place = tempfile::tempdir().unwrap();
    let (server, authority) = super::server::behind_tls(2099);
    let (host, port) = server.trim_start_matches("https://").split_once(':').unwrap();
    let region = json!({"name": "here", "class": "staging", "identity": "uid-east", "namespaces": ["shop"]});
    write_environment(place.path(), json!({"regions": [region]}));
    std::fs::write(place.path().join("ca.crt"), authority).unwrap();
    std::fs::write(place.path().join("token"), "of-the-pod").unwrap();
    std::fs::write(place.path().join("namespace"), "drills").unwrap();
    let account = "/run/secrets/kubernetes.io/serviceaccount";
    let script = format!(
        "mount -t tmpfs none /run && mkdir -p {account} && cp ca.crt token namespace {account}/ && exec {} env check environment.yaml",
        env!("CARGO_BIN_EXE_drillmaster")
    );
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]).current_dir(place.path());
    command.env("HOME", place.path()).env_remove("KUBECONFIG");
    command.env("KUBERNETES_SERVICE_HOST", host).env("KUBERNETES_SERVICE_PORT", port);
    let checked = command.output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    assert!(
        said(&checked).contains("here         ok  v1.37.2  staging  identity uid-east"),
        "{}",
        said(&checked)
    );
}
