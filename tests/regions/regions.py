#!/usr/bin/env python3
"""Real Kubernetes regions on one Linux machine, for the tests: control planes, nodes, containers, and what stands around clusters.

    regions.py with [--nodes 2] DIR COMMAND…    start the regions, run a command outside of them, and end them
    regions.py up [--nodes 2] DIR               start them; they end with this process, or when a pipe on its stdin closes
    regions.py down DIR                         end them from elsewhere, whatever is left of them
    regions.py exec DIR COMMAND…                run a command outside, where orchestrator and users are
    regions.py at DIR REGION COMMAND…           run a command in a region's own network, where people at the site are
    regions.py cut|mend DIR REGION              nothing goes into or out of a region's network, API server and all
    regions.py node-loss|node-back DIR REGION N a node dies with everything on it, and comes back empty
    regions.py unenforce|enforce DIR REGION     NetworkPolicies are stored as before, and mean nothing
    regions.py build [--kubernetes]             only build what is needed, into the cache; or of that only what Go builds
    regions.py check                            say what this machine lacks, and how to get it

             the outside's network namespace: COMMAND, DNS 198.18.0.53, its resolver .54, alerts 198.18.0.1:9093
                  │ 198.18.1.0/30                                            │ 198.18.2.0/30
    ┌─────────────┴────────── east: 10.1.0.0/16 ──────────┐     ┌────────────┴─── west: 10.2.0.0/16 ───┐
    │ router: etcd, API server :6443, controller manager, │     │                                      │
    │ scheduler, resolver :53, SOCKS5 :1080, 10.1.0.1     │     │            the same                  │
    │    ├─ node 1: containerd, kubelet, kube-proxy,      │     │                                      │
    │    │  policies; 10.1.0.11, its pods 10.1.1.0/24     │     └──────────────────────────────────────┘
    │    └─ node 2 …    load balancers 10.1.192.0/24      │
    └─────────────────────────────────────────────────────┘

Each box and each node is a network namespace with no way to the machine's own network, so that the addresses are free. DIR gets
`kubeconfig.yaml` (a context for each region), `regions.json` (where everything is), logs, audit logs. An alert is a line that
somebody writes into DIR/alerts.json, {"Name": "URL"}: it fires when the URL has failed for three seconds.

What runs is marked by a variable in its environment, which shims inherit too; with what descends from it, that is all there is to
end, by its ids. A child of this process waits for its parent's end, whichever, and does it.

How a binary is built: build.py. Links and addresses: network.py. What runs: control_plane.py, node.py. Needs root, cgroups, and a
Debian's containerd, runc, containernetworking-plugins, iproute2, nftables, openssl; Go and Rust to build.
"""

import argparse
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import build
import control_plane
import network
import node
import processes
from lab import Lab, Trouble

PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "nft": "nftables",
    "openssl": "openssl",
    "nsenter": "util-linux",
}
LEAST_MEMORY_KIB = 3 << 20
# A socket's path is at most 107 bytes long, and the longest one here adds this much to the folder.
LONGEST_FOLDER = 107 - len("/region-name/node1/containerd.sock.ttrpc")


def check_machine(folder):
    """Says everything that is missing, at once."""
    wrong = []
    if os.geteuid() != 0:
        wrong.append("root is needed, since regions are network namespaces with containers in them: run this as root")
    missing = {package for tool, package in PACKAGES.items() if not shutil.which(tool)}
    if not (node.CNI / "ptp").exists():
        missing.add("containernetworking-plugins")
    if missing:
        wrong.append("packages are missing: apt-get install " + " ".join(sorted(missing)))
    if not wrong:
        wrong.extend(forbidden())
    free = re.search(r"^MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    if free and int(free[1]) < LEAST_MEMORY_KIB:
        wrong.append(f"{int(free[1]) >> 10} MiB of memory are free: two regions take {LEAST_MEMORY_KIB >> 10} MiB")
    if len(str(folder)) > LONGEST_FOLDER:
        wrong.append(f"{folder} is too long for the sockets in it: at most {LONGEST_FOLDER} characters")
    if wrong:
        raise Trouble("real regions cannot be started here:\n  " + "\n  ".join(wrong))


def forbidden():
    """What root may not do here, found out by doing it."""
    cgroups = Path("/sys/fs/cgroup")
    # The first version has a hierarchy for each controller.
    memory = cgroups if (cgroups / "cgroup.controllers").exists() else cgroups / "memory"
    group = memory / f"drillmaster-{os.getpid()}"
    try:
        group.mkdir()
        group.rmdir()
    except OSError as why:
        yield f"no control group can be made, so no container: {why}; mount cgroups writable, or run on a machine of its own"
    links = "ip link add v0 type veth peer name v1 && ip link add b0 type bridge && nft add table inet t"
    ran = subprocess.run(["unshare", "--net", "sh", "-c", links], capture_output=True, text=True, check=False)
    if ran.returncode:
        yield ("network namespaces with veth, bridge and nftables cannot be had: "
               f"{ran.stderr.strip()}; a container needs --privileged, a kernel those modules")
    with tempfile.TemporaryDirectory() as folder:
        overlay = ('mount -t tmpfs none "$0" && cd "$0" && mkdir a b c d && '
                   "mount -t overlay none -o lowerdir=a,upperdir=b,workdir=c d")
        ran = subprocess.run(["unshare", "--mount", "sh", "-c", overlay, folder], capture_output=True, text=True, check=False)
    if ran.returncode:
        yield f"overlays cannot be mounted: {ran.stderr.strip()}; a container needs --privileged, a kernel overlayfs"


def start(lab):
    """Starts everything, what can at the same time."""
    network.outside(lab)
    for region in lab.regions:
        network.region(lab, region)
    with ThreadPoolExecutor() as pool:
        prepared = [pool.submit(node.prepare, lab, each, n) for each in lab.regions for n in each.nodes()]
        list(pool.map(lambda region: control_plane.start(lab, region), lab.regions))
        for each in prepared:
            each.result()
        list(pool.map(lambda at: node.start(lab, *at), [(each, n) for each in lab.regions for n in each.nodes()]))
    control_plane.kubeconfigs(lab)
    control_plane.outside(lab)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda region: control_plane.wait_until_ready(lab, region), lab.regions))


