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
from tests.sweeps.test_regularization_script import ROOT, command
from tests.sweeps.test_resume import wait_for_events

RAY = [str(Path(sys.executable).with_name("ray")), "start", "--num-cpus=1", "--block"]


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def environment(cache: Path) -> dict[str, str]:
    return os.environ | {"ESC50TUNE_CACHE": str(cache), "RAY_AUTH_MODE": "disabled", "PYTHONPATH": ""}


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


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """The address of a head with one CPU, and a second node with one CPU and nothing in its cache."""
    address = f"127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    head = subprocess.Popen(
        [*RAY, "--head", "--include-dashboard=false", f"--port={port}"], env=environment(tmp_path / "head"), **quiet
    )
    wait_until(lambda: answers(int(port)))
    node = subprocess.Popen([*RAY, f"--address={address}"], env=environment(tmp_path / "node"), **quiet)
    wait_until(lambda: nodes(address, tmp_path) == 2)
    yield address, node
    for process in (node, head):
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
def test_clips_travel_to_a_node_that_has_none_and_its_trials_go_on_elsewhere_when_it_dies(
    cluster: tuple[str, subprocess.Popen], tones_folder: Path, tmp_path: Path
) -> None:
    address, node = cluster
    line = command(tones_folder, tmp_path, "--arms", "convnext,mixup", "--num-samples", "4", "--name", "two")
    line += ["--address", address, "--set", "epochs=12", "--scheduler", "none"]
    sweep = subprocess.Popen(
        line, cwd=ROOT, env=environment(tmp_path / "head"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for_events(tmp_path / "two" / FILE, 8)  # both nodes train
    assert list((tmp_path / "node" / "clips").glob("*/fold-1.npy"))
    kill(node)
    output, _ = sweep.communicate(timeout=200)
    assert sweep.returncode == 0, output
    results = load_results(tmp_path / "two")
    assert results.trials["reason"].tolist() == ["finished"] * 4
    for number in range(4):
        epochs = [e["epoch"] for e in results.events if e["event"] == "epoch" and e["trial"] == number]
        assert epochs == list(range(1, 13))
    (run,) = json.loads((tmp_path / "two" / "manifest.json").read_text())["runs"]
    assert run["how"] == "done"
    assert [event["kind"] in ("node", "lost") for event in run["retries"]] == [True]  # whichever is noticed first
