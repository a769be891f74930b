//! Alerts as a team really has them: Prometheus asks a service, Alertmanager pages the run, and both ways to hear of it are late by no
//! more than they say and never early.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use drillmaster::cluster::alerts::Alertmanagers;
use drillmaster::cluster::clock::LiveClock;
use drillmaster::cluster::environment::AlertSource;
use drillmaster::cluster::net::SocketNet;
use drillmaster::cluster::trust::Trust;
use drillmaster::model::name::Name;
use drillmaster::world::{Alerts, Clock};
use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// For how long the service must be seen down until the alert fires.
const DOWN_FOR: i64 = 2_000_000_000;

/// However slow the machine is.
const PATIENCE: Duration = Duration::from_secs(180);

/// A server of this test's own; it ends with it, and with the thread that began it.
struct Server(Child);

impl Server {
    fn start(folder: &Path, program: &str, arguments: &[String]) -> Server {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", program]).args(arguments).current_dir(folder);
        Server(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// An address of loopback where nobody listens.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A service with one metric; counts how often it was asked.
async fn serve(listener: TcpListener, asked: Arc<AtomicU32>) {
    const BODY: &str = "orders_total 1\n";
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = [0; 4096];
        if stream.read(&mut request).await.is_ok() {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{BODY}", BODY.len());
            drop(stream.write_all(answer.as_bytes()).await);
            asked.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The two of Debian, which know each other, the service and where a run is paged.
fn alerting(folder: &Path, service: SocketAddr, manager: SocketAddr, pages: SocketAddr) -> [Server; 2] {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    write(
        "prometheus.yml",
        format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: [rules.yml]\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{manager}']}}]}}]}}\n\
             scrape_configs: [{{job_name: checkout, static_configs: [{{targets: ['{service}']}}]}}]\n"
        ),
    );
    write(
        "rules.yml",
        "groups: [{name: shop, rules: [{alert: CheckoutDown, expr: 'up{job=\"checkout\"} == 0', for: 2s}]}]\n".to_owned(),
    );
    write(
        "alertmanager.yml",
        format!(
            "route: {{receiver: run, group_wait: 1s, group_interval: 5s, repeat_interval: 1h}}\n\
             receivers: [{{name: run, webhook_configs: [{{url: 'http://{pages}/'}}]}}]\n"
        ),
    );
    let listens = |at: SocketAddr| format!("--web.listen-address={at}");
    let prometheus =
        ["--config.file=prometheus.yml".to_owned(), "--storage.tsdb.path=data".to_owned(), listens(free())];
    let alertmanager = [
        "--config.file=alertmanager.yml".to_owned(),
        "--storage.path=alerts".to_owned(),
        "--cluster.listen-address=".to_owned(),
        listens(manager),
    ];
    [
        Server::start(folder, "prometheus-alertmanager", &alertmanager),
        Server::start(folder, "prometheus", &prometheus),
    ]
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

#[tokio::test]
#[ignore = "needs prometheus and prometheus-alertmanager; tests/run installs them"]
async fn a_run_hears_of_an_alert_when_it_is_paged_and_when_it_asks() {
    let place = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let serving = tokio::spawn(serve(listener, asked.clone()));
    let (manager, pages) = (free(), free());
    let clock = Arc::new(LiveClock::begin());
    let net = Arc::new(SocketNet::new(None, None, None, Trust::of(&[], place.path()).unwrap()).unwrap());
    let of =
        |source: &AlertSource| Alertmanagers::new([source].into_iter(), net.clone(), clock.clone()).unwrap();
    let paged = of(&AlertSource { alertmanager: None, webhook: Some(pages) });
    let told = of(&AlertSource { alertmanager: Some(format!("http://{manager}")), webhook: None });
    paged.listen().await.unwrap();
    let _servers = alerting(place.path(), service, manager, pages);
    in_time("Prometheus asks the service", async {
        while asked.load(Ordering::Relaxed) < 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;

    let (alert, since) = (Name::from("CheckoutDown"), clock.now());
    assert!(paged.arrives(&alert, since).now_or_never().is_none(), "nothing is down yet");
    serving.abort();
    drop(serving.await);
    let fell = clock.now();
    let both = futures::future::join(paged.arrives(&alert, since), told.arrives(&alert, since));
    let (paged_at, told_at) = in_time("both hear of it", both).await;
    let (paged_at, told_at) = (paged_at.unwrap(), told_at.unwrap());
    for at in [paged_at, told_at] {
        assert!(at.0 >= fell.0 + DOWN_FOR && at <= clock.now(), "{at:?}, down since {fell:?}");
    }
    let later = clock.now();
    assert!(paged.arrives(&alert, later).now_or_never().is_none(), "it began before");
    assert_eq!(paged.arrives(&alert, since).await.unwrap(), paged_at);
}