def end(lab):
    """Ends everything of a folder: what runs, what is mounted, the namespaces, and of the folder all that is large."""
    processes.end(lab, "")
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in reversed(mounts):
        if mount.startswith(f"{lab.folder}/"):
            subprocess.run(["umount", "-l", mount], check=False)
    network.end(lab)
    for pattern in ("*/etcd", "*/volumes", "*/node*/*"):
        for path in lab.folder.glob(pattern):
            if path.suffix != ".log":
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def guarded(lab):
    """Gives the process that ends everything after this one has ended, whichever way."""
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(read)
        return child, write
    os.close(write)
    os.setsid()
    for name in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    os.read(read, 1)
    try:
        end(lab)
    finally:
        os._exit(0)


def up(lab, command):
    """Starts the regions, waits for the command or for somebody to end this, and ends them."""
    down(lab)
    binaries = build.everything([region.name for region in lab.regions])
    lab.begin(binaries)
    child, pipe = guarded(lab)

    def told(number, _frame):
        lab.ending = True
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    began = time.monotonic()
    try:
        start(lab)
        print(f"{len(lab.regions)} regions are ready after {time.monotonic() - began:.1f} s: {lab.folder}", file=sys.stderr)
        if command:
            variables = {**os.environ, "DRILLMASTER_REGIONS": str(lab.folder)}
            return subprocess.run(network.inside(lab.outside, command), env=variables, check=False).returncode
        if stat.S_ISFIFO(os.fstat(0).st_mode):
            sys.stdin.read()
        else:
            signal.pause()
        return 0
    finally:
        os.close(pipe)
        os.waitpid(child, 0)


def down(lab):
    """Ends the regions of a folder, also those whose process died."""
    try:
        owner = json.loads(lab.state.read_text())["owner"]
        if str(lab.folder) in Path(f"/proc/{owner}/cmdline").read_text():
            os.kill(owner, signal.SIGTERM)
            lab.poll(lambda: not Path(f"/proc/{owner}").exists(), 30, "the process that holds the regions to end")
    except (OSError, ValueError, KeyError, Trouble):
        # It is gone, or busy: what it started is ended in any case.
        pass
    end(lab)
    lab.state.unlink(missing_ok=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name, *takes):
        command = commands.add_parser(name)
        for take in takes:
            command.add_argument(take, type=int if take == "n" else Path if take == "dir" else str)
        return command

    add("check")
    for name in ("up", "with", "build"):
        command = add(name) if name == "build" else add(name, "dir")
        command.add_argument("--regions", default="east,west")
        command.add_argument("--nodes", type=int, default=1)
        if name == "with":
            command.add_argument("run", nargs=argparse.REMAINDER)
        if name == "build":
            command.add_argument("--kubernetes", action="store_true")
    add("down", "dir")
    add("exec", "dir").add_argument("run", nargs=argparse.REMAINDER)
    add("at", "dir", "region").add_argument("run", nargs=argparse.REMAINDER)
    for name in ("cut", "mend", "enforce", "unenforce"):
        add(name, "dir", "region")
    for name in ("node-loss", "node-back"):
        add(name, "dir", "region", "n")
    return parser.parse_args()


def main():
    given = arguments()
    if given.command == "check":
        check_machine("")
        return 0
    if given.command == "build":
        build.kubernetes() if given.kubernetes else build.everything(given.regions.split(","))
        return 0
    lab = Lab(given.dir.resolve())
    if given.command in ("up", "with"):
        check_machine(lab.folder)
        lab.plan(given.regions.split(","), given.nodes)
        return up(lab, getattr(given, "run", None))
    if given.command == "down":
        down(lab)
        return 0
    lab.load()
    if given.command == "exec":
        os.execvp("nsenter", network.inside(lab.outside, given.run))
    region = lab.region(given.region)
    if given.command == "at":
        os.execvp("nsenter", network.inside(region.router, given.run))
    act = {
        "cut": lambda: network.cut(lab, region),
        "mend": lambda: network.mend(lab, region),
        "enforce": lambda: [node.enforce(lab, region, n) for n in region.nodes()],
        "unenforce": lambda: [node.unenforce(lab, region, n) for n in region.nodes()],
        "node-loss": lambda: node.lose(lab, region, given.n),
        "node-back": lambda: node.back(lab, region, given.n),
    }
    act[given.command]()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"error: {trouble}")
