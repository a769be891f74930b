"""A node: containerd, kubelet, kube-proxy and the policy enforcer in a network namespace of their own."""

import json
import subprocess
from pathlib import Path

import control_plane
import network
import processes
from lab import run

CNI = Path("/usr/lib/cni")
ZONES = "abc"
# What systemd does for a kubelet that gives up: several that start at once on one machine may stand in each other's way.
AGAIN = ["sh", "-c", 'while :; do "$@"; sleep 1; done', "again"]
PAUSE = "drillmaster.test/pause:1"


def place(region, n):
    return f"{region.name}/node{n}/"


def prepare(lab, region, n):
    """Makes the node's namespace and files, and loads the images."""
    folder = region.folder / f"node{n}"
    for name in ("cni", "kubelet", "logs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    network.node(region, n)
    (folder / "cni" / "10-pods.conflist").write_text(json.dumps({
        "cniVersion": "0.4.0",
        "name": "pods",
        # A link for each pod, so that all of its packets are forwarded and policies can be enforced.
        "plugins": [{"type": "ptp", "ipam": {
            "type": "host-local",
            "dataDir": str(folder / "addresses"),
            "ranges": [[{"subnet": region.address(f"{n}.0/24")}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }}],
    }))
    (folder / "containerd.toml").write_text(f"""version = 2
root = "{folder}/containerd"
state = "{folder}/run"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # Lowering the score is forbidden inside some containers, and then none would start.
  restrict_oom_score_adj = true
  # Else pods' namespaces would stay in /run/netns.
  netns_mounts_under_state_dir = true
  # runc, told of the ports that containers declare: standin/runc.go.
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    container_annotations = ["io.kubernetes.container.ports"]
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{folder}/runc-with-port"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI}"
    conf_dir = "{folder}/cni"
""")
    (folder / "runc-with-port").symlink_to(lab.binaries["standin"])
    (folder / "resolv.conf").write_text(f"nameserver {region.gateway}\n")
    start_containerd(lab, region, n)
    images = Path(lab.binaries["images"]) / f"{region.name}.tar"
    run("ctr", "-a", folder / "containerd.sock", "-n", "k8s.io", "image", "import", images)


def start_containerd(lab, region, n):
    folder = region.folder / f"node{n}"
    processes.start(lab, place(region, n), "containerd", ["containerd", "-c", folder / "containerd.toml"], region.namespace(n))
    ready = ["ctr", "-a", folder / "containerd.sock", "-n", "k8s.io", "version"]
    lab.poll(lambda: run(*ready), 60, f"containerd of {region.node(n)}")


def kubelet_config(region, n):
    folder, pki = region.folder / f"node{n}", region.folder / "pki"
    name = region.node(n)
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": region.address(f"0.{10 + n}"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "tlsCertFile": f"{pki}/{name}.crt",
        "tlsPrivateKeyFile": f"{pki}/{name}.key",
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "clusterDNS": [region.cluster_dns],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{folder}/resolv.conf",
        "podLogsDir": f"{folder}/logs",
        "healthzPort": 0,
        # A machine of any kind: cgroups of either version, shared with whatever else it runs; swap; little space.
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "evictionHard": {"memory.available": "1Mi"},
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "5s",
    }


def start(lab, region, n):
    """Starts what needs an API server."""
    folder, name, namespace = region.folder / f"node{n}", region.node(n), region.namespace(n)
    control_plane.node_identity(region, n)
    (folder / "kubelet.json").write_text(json.dumps(kubelet_config(region, n)))
    zone = f"{region.name}-{ZONES[(n - 1) % len(ZONES)]}"
    processes.start(lab, place(region, n), "kubelet", [
        *AGAIN, lab.controlplane, "kubelet", f"--config={folder}/kubelet.json", f"--kubeconfig={region.folder}/{name}.kubeconfig",
        f"--root-dir={folder}/kubelet", f"--cert-dir={folder}/kubelet/pki", f"--hostname-override={name}",
        f"--node-ip={region.address(f'0.{10 + n}')}",
        f"--node-labels=topology.kubernetes.io/region={region.name},topology.kubernetes.io/zone={zone}",
    ], namespace)
    processes.start(lab, place(region, n), "proxy", [
        lab.controlplane, "proxy", f"--kubeconfig={region.folder}/proxy.kubeconfig", f"--hostname-override={name}",
        "--proxy-mode=nftables", f"--cluster-cidr={region.addresses}",
        "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s",
        "--metrics-bind-address=127.0.0.1:10249",
    ], namespace)
    enforce(lab, region, n)


def enforce(lab, region, n):
    processes.end(lab, place(region, n) + "policies")
    processes.start(lab, place(region, n), "policies", [
        lab.controlplane, "policies", f"--kubeconfig={region.admin}", f"--node={region.node(n)}",
    ], region.namespace(n))


def unenforce(lab, region, n):
    """Policies are no longer enforced on a node; those that are there have no effect."""
    processes.end(lab, place(region, n) + "policies")
    network.nft(region.namespace(n), "table inet policies\ndelete table inet policies\n")


def lose(lab, region, n):
    """A node's end: its link, and everything that runs on it."""
    network.disconnect_node(region, n)
    processes.end(lab, place(region, n))


def back(lab, region, n):
    """The node boots: what ran on it is gone."""
    network.connect_node(region, n)
    subprocess.run(network.inside(region.namespace(n), ["nft", "flush", "ruleset"]), check=False)
    start_containerd(lab, region, n)
    start(lab, region, n)
