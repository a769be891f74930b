//! What can be wrong with clusters before a drill starts: each is told clearly, within its time, and nothing is touched.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::convert::Infallible;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// How a cluster that is none answers.
#[derive(Debug, Clone, Copy)]
enum Answers {
    /// As an API server, with this identity.
    Well(&'static str),
    With(u16),
    Html,
    /// Its headers, and never its body.
    HangsMidBody,
    Never,
}

/// A server that answers like that until the test ends; its address, and the methods that it was asked with.
fn cluster(answers: Answers) -> (String, Arc<Mutex<Vec<Method>>>) {
    let (tell, told) = std::sync::mpsc::channel();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let seen = seen.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    seen.lock().unwrap().push(request.method().clone());
                    answer(answers, request.uri().path().to_owned())
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    (format!("http://{}", told.recv().unwrap()), asked)
}

async fn answer(answers: Answers, path: String) -> Result<Response<Full<Bytes>>, Infallible> {
    let respond = |code: u16, kind: &str, body: String| {
        let response = Response::builder().status(code).header("content-type", kind);
        Ok(response.body(Full::from(body)).unwrap())
    };
    let json = |code: u16, value: Value| respond(code, "application/json", value.to_string());
    match answers {
        Answers::Well(_) if path == "/version" => json(200, json!({"gitVersion": "v1.37.2"})),
        Answers::Well(uid) => json(200, json!({"metadata": {"name": "kube-system", "uid": uid}})),
        Answers::With(code) => json(
            code,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no way", "code": code}),
        ),
        Answers::Html => respond(200, "text/html", "<html><body>Please log in</body></html>".to_owned()),
        Answers::HangsMidBody => {
            let response = Response::builder().header("content-length", "1000");
            Ok(response.body(Full::from("{\"gitVersion\": ")).unwrap())
        }
        Answers::Never => std::future::pending().await,
    }
}

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
    assert!(said(&checked).contains("east         ok  v1.37.2  identity uid-east"), "{}", said(&checked));
    let run = run(place.path());
    assert_eq!(run.status.code(), Some(15), "{}", said(&run));
    let text = said(&run);
    assert!(said(&checked).contains(text.lines().next().unwrap().trim_start_matches("error: ")), "{text}");
    let mut asked = asked_east.lock().unwrap().clone();
    asked.extend(asked_west.lock().unwrap().iter().cloned());
    assert!(asked.iter().all(|method| method == Method::GET), "{asked:?}");
    assert!(!place.path().join("evidence").exists(), "a run that never began left evidence");
    assert!(!text.contains("t0ken-canary"), "{text}");
    text
}

/// Runs the drill of tests/live with the environment of a folder.
fn run(place: &Path) -> Output {
    let live = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live");
    for name in ["failover.yaml", "catalogue.yaml"] {
        std::fs::copy(live.join(name), place.join(name)).unwrap();
    }
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

/// A TLS server whose certificate ends at the beginning of a year, and the authority that signed it as PEM.
fn behind_tls(ends_in: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(ends_in, 1, 1));
    let certificate = params.signed_by(&key, &issuer).unwrap().der().clone();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let service = service_fn(|request: Request<Incoming>| {
                    answer(Answers::Well("uid-east"), request.uri().path().to_owned())
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    (format!("https://{}", told.recv().unwrap()), authority)
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
    write_environment(
        place.path(),
        json!({
            "regions": [region("east", "a", "10.1.0.0/16"), region("east", "a", "10.1.2.0/24"), region("outside", "b", "10.x")],
            "vantages": [{"name": "lab"}, {"name": "lab"}],
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
        "ftp",
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
