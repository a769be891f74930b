"""A region's control plane and add-ons, its certificates and kubeconfigs, and what stands outside of all regions."""

import base64
import json

import addons
import processes
from lab import DNS, OUTSIDE, RESOLVER, run

DAYS = 7
EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS]


def authority(region):
    pki = region.folder / "pki"
    pki.mkdir(exist_ok=True)
    run("openssl", "req", "-x509", *EC, "-subj", f"/CN={region.name}", "-keyout", pki / "ca.key", "-out", pki / "ca.crt")
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", pki / "accounts.key")


def certificate(region, name, subject, names="DNS:localhost"):
    pki = region.folder / "pki"
    run("openssl", "req", "-x509", "-CA", pki / "ca.crt", "-CAkey", pki / "ca.key", *EC, "-subj", subject,
        "-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE",
        "-addext", "extendedKeyUsage=clientAuth,serverAuth",
        "-keyout", pki / f"{name}.key", "-out", pki / f"{name}.crt")


def encoded(path):
    return base64.b64encode(path.read_bytes()).decode()


def kubeconfig(path, regions, user):
    """A kubeconfig with a context for each region, complete in itself."""
    document = {"apiVersion": "v1", "kind": "Config", "current-context": regions[0].name,
                "clusters": [], "users": [], "contexts": []}
    for region in regions:
        pki, name = region.folder / "pki", f"{user}@{region.name}"
        document["clusters"].append({"name": region.name, "cluster": {
            "server": region.url, "certificate-authority-data": encoded(pki / "ca.crt")}})
        document["users"].append({"name": name, "user": {
            "client-certificate-data": encoded(pki / f"{user}.crt"), "client-key-data": encoded(pki / f"{user}.key")}})
        document["contexts"].append({"name": region.name, "context": {"cluster": region.name, "user": name}})
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=1))


def identity(region, name, subject, names="DNS:localhost"):
    certificate(region, name, subject, names)
    kubeconfig(region.folder / f"{name}.kubeconfig", [region], name)


def node_identity(region, n):
    name, address = region.node(n), region.address(f"0.{10 + n}")
    if not (region.folder / f"{name}.kubeconfig").exists():
        identity(region, name, f"/O=system:nodes/CN=system:node:{name}", f"IP:{address},DNS:{name}")


def kubeconfigs(lab):
    kubeconfig(lab.folder / "kubeconfig.yaml", lab.regions, "admin")


def start(lab, region):
    """Starts etcd, API server and the controllers, and waits until they answer."""
    folder, pki, gateway = region.folder, region.folder / "pki", region.gateway
    authority(region)
    first = region.address("128.1")
    certificate(region, "server", "/CN=kube-apiserver", f"IP:{gateway},IP:{first},DNS:kubernetes.default.svc,DNS:localhost")
    for name, subject in (
        ("admin", "/O=system:masters/CN=admin"),
        ("kubelet-client", "/O=system:masters/CN=kube-apiserver"),
        ("manager", "/CN=system:kube-controller-manager"),
        ("scheduler", "/CN=system:kube-scheduler"),
        ("proxy", "/CN=system:kube-proxy"),
    ):
        identity(region, name, subject)
    etcd, peers = f"http://{gateway}:2379", f"http://{gateway}:2380"
    launch(lab, region, "etcd", "--data-dir", folder / "etcd", "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
           "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}",
           "--unsafe-no-fsync")
    (folder / "audit-policy.json").write_text(json.dumps({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}))
    launch(lab, region, "apiserver", f"--etcd-servers={etcd}", f"--bind-address={gateway}", f"--advertise-address={gateway}",
           f"--service-cluster-ip-range={region.services}", "--authorization-mode=Node,RBAC", f"--client-ca-file={pki}/ca.crt",
           f"--tls-cert-file={pki}/server.crt", f"--tls-private-key-file={pki}/server.key",
           f"--service-account-key-file={pki}/accounts.key", f"--service-account-signing-key-file={pki}/accounts.key",
           "--service-account-issuer=https://kubernetes.default.svc", "--kubelet-preferred-address-types=InternalIP",
           f"--kubelet-client-certificate={pki}/kubelet-client.crt", f"--kubelet-client-key={pki}/kubelet-client.key",
           f"--audit-policy-file={folder}/audit-policy.json", f"--audit-log-path={folder}/audit.log")
    lab.poll(lambda: lab.kubectl(region, "get", "--raw", "/readyz") == "ok", 180, f"the API server of {region.name}")
    launch(lab, region, "controller-manager", f"--kubeconfig={folder}/manager.kubeconfig", f"--root-ca-file={pki}/ca.crt",
           f"--service-account-private-key-file={pki}/accounts.key", "--use-service-account-credentials",
           "--leader-elect=false", "--secure-port=0", "--controllers=*,-node-ipam-controller",
           # By default 20 requests a second: the namespaces of a few hundred behaviours would take a quarter of an hour to go.
           "--kube-api-qps=500", "--kube-api-burst=1000", "--concurrent-namespace-syncs=20",
           f"--flex-volume-plugin-dir={folder}/flex")
    launch(lab, region, "scheduler", f"--kubeconfig={folder}/scheduler.kubeconfig", "--leader-elect=false", "--secure-port=0")
    objects = {"apiVersion": "v1", "kind": "List", "items": addons.of(region)}
    lab.kubectl(region, "apply", "--server-side", "-f", "-", text=json.dumps(objects))
    launch(lab, region, "region", f"--kubeconfig={region.admin}", f"--addresses={region.balancers}",
           f"--volumes={folder}/volumes", f"--socks={gateway}:1080")
    resolver(lab, f"{region.name}/", folder, region.router, gateway)


def launch(lab, region, part, *flags):
    processes.start(lab, f"{region.name}/", part, [lab.controlplane, part, *flags], region.router)


def resolver(lab, place, folder, namespace, address):
    """A caching resolver, as users and clusters have one."""
    folder.joinpath("Corefile").write_text(f".:53 {{\n bind {address}\n errors\n {addons.CACHE}\n forward . {DNS}\n}}\n")
    processes.start(lab, place, "resolver", [lab.controlplane, "coredns", "-conf", folder / "Corefile"], namespace)


def outside(lab):
    """The global DNS, its resolver, and the alerting."""
    processes.start(lab, "", "outside", [
        lab.controlplane, "outside", f"--kubeconfig={lab.folder}/kubeconfig.yaml",
        f"--regions={','.join(region.name for region in lab.regions)}", f"--dns={DNS}:53",
        f"--alerts={OUTSIDE}:9093", f"--rules={lab.folder}/alerts.json",
    ], lab.outside)
    resolver(lab, "", lab.folder, lab.outside, RESOLVER)


def wait_until_ready(lab, region):
    """Waits until every node is ready, and names are answered inside."""
    ready = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"
    lab.poll(lambda: lab.kubectl(region, "get", "nodes", "-o", ready).split() == ["True"] * region.count, 180,
             f"the nodes of {region.name}")
    lab.poll(lambda: lab.kubectl(region, "-n", "kube-system", "get", "deployment", "coredns",
                                 "-o", "jsonpath={.status.readyReplicas}") == "1", 180, f"the DNS of {region.name}")
