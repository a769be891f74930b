//! Probes over https: a certificate is accepted where this machine or the environment trusts its authority, and else fails as TLS.

use drillmaster::cluster::clock::LiveClock;
use drillmaster::cluster::net::SocketNet;
use drillmaster::cluster::trust::Trust;
use drillmaster::http::{Ask, Broken, Exchange, exchange};
use drillmaster::model::sample::Failure;
use drillmaster::model::time::Duration;

use super::server::behind_tls;

/// Asks a server, trusting these authorities.
fn asked(server: &str, authorities: &[&str]) -> Result<Exchange, Broken> {
    let place = tempfile::tempdir().unwrap();
    let name = |(number, pem): (usize, &&str)| {
        std::fs::write(place.path().join(format!("{number}.pem")), pem).unwrap();
        format!("{number}.pem")
    };
    let files: Vec<String> = authorities.iter().enumerate().map(name).collect();
    let trust = Trust::of(&files, place.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let net = SocketNet::new(None, None, None, trust).unwrap();
        let ask = Ask::get(&format!("{server}/version")).unwrap();
        exchange(&net, &LiveClock::begin(), &ask, Some(Duration::from_secs(30))).await
    })
}

#[test]
fn a_certificate_of_the_environments_authority_is_accepted_and_no_other() {
    let (server, authority) = behind_tls(2099);
    let (_, another) = behind_tls(2099);
    let answer = asked(&server, &[&another, &authority]).unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.stages.tls > 0, "{:?}", answer.stages);
    for authorities in [&[][..], &[another.as_str()]] {
        let broken = asked(&server, authorities).unwrap_err();
        assert_eq!((broken.failure, broken.sent), (Failure::Tls, false));
    }
    let (over, authority) = behind_tls(2021);
    assert_eq!(asked(&over, &[&authority]).unwrap_err().failure, Failure::Tls);
}

#[test]
fn an_authority_that_is_none_is_told_by_its_file() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("empty.pem"), "no certificate").unwrap();
    for (file, tells) in [("empty.pem", "it holds no certificate"), ("missing.pem", "No such file")] {
        let error = Trust::of(&[file.to_owned()], place.path()).err().unwrap().to_string();
        assert!(error.contains(file) && error.contains(tells), "{error}");
    }
}
