//! A small drill with every number drawn at random: the documents as text, so that a rehearsal goes through all of drillmaster.
//!
//! Two regions with the ledger alone; east is lost, people take their time, west takes over. Left out: the failback, which the
//! shipped drills have.

use std::fs;
use std::path::Path;

use drillmaster::cli::inputs::{Inputs, load};

/// What is drawn; times in milliseconds.
#[derive(Debug, Clone)]
pub struct Draw {
    pub seed: u64,
    pub period: u64,
    pub timeout: u64,
    /// How long a run of successes must last.
    pub lasting: u64,
    /// Of the record that users know, in seconds.
    ttl: u64,
    /// One way: outside to east, outside to west, east to west.
    latencies: [u64; 3],
    /// How often the ledger ships its writes.
    ship: u64,
    writes_per_second: u64,
    /// From the steady state to the fault, so that the fault has any phase against probes and shipping.
    before: u64,
    detect: u64,
    /// The person's least time to declare, and what may come on top.
    declare: [u64; 2],
    fault: &'static str,
    /// Whether users reach the ledger through an Ingress instead of a load balancer.
    ingress: bool,
}

impl Draw {
    /// Everything from one seed.
    pub fn new(seed: u64) -> Draw {
        let mut random = fastrand::Rng::with_seed(seed);
        let period = logarithmic(&mut random, 50, 2_000);
        Draw {
            seed,
            period,
            timeout: logarithmic(&mut random, 250, 3_000),
            lasting: random.u64(1_250..3_250).max(10 * period),
            ttl: random.u64(1..=8),
            latencies: [random.u64(0..=30), random.u64(0..=30), random.u64(0..=40)],
            ship: random.u64(300..=8_000),
            writes_per_second: random.u64(8..=24),
            before: random.u64(1..=8_000),
            detect: random.u64(1..=5_000),
            declare: [random.u64(1..=2_000), random.u64(1..=6_000)],
            fault: if random.u8(..) < 192 {
                "isolate: {namespaces: [shop]}"
            } else {
                "scale: {workload: statefulset/ledger, namespace: shop, replicas: 0}"
            },
            ingress: false,
        }
    }

    /// The same from one seed, but for the way to the ledger.
    pub fn through_an_ingress(seed: u64) -> Draw {
        Draw { ingress: true, ..Draw::new(seed) }
    }

    /// Writes the documents into a folder, and loads them as `run` does.
    pub fn inputs(&self, folder: &Path) -> Inputs {
        let east = self.region("east", "10.1", "primary", "west");
        let west = self.region("west", "10.2", "replica", "east") + &self.record();
        let files = [
            ("catalogue.yaml", CATALOGUE.replace("LASTING", &format!("{}ms", self.lasting))),
            ("sandbox.yaml", self.sandbox()),
            ("drill.yaml", self.drill()),
            ("east.objects", east),
            ("west.objects", west),
        ];
        for (name, text) in &files {
            fs::write(folder.join(name), text).unwrap();
        }
        load(&folder.join("drill.yaml"), &[]).unwrap_or_else(|found| panic!("{found:?}"))
    }

    fn sandbox(&self) -> String {
        let [east, west, between] = self.latencies;
        let [after, jitter] = self.declare;
        format!(
            "apiVersion: drillmaster.dev/v1alpha1
kind: SandboxSpec
metadata: {{name: pair}}
spec:
  regions:
    - {{name: east, addresses: 10.1.0.0/16, nodes: [{{name: east-1, zone: east-a}}], manifests: [east.objects]}}
    - {{name: west, addresses: 10.2.0.0/16, nodes: [{{name: west-1, zone: west-a}}], manifests: [west.objects]}}
  links:
    - {{between: [outside, east], latency: {east}ms}}
    - {{between: [outside, west], latency: {west}ms}}
    - {{between: [east, west], latency: {between}ms}}
  people: [{{role: manager, who: Dana, answers: {{after: {after}ms, jitter: {jitter}ms}}}}]
"
        )
    }

    /// The objects of a region.
    fn region(&self, name: &str, range: &str, role: &str, peer: &str) -> String {
        let ledger = region(role, peer, &format!("{}ms", self.ship));
        ledger + &if self.ingress { ingress(name) } else { balancer(name, range) }
    }

    /// The record that users know.
    fn record(&self) -> String {
        let endpoint = endpoint(self.ttl, if self.ingress { "10.1.223.254" } else { "10.1.192.1" });
        format!(
            "apiVersion: externaldns.k8s.io/v1alpha1
kind: DNSEndpoint
metadata: {{name: orders, namespace: shop}}
spec: {{endpoints: [{endpoint}]}}
"
        )
    }

    /// The recovery that sends traffic to west; `dnsSwitch` knows the addresses of Services only.
    fn switch(&self) -> String {
        if !self.ingress {
            return "dnsSwitch: {record: orders.shop.example}".to_owned();
        }
        let merge = format!("{{spec: {{endpoints: [{}]}}}}", endpoint(self.ttl, "10.2.223.254"));
        let object =
            "apiVersion: externaldns.k8s.io/v1alpha1, kind: DNSEndpoint, namespace: shop, name: orders";
        format!("patch: {{{object}, merge: {merge}}}")
    }

