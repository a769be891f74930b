//! Servers that answer as API servers do, or as none does, until the test ends.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use chrono::{TimeDelta, Utc};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// How a cluster answers.
#[derive(Debug, Clone, Copy)]
pub enum Answers {
    /// As an API server, with this identity.
    Well(&'static str),
    /// The same, to whoever has this token.
    To(&'static str, &'static str),
    /// The same, with a clock that is so many seconds ahead.
    Ahead(&'static str, i64),
    /// The same, without the namespace `shop`, an API for names, and any right to patch.
    Poor(&'static str),
    /// As an API server that does not say what it allows.
    Mute(&'static str),
    With(u16),
    Html,
    /// Its headers, and never its body.
    HangsMidBody,
    Never,
}

/// The methods and paths that a server was asked with.
pub type Asked = Arc<Mutex<Vec<(Method, String)>>>;

/// A server that answers like that; its address, and what it was asked.
pub fn cluster(answers: Answers) -> (String, Asked) {
    let (tell, told) = std::sync::mpsc::channel();
    let asked = Asked::default();
    let seen = asked.clone();
    in_a_thread(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        tell.send(listener.local_addr().unwrap()).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, answers, seen.clone()));
        }
    });
    (format!("http://{}", told.recv().unwrap()), asked)
}

fn in_a_thread(serves: impl Future<Output = ()> + Send + 'static) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serves);
    });
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, answers: Answers, asked: Asked) {
    let service = service_fn(move |request: Request<Incoming>| {
        asked.lock().unwrap().push((request.method().clone(), request.uri().path().to_owned()));
        async move { Ok::<_, Infallible>(answer(answers, request).await) }
    });
    let _ =
        http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), service).await;
}

fn respond(code: u16, kind: &str, body: String) -> Response<Full<Bytes>> {
    Response::builder().status(code).header(CONTENT_TYPE, kind).body(Full::from(body)).unwrap()
}

fn json(code: u16, value: &Value) -> Response<Full<Bytes>> {
    respond(code, "application/json", value.to_string())
}

fn failure(code: u16) -> Response<Full<Bytes>> {
    json(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no way", "code": code}),
    )
}

async fn answer(answers: Answers, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match answers {
        Answers::Well(uid) => well(uid, false, request).await,
        Answers::Poor(uid) => well(uid, true, request).await,
        Answers::Mute(_) if request.uri().path().ends_with("/selfsubjectaccessreviews") => failure(500),
        Answers::Mute(uid) => well(uid, false, request).await,
        Answers::To(uid, token) => {
            let given = request.headers().get(AUTHORIZATION).and_then(|given| given.to_str().ok());
            match given == Some(&format!("Bearer {token}")) {
                true => well(uid, false, request).await,
                false => failure(401),
            }
        }
        Answers::Ahead(uid, seconds) => {
            let mut answer = well(uid, false, request).await;
            let date = (Utc::now() + TimeDelta::seconds(seconds)).format("%a, %d %b %Y %H:%M:%S GMT");
            answer.headers_mut().insert(DATE, date.to_string().parse().unwrap());
            answer
        }
        Answers::With(code) => failure(code),
        Answers::Html => respond(200, "text/html", "<html><body>Please log in</body></html>".to_owned()),
        Answers::HangsMidBody => {
            let mut answer = json(200, &json!("begins"));
            answer.headers_mut().insert(CONTENT_LENGTH, 1_000.into());
            answer
        }
        Answers::Never => std::future::pending().await,
    }
}

async fn well(uid: &str, poor: bool, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/version" => json(200, &json!({"gitVersion": "v1.37.2"})),
        "/apis" => {
            let mut groups = vec!["apps", "networking.k8s.io", "policy"];
            groups.extend((!poor).then_some("externaldns.k8s.io"));
            let groups: Vec<Value> = groups.into_iter().map(|name| json!({"name": name})).collect();
            json(200, &json!({"kind": "APIGroupList", "groups": groups}))
        }
        "/api/v1/namespaces/shop" if poor => failure(404),
        path if path.ends_with("/selfsubjectaccessreviews") => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let review: Value = serde_json::from_slice(&body).unwrap();
            let allowed = !poor || review["spec"]["resourceAttributes"]["verb"] != "patch";
            json(201, &json!({"status": {"allowed": allowed, "reason": "no rule"}}))
        }
        _ => json(200, &json!({"metadata": {"name": "kube-system", "uid": uid}})),
    }
}

/// A TLS server whose certificate ends at the beginning of a year, and the authority that signed it as PEM.
pub fn behind_tls(ends_in: i32) -> (String, String) {
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
    in_a_thread(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        tell.send(listener.local_addr().unwrap()).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            tokio::spawn(serve(stream, Answers::Well("uid-east"), Asked::default()));
        }
    });
    (format!("https://{}", told.recv().unwrap()), authority)
}
