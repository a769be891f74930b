//! Servers on loopback, of each protocol, until the test's runtime ends. Each tells when a client has gone.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{Datelike, TimeDelta, Utc};
use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A server, and a word for each client that has gone.
pub struct Server {
    pub address: SocketAddr,
    pub gone: UnboundedReceiver<()>,
}

pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

type Stream = Box<dyn Io>;

/// A server whose connections are served like that, over TLS where it is given.
pub async fn serving<S: Future<Output = ()> + Send + 'static>(
    tls: Option<TlsAcceptor>,
    serve: impl Fn(Stream) -> S + Send + Sync + Clone + 'static,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, gone) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, serve, tell) = (tls.clone(), serve.clone(), tell.clone());
            tokio::spawn(async move {
                match tls {
                    None => serve(Box::new(stream)).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(Box::new(stream)).await;
                        }
                    }
                }
                let _ = tell.send(());
            });
        }
    });
    Server { address, gone }
}

async fn until_it_has_gone(mut stream: impl AsyncRead + Unpin) {
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// A server that says this at once, and then nothing.
pub async fn saying(banner: &'static str) -> Server {
    serving(None, move |mut stream| async move {
        let _ = stream.write_all(banner.as_bytes()).await;
        until_it_has_gone(stream).await;
    })
    .await
}

/// A server that says this and closes.
pub async fn slamming(banner: &'static str) -> Server {
    serving(None, move |mut stream| async move {
        let _ = stream.write_all(banner.as_bytes()).await;
        let _ = stream.shutdown().await;
    })
    .await
}

/// A port that nobody listens on.
pub async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// An HTTP server that answers a request by its first line and body.
pub async fn http(tls: Option<TlsAcceptor>, answer: fn(&str) -> Option<String>) -> Server {
    serving(tls, move |mut stream| async move {
        let mut request = Vec::new();
        let mut bytes = [0; 2048];
        // Whole once its body, whose length the tests' requests tell by an end of `}`, or none, is there.
        while !request.ends_with(b"\r\n\r\n") && !request.ends_with(b"}") {
            match stream.read(&mut bytes).await {
                Ok(length @ 1..) => request.extend_from_slice(&bytes[..length]),
                Ok(0) | Err(_) => return,
            }
        }
        if let Some(answer) = answer(&String::from_utf8_lossy(&request)) {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        until_it_has_gone(stream).await;
    })
    .await
}

/// TLS for a name, with a certificate that ends in so many days, to speak this; and its authority as PEM.
pub fn tls(name: &str, days: i64, speaks: &[u8]) -> (TlsAcceptor, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let end = (Utc::now() + TimeDelta::days(days)).date_naive();
    let (month, day) = (u8::try_from(end.month()).unwrap(), u8::try_from(end.day()).unwrap());
    (params.not_before, params.not_after) =
        (date_time_ymd(2020, 1, 1), date_time_ymd(end.year(), month, day));
    let certificate = params.signed_by(&key, &issuer).unwrap().der().clone();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = config.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![speaks.to_vec()];
    (TlsAcceptor::from(Arc::new(config)), authority)
}

/// A resolver over UDP and TCP that knows a few names; `hangs.example` gets no answer.
pub async fn resolver() -> SocketAddr {
    // A port that is free for both.
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 2048];
        while let Ok((length, from)) = udp.recv_from(&mut bytes).await {
            let Some(mut answer) = answered(&bytes[..length]) else { continue };
            if answer.queries[0].name().to_ascii().starts_with("large.") {
                answer.answers.clear();
                answer.metadata.truncation = true;
            }
            // Somebody who guesses comes first.
            let mut guess = answer.clone();
            guess.metadata.id = guess.metadata.id.wrapping_add(1);
            guess.metadata.response_code = ResponseCode::Refused;
            udp.send_to(&guess.to_vec().unwrap(), from).await.unwrap();
            udp.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let Ok(length) = stream.read_u16().await else { continue };
            let mut bytes = vec![0; usize::from(length)];
            stream.read_exact(&mut bytes).await.unwrap();
            let answer = answered(&bytes).unwrap().to_vec().unwrap();
            stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
    address
}

fn answered(question: &[u8]) -> Option<Message> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.add_query(query.clone());
    let mut add = |ttl, data| {
        answer.add_answer(Record::from_rdata(query.name().clone(), ttl, data));
    };
    let address = |last| RData::A(A::new(192, 0, 2, last));
    match (query.name().to_ascii().as_str(), query.query_type()) {
        ("hangs.example.", _) => return None,
        ("web.example." | "large.example.", RecordType::A) => {
            add(60, address(1));
            add(30, address(2));
        }
        ("www.example.", RecordType::CNAME) => {
            add(300, RData::CNAME(CNAME(Name::from_ascii("web.example.").unwrap())));
        }
        ("web.example.", RecordType::TXT) => {
            add(5, RData::TXT(TXT::new(vec!["v=spf1 ".to_owned(), "-all".to_owned()])));
        }
        ("web.example.", _) => {}
        ("fails.example.", _) => answer.metadata.response_code = ResponseCode::ServFail,
        ("refuses.example.", _) => answer.metadata.response_code = ResponseCode::Refused,
        _ => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    Some(answer)
}

/// A gRPC server whose services have their state as a name: `up`, `down`, `hangs`, `refuses`; no other is known.
pub async fn grpc(tls: Option<TlsAcceptor>) -> Server {
    serving(tls, |stream| async move {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        let mut held = Vec::new();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            assert_eq!(request.headers()["te"], "trailers");
            tokio::spawn({
                let (tell, told) = tokio::sync::oneshot::channel::<()>();
                held.push(tell);
                async move {
                    let body = request.into_body().data().await.unwrap().unwrap();
                    // Five bytes before the message, then a key and a length, where there is a name.
                    let service = String::from_utf8(body.get(7..).unwrap_or_default().to_vec()).unwrap();
                    let mut head = http::Response::new(());
                    head.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
                    let state = match service.as_str() {
                        "" | "up" => 1,
                        "down" => 2,
                        "hangs" => {
                            let _ = told.await;
                            return;
                        }
                        other => {
                            let code = if other == "refuses" { "14" } else { "5" };
                            head.headers_mut().insert("grpc-status", code.parse().unwrap());
                            respond.send_response(head, true).unwrap();
                            return;
                        }
                    };
                    let mut body = respond.send_response(head, false).unwrap();
                    body.send_data(Bytes::from(vec![0, 0, 0, 0, 2, 8, state]), false).unwrap();
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    body.send_trailers(trailers).unwrap();
                }
            });
        }
    })
    .await
}
