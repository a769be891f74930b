//! The shipped regions with an Ingress in front of east's services: what a request gets is what the truth says.

use kube::api::DeleteParams;

use super::*;

const FRONT: &str = "http://front.shop.example/";

/// Leads to the ledger behind checkout, which fails when its pod does; `ledger` is of a service without an address of its own.
const INGRESS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: front
  namespace: shop
  annotations:
    external-dns.alpha.kubernetes.io/hostname: "front.shop.example, ledger.shop.example, nobody.shop.example"
    external-dns.alpha.kubernetes.io/ttl: "30"
spec:
  rules:
    - host: front.shop.example
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: checkout, port: {name: http}}}}]}
    - host: ledger.shop.example
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: ledger, port: {number: 8080}}}}]}
"#;

async fn fronted(seed: u64, happenings: Vec<Happening>) -> Sandbox {
    let (mut spec, mut texts) = shipped("shop-two-regions.yaml");
    spec.happenings = happenings;
    spec.regions[0].manifests.push("ingress.yaml".into());
    texts.insert("ingress.yaml".into(), INGRESS.into());
    Sandbox::start(&spec, &texts, seed, 1_767_225_600_000_000_000, &[]).await.unwrap()
}

fn ingresses(sandbox: &Sandbox) -> Api<k8s_openapi::api::networking::v1::Ingress> {
    Api::namespaced(sandbox.world().regions["east"].clone(), "shop")
}

#[tokio::test(start_paused = true)]
async fn an_ingress_serves_its_hosts_and_no_others_from_every_vantage() {
    let sandbox = fronted(7, vec![]).await;
    let ingress = serde_json::to_value(ingresses(&sandbox).get("front").await.unwrap()).unwrap();
    assert_eq!(ingress["status"], json!({"loadBalancer": {"ingress": [{"ip": "10.1.223.254"}]}}));
    for vantage in ["outside", "east", "west"] {
        for (name, status) in [("front", 200), ("ledger", 200), ("nobody", 404)] {
            let answer = ask(&*view(&sandbox, vantage), &format!("http://{name}.shop.example/")).await;
            assert_eq!(answer, Some(status), "{vantage} asks {name}");
        }
    }
    let truth = sandbox.truth();
    let ever = |host: &str| truth.served(&"outside".into(), host).into_iter().any(|(_, serves)| serves);
    assert!(ever("front.shop.example") && ever("checkout.shop.example") && !ever("nobody.shop.example"));
}

/// As for a load balancer: what was served all the while got an answer, what was not served all the while got none.
#[tokio::test(start_paused = true)]
async fn a_request_through_an_ingress_gets_what_the_truth_says() {
    let (mut well, mut badly) = (0, 0);
    for seed in 0..8 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (region, kind, name) = ("east".into(), "Pod".into(), "ledger-*".into());
        let crash = Target { region, api_version: "v1".into(), kind, namespace: None, name };
        let at = crate::model::time::Duration::from_secs(random.u64(20..60));
        let sandbox = fronted(seed, vec![Happening { at, what: Happens::Crash(crash) }]).await;
        let truth = sandbox.truth();
        let outside = view(&sandbox, "outside");
        let clock = sandbox.world().clock;
        let mut asked = Vec::new();
        for round in 0..140 {
            match round {
                50 => isolate(&sandbox, "east").await,
                70 => join_again(&sandbox, "east").await,
                90 => drop(ingresses(&sandbox).delete("front", &DeleteParams::default()).await.unwrap()),
                110 => {
                    let again: Value = serde_yaml::from_str(INGRESS).unwrap();
                    let again = serde_json::from_value(again).unwrap();
                    ingresses(&sandbox).create(&PostParams::default(), &again).await.unwrap();
                }
                _ => sleep(Duration::from_millis(random.u64(1..2_000))).await,
            }
            let sent = clock.now();
            let answer = ask(&*outside, FRONT).await;
            asked.push((sent, clock.now(), answer == Some(200)));
        }
        let served = truth.served(&"outside".into(), "front.shop.example");
        for (sent, done, answered) in asked {
            let before = served.iter().rev().find(|(at, _)| *at <= sent).unwrap();
            let within = served.iter().filter(|(at, _)| sent < *at && *at <= done);
            let mut states = std::iter::once(before).chain(within).map(|(_, serves)| *serves);
            let agrees = states.any(|state| state == answered);
            assert!(agrees, "seed {seed}: {sent} to {done} gave {answered}, truth {served:?}");
            if answered { well += 1 } else { badly += 1 }
        }
    }
    assert!(well > 300 && badly > 150, "{well} well, {badly} badly");
}
