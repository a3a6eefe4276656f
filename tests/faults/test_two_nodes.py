"""A sweep on two nodes: the data are on the head alone, and one node dies in mid-trial."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.load import load_results
from sweeps.events import FILE
from tests.sweeps.scripts import ROOT, command, slowed, wait_for_events

RAY = [str(Path(sys.executable).with_name("ray")), "start", "--num-cpus=1", "--block"]


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def environment(cache: Path, path: str = "") -> dict[str, str]:
    return os.environ | {"ESC50TUNE_CACHE": str(cache), "RAY_AUTH_MODE": "disabled", "PYTHONPATH": path}


def family(pid: int) -> list[int]:
    """Return a process and all that it started."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    found = [pid]
    for one in found:  # grows
        found += [child for child, parent in pairs if parent == one]
    return found


def kill(process: subprocess.Popen) -> None:
    """Kill a node as a power cut would: everything at once."""
    for pid in family(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


class Cluster:
    """A head with one CPU; nodes with one CPU and nothing in their caches are added. Their epochs take a while."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.folder, self.address = folder, f"127.0.0.1:{port}"
        self.path = slowed(folder, 0.4)["PYTHONPATH"]
        self.started = [self.start("head", "--head", "--include-dashboard=false", f"--port={port}")]
        wait_until(lambda: answers(port))

    def start(self, cache: str, *flags: str) -> subprocess.Popen:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self.folder}
        return subprocess.Popen([*RAY, *flags], env=environment(self.folder / cache, self.path), **quiet)

    def add(self, cache: str) -> subprocess.Popen:
        before = nodes(self.address, self.folder)
        self.started.append(self.start(cache, f"--address={self.address}"))
        wait_until(lambda: nodes(self.address, self.folder) > before)
        return self.started[-1]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    for process in reversed(cluster.started):
        if process.poll() is None:
            kill(process)


def wait_until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def answers(port: int) -> bool:
    with socket.socket() as opened:
        return opened.connect_ex(("127.0.0.1", port)) == 0


def nodes(address: str, folder: Path) -> int:
    code = f"import ray; ray.init('{address}', log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(folder / "head"), capture_output=True, text=True, timeout=60
    )
    return int(done.stdout.strip().splitlines()[-1]) if done.returncode == 0 else 0


@pytest.mark.slow
def test_clips_travel_and_trials_of_a_node_that_dies_go_on_elsewhere_and_on_the_one_that_replaces_it(
    cluster: Cluster, tones_folder: Path, tmp_path: Path
) -> None:
    node = cluster.add("node")
    line = command(tones_folder, tmp_path, "--arms", "convnext,mixup", "--num-samples", "8", "--name", "two")
    line += ["--address", cluster.address, "--set", "epochs=12", "--scheduler", "none"]
    sweep = subprocess.Popen(
        line, cwd=ROOT, env=environment(tmp_path / "head"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for_events(tmp_path / "two" / FILE, 8)  # both nodes train
    assert list((tmp_path / "node" / "clips").glob("*/fold-1.npy"))
    kill(node)
    cluster.add("replacing")
    output, _ = sweep.communicate(timeout=200)
    assert sweep.returncode == 0, output
    assert "cluster   2 nodes now; those that join later take the place of lost ones" in output
    assert list((tmp_path / "replacing" / "clips").glob("*/fold-1.npy"))
    results = load_results(tmp_path / "two")
    assert results.trials["reason"].tolist() == ["finished"] * 8
    for number in range(8):
        epochs = [e["epoch"] for e in results.events if e["event"] == "epoch" and e["trial"] == number]
        assert epochs == list(range(1, 13))
    (run,) = json.loads((tmp_path / "two" / "manifest.json").read_text())["runs"]
    assert run["how"] == "done"
    assert [event["kind"] in ("node", "lost") for event in run["retries"]] == [True]  # whichever is noticed first