    fn drill(&self) -> String {
        let Draw { period, timeout, writes_per_second, before, detect, fault, .. } = self;
        let switch = self.switch();
        format!(
            "apiVersion: drillmaster.dev/v1alpha1
kind: Drill
metadata: {{name: pair}}
spec:
  purpose: Orders survive the loss of east.
  type: simulated
  announced: true
  catalogue: pair
  sandbox: pair
  regions: {{lost: east, takesOver: west}}
  services: [orders]
  probes:
    - id: orders
      service: orders
      every: {period}ms
      timeout: {timeout}ms
      from: [outside, west]
      http: {{url: \"http://orders.shop.example/\"}}
    - {{id: east-direct, every: 500ms, timeout: 1s, http: {{url: \"http://orders.east.shop.example/\"}}}}
  workload:
    ledger: {{service: orders, store: records, url: \"http://orders.shop.example/ledger\", writesPerSecond: {writes_per_second}}}
  steadyState: {{for: 1s}}
  limits: {{maxDuration: 3h, namespaces: [shop]}}
  stages:
    inject:
      - {{id: calm, wait: {{duration: {before}ms}}}}
      - id: lose-east
        fault: {{{fault}}}
        proof: {{probe: east-direct, failsWithin: 30s, until: restored}}
    detect: [{{id: notice, wait: {{duration: {detect}ms}}}}]
    declare: [{{id: declare, declare: {{role: manager}}, timeout: 5m}}]
    failover:
      - {{id: promote-west, recover: {{promote: {{workload: statefulset/ledger, namespace: shop}}}}}}
      - {{id: traffic-west, recover: {{{switch}}}}}
    verify: [{{id: nothing-lost, check: {{ledger: {{}}}}}}]
"
        )
    }
}

/// As likely within one factor of ten as within another.
fn logarithmic(random: &mut fastrand::Rng, least: u64, most: u64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let (least, ratio) = (least as f64, most as f64 / least as f64);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
    let drawn = (least * ratio.powf(random.f64())).round() as u64;
    drawn
}

const CATALOGUE: &str = "apiVersion: drillmaster.dev/v1alpha1
kind: ServiceCatalogue
metadata: {name: pair}
spec:
  tiers:
    standard: {mtpd: 8h, drillEvery: 100d, support: 24x7}
  services:
    - name: orders
      tier: standard
      owner: {team: orders, role: manager}
      stores: [records]
      targets:
        east: {rto: 1h, rpo: 1m, from: impact}
      restored: {success: 100%, for: LASTING}
";

fn region(role: &str, peer: &str, ship: &str) -> String {
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: ledger, namespace: shop}}
data: {{LEDGER_ROLE: {role}, LEDGER_PEER: \"http://orders.{peer}.shop.example\", LEDGER_SHIP_EVERY: {ship}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: ledger, namespace: shop}}
spec:
  serviceName: ledger
  replicas: 1
  selector: {{matchLabels: {{app: ledger}}}}
  template:
    metadata: {{labels: {{app: ledger}}}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
        - name: ledger
          image: ghcr.io/drillmaster/drillmaster:0.1.0
          args: [ledger, serve, --listen, '0.0.0.0:8080']
          envFrom: [{{configMapRef: {{name: ledger}}}}]
          ports: [{{name: http, containerPort: 8080}}]
          readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 2}}
          volumeMounts: [{{name: data, mountPath: /var/lib/ledger}}]
  volumeClaimTemplates:
    - metadata: {{name: data}}
      spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
---
"
    )
}

/// A Service with an address of its own.
fn balancer(name: &str, range: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata:
  name: orders
  namespace: shop
  annotations:
    external-dns.alpha.kubernetes.io/hostname: orders.{name}.shop.example
    external-dns.alpha.kubernetes.io/ttl: \"30\"
    drillmaster.dev/serves: orders.shop.example
spec:
  type: LoadBalancer
  loadBalancerIP: {range}.192.1
  selector: {{app: ledger}}
  ports: [{{name: http, port: 80, targetPort: http}}]
---
"
    )
}

/// A Service inside, and the Ingress that leads to it by all its names; its controller gets the last address of the region's range.
fn ingress(name: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: orders, namespace: shop}}
spec:
  selector: {{app: ledger}}
  ports: [{{name: http, port: 80, targetPort: http}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: orders
  namespace: shop
  annotations:
    external-dns.alpha.kubernetes.io/hostname: orders.{name}.shop.example
    external-dns.alpha.kubernetes.io/ttl: \"30\"
spec:
  rules:
    - host: orders.shop.example
      http: &paths
        paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: orders, port: {{name: http}}}}}}}}]
    - {{host: orders.{name}.shop.example, http: *paths}}
---
"
    )
}

fn endpoint(ttl: u64, target: &str) -> String {
    format!("{{dnsName: orders.shop.example, recordType: A, recordTTL: {ttl}, targets: [{target}]}}")
}
