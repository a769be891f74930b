"""Builds what regions run, each thing once: it is kept in the cache under a digest of what it is made of.

Images are made here, without a registry: a tar of a layer with one static binary, a config and a manifest. Which names they have is read
from the manifests of scenarios/: the project's own name is drillmaster itself, every other one is the stand-in that answers.
"""

import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from addons import IMAGE
from lab import Trouble
from node import PAUSE

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drillmaster" / "regions"
# How long a thing is kept that nobody has used: another checkout may be about to start regions of it.
KEPT_SECONDS = 3600
KUBERNETES = "1.37.2"
OWN = "ghcr.io/drillmaster/"
# The image that behaviours of tests/conformance name.
BEHAVIOURS = "docker.io/shop/web:1"


def digest(*paths, more=""):
    """A digest of files, of folders' files, and of a text."""
    sha = hashlib.sha256(more.encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                sha.update(f"{file.relative_to(ROOT)}\0{file.stat().st_size}\0".encode())
                sha.update(file.read_bytes())
    return sha.hexdigest()[:16]


def once(name, key, make):
    """The thing of this key, made if it is not there, by one process at a time; those of the name that nobody uses are removed."""
    path = CACHE / f"{name}-{key}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f".{name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            print(f"building {name} for real regions (once)", file=sys.stderr)
            for old in [*CACHE.glob(f"{name}-*"), *CACHE.glob(f".{name}.partial.*")]:
                if time.time() - old.stat().st_mtime > KEPT_SECONDS:
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
            partial = CACHE / f".{name}.partial.{os.getpid()}"
            make(partial)
            partial.rename(path)
        os.utime(path)
    return path


def go(package, flags=""):
    def make(path):
        if not shutil.which("go"):
            raise Trouble("Go is needed to build Kubernetes: https://go.dev/doc/install")
        command = ["go", "build", "-trimpath", "-buildvcs=false", f"-ldflags=-s -w {flags}", "-o", path, package]
        if subprocess.run(command, cwd=HERE / "controlplane", env={**os.environ, "CGO_ENABLED": "0"}, check=False).returncode:
            raise Trouble("Kubernetes could not be built: see above")
    return make


def drillmaster(path):
    """The program itself, static, so that it runs in a container with nothing else in it. Only its last step, linking, knows of that:
    everything else is what the tests have built already."""
    if not shutil.which("cargo"):
        raise Trouble("Rust is needed to build drillmaster: https://rustup.rs")
    command = ["cargo", "rustc", "--locked", "--bin", "drillmaster", "--message-format=json-render-diagnostics",
               "--", "-C", "target-feature=+crt-static"]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode:
        raise Trouble("the static drillmaster could not be built: see above")
    built = [said["executable"] for said in map(json.loads, ran.stdout.splitlines()) if said.get("executable")]
    if subprocess.run(["strip", "-o", path, built[-1]], check=False).returncode:
        shutil.copyfile(built[-1], path)
        path.chmod(0o755)


def blob(archive, name, content):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


class Images:
    """A tar of images in Docker's format, as `ctr image import` reads it."""

    def __init__(self, archive):
        self.archive = archive
        self.manifest = []

    def add(self, names, binary, at, arguments=(), variables=()):
        """One image with one binary, under several names."""
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as files:
            entry = tarfile.TarInfo(at.lstrip("/"))
            entry.size, entry.mode = binary.stat().st_size, 0o755
            with open(binary, "rb") as content:
                files.addfile(entry, content)
        layer = layer.getvalue()
        sha = hashlib.sha256(layer).hexdigest()
        config = json.dumps({
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [at, *arguments], "Env": ["PATH=/usr/local/bin", *variables]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha}"]},
        }).encode()
        name = hashlib.sha256(config).hexdigest()
        blob(self.archive, f"{sha}/layer.tar", layer)
        blob(self.archive, f"{name}.json", config)
        self.manifest.append({"Config": f"{name}.json", "RepoTags": list(names), "Layers": [f"{sha}/layer.tar"]})

    def close(self):
        blob(self.archive, "manifest.json", json.dumps(self.manifest).encode())


def named():
    """The images of the shipped manifests: the project's own, and all others."""
    files = sorted((ROOT / "scenarios" / "manifests").glob("*.yaml"))
    found = {name for file in files for name in re.findall(r"^\s*(?:- )?image:\s*(\S+)", file.read_text(), re.MULTILINE)}
    own = {name for name in found if name.startswith(OWN)}
    return sorted(own), sorted(found - own | {BEHAVIOURS})


def images(binaries, regions):
    own, others = named()

    def make(folder):
        folder.mkdir()
        for region in regions:
            with tarfile.open(folder / f"{region}.tar", "w") as archive:
                made = Images(archive)
                made.add([IMAGE], binaries["controlplane"], "/usr/local/bin/controlplane")
                made.add([PAUSE], binaries["standin"], "/usr/local/bin/standin", ["pause"])
                made.add(others, binaries["standin"], "/usr/local/bin/standin", ["web"], [f"REGION={region}"])
                made.add(own, binaries["drillmaster"], "/usr/local/bin/drillmaster")
                made.close()
    return make


def kubernetes():
    """The paths of what Go builds, which takes minutes once."""
    version = "k8s.io/component-base/version"
    minor = KUBERNETES.split(".")[1]
    flags = f"-X {version}.gitVersion=v{KUBERNETES} -X {version}.gitMajor=1 -X {version}.gitMinor={minor}"
    source = HERE / "controlplane"
    modules = [source / "go.mod", source / "go.sum"]
    return {
        "controlplane": once("controlplane", digest(*sorted(source.glob("*.go")), *modules, more=flags), go(".", flags)),
        "standin": once("standin", digest(source / "standin"), go("./standin")),
    }


def everything(regions):
    """The paths of all that these regions need."""
    sources = digest(ROOT / "src", ROOT / "Cargo.toml", ROOT / "Cargo.lock")
    binaries = {**kubernetes(), "drillmaster": once("drillmaster", sources, drillmaster)}
    own, others = named()
    key = digest(HERE / "build.py", more=json.dumps([sorted(path.name for path in binaries.values()), own, others, regions]))
    return {**binaries, "images": once("images", key, images(binaries, regions))}
