"""What runs, started with a mark in its environment, and ended by its ids.

The mark names folder, region and node: a node's death takes what is marked so, with all descendants, shims and their containers included.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

from network import inside

MARK = "DRILLMASTER_REGION_PROCESS"


def start(lab, place, name, argv, namespace):
    """Starts a program of a place (`east/`, `east/node1/`, or nothing for the outside) that logs into the folder."""
    folder = lab.folder / place
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.log", "ab") as log:
        subprocess.Popen(
            inside(namespace, argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, MARK: f"{lab.folder}:{place}{name}"},
        )


def marked(lab, place):
    """The ids of what is marked with a place, children after their parents."""
    wanted = f"{MARK}={lab.folder}:{place}".encode()
    children, found = {}, []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state == "Z":
            continue
        children.setdefault(int(parent), []).append(int(entry.name))
        if any(variable.startswith(wanted) for variable in environment):
            found.append(int(entry.name))
    seen = set(found)
    for pid in found:
        for child in children.get(pid, []):
            if child not in seen:
                seen.add(child)
                found.append(child)
    return found


def end(lab, place):
    """Kills what is marked with a place, until there is none; the youngest first, so that nobody's children become strangers."""
    deadline = time.monotonic() + 20
    while (found := marked(lab, place)) and time.monotonic() < deadline:
        for pid in reversed(found):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
