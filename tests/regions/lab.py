"""The regions of a folder: their names, numbers and addresses, and how a command is run and waited for."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

DNS = "198.18.0.53"
RESOLVER = "198.18.0.54"
OUTSIDE = "198.18.0.1"


class Trouble(Exception):
    """What a person can do something about."""


@dataclass(frozen=True)
class Region:
    """The region that has the addresses 10.number.0.0/16."""

    name: str
    number: int
    count: int
    tag: str
    folder: Path

    def nodes(self):
        return range(1, self.count + 1)

    def address(self, rest):
        return f"10.{self.number}.{rest}"

    @property
    def router(self):
        """The network namespace of the control plane."""
        return f"{self.tag}-{self.name}"

    def node(self, n):
        return f"{self.name}-{n}"

    def namespace(self, n):
        return f"{self.router}-{n}"

    @property
    def gateway(self):
        return self.address("0.1")

    @property
    def url(self):
        return f"https://{self.gateway}:6443"

    @property
    def addresses(self):
        return self.address("0.0/16")

    @property
    def services(self):
        return self.address("128.0/24")

    @property
    def cluster_dns(self):
        return self.address("128.10")

    @property
    def balancers(self):
        return self.address("192.0/24")

    @property
    def admin(self):
        return self.folder / "admin.kubeconfig"


def run(*argv, text=None):
    """Runs a command, and gives what it printed."""
    ran = subprocess.run([str(word) for word in argv], input=text, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Trouble(f"{' '.join(str(word) for word in argv)}: {ran.stderr.strip() or ran.returncode}")
    return ran.stdout


class Lab:
    """Everything that is known of a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.state = folder / "regions.json"
        self.outside = "dm" + hashlib.sha256(str(folder).encode()).hexdigest()[:5]
        self.regions = []
        self.binaries = {}
        self.ending = False

    def plan(self, names, nodes):
        self.regions = [
            Region(name, number, nodes, self.outside, self.folder / name) for number, name in enumerate(names, 1)
        ]

    def begin(self, binaries):
        """Writes down what there will be, before there is any of it."""
        self.binaries = {name: str(path) for name, path in binaries.items()}
        for region in self.regions:
            # What earlier regions left, certificates of another authority above all.
            shutil.rmtree(region.folder, ignore_errors=True)
            region.folder.mkdir(parents=True)
        state = {
            "owner": os.getpid(),
            "namespace": self.outside,
            "dns": f"{DNS}:53",
            "alertmanager": f"http://{OUTSIDE}:9093",
            "resolver": f"{RESOLVER}:53",
            "nodes": self.regions[0].count,
            "binaries": self.binaries,
            "regions": {
                region.name: {
                    "addresses": region.addresses,
                    "proxy": f"{region.gateway}:1080",
                    "dns": f"{region.gateway}:53",
                    "audit": str(region.folder / "audit.log"),
                }
                for region in self.regions
            },
        }
        self.state.write_text(json.dumps(state, indent=1))

    def load(self):
        try:
            state = json.loads(self.state.read_text())
        except OSError as why:
            raise Trouble(f"{self.folder} has no regions: start them with `up` or `with`") from why
        self.plan(list(state["regions"]), state["nodes"])
        self.binaries = state["binaries"]

    def region(self, name):
        for region in self.regions:
            if region.name == name:
                return region
        raise Trouble(f"there is no region {name}: " + ", ".join(region.name for region in self.regions))

    @property
    def controlplane(self):
        return self.binaries["controlplane"]

    def kubectl(self, region, *words, text=None):
        return run(
            "nsenter", f"--net=/run/netns/{region.router}", self.controlplane, "kubectl",
            f"--kubeconfig={region.admin}", *words, text=text,
        )

    def poll(self, holds, seconds, what):
        """Waits until something holds; a command that fails is one that does not hold yet."""
        end, why = time.monotonic() + seconds, ""
        while True:
            try:
                if holds():
                    return
            except Trouble as trouble:
                why = f": {trouble}"
            if self.ending:
                raise Trouble(f"ended while waiting for {what}")
            if time.monotonic() > end:
                raise Trouble(f"waited {seconds} s for {what}{why} (logs: {self.folder}/*/*.log)")
            time.sleep(0.2)
