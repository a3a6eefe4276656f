"""What can be checked, without a cluster, of the page about clusters and of the files that it hands out."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sweeps.cli import make_parser

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGE, AWS, SLURM = DOCS / "clusters.md", DOCS / "clusters" / "aws.yaml", DOCS / "clusters" / "slurm.sh"
NAMES = ("regularization", "architectures")
HOUR = 3600

# Stand-ins for what the SLURM script calls. The sweep's own Python writes down what it was asked to do.
STUBS = {
    "ray": 'echo "ray $*" >> calls',
    "srun": 'echo "srun $*" >> calls',
    "scontrol": "printf 'one\\ntwo\\nthree\\n'",
    "squeue": 'date -d "+2 hours" +%Y-%m-%dT%H:%M:%S',
    "hostname": 'echo "10.0.0.1 fe80::1 10.0.0.2 "',
    "python": f"""case $1 in
-) cat > /dev/null ;;
-c) exec "{sys.executable}" "$@" ;;
*) printf '%s\\0' "$@" > argv; exit "${{SWEEP_EXITS:-0}}" ;;
esac""",
}


def aws() -> dict[str, Any]:
    return yaml.safe_load(AWS.read_text())


def flags(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def our_flags() -> set[str]:
    parsers = [make_parser(name, "", ()) for name in NAMES]
    return {flag for parser in parsers for action in parser._actions for flag in action.option_strings}


def test_the_aws_file_is_what_ray_takes() -> None:
    ray = Path(importlib.util.find_spec("ray").origin).parent
    jsonschema.validate(aws(), json.loads((ray / "autoscaler" / "ray-schema.json").read_text()))


def test_the_aws_file_starts_one_safe_head_and_all_spot_workers_at_once() -> None:
    config = aws()
    types = dict(config["available_node_types"])
    head = types.pop(config["head_node_type"])
    assert head["max_workers"] == 0
    assert "InstanceMarketOptions" not in head["node_config"]
    assert all(kind["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"} for kind in types.values())
    assert all(kind["min_workers"] == kind["max_workers"] for kind in types.values())  # they are counted at the start
    assert sum(kind["min_workers"] for kind in types.values()) <= config["max_workers"]


def test_the_aws_file_sends_no_code_and_shuts_the_dashboard_in() -> None:
    config = aws()
    mounts = {Path(there).name: Path(here) for there, here in config["file_mounts"].items()}
    assert set(mounts) == {"requirements.txt", "auth_token"}
    assert (ROOT / mounts["requirements.txt"]).is_file()
    start = " ".join(config["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in start
    assert any("RAY_AUTH_MODE=token" in command for command in config["setup_commands"])


@pytest.mark.parametrize("command", [c for key, value in aws().items() if key.endswith("_commands") for c in value])
def test_the_aws_commands_are_sound_shell(command: str) -> None:
    subprocess.run(["bash", "-n", "-c", command], check=True)


def test_the_slurm_script_is_sound_shell() -> None:
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(SLURM)], check=True)


@pytest.fixture
def submit(tmp_path: Path) -> Callable[..., tuple[int, Namespace | None]]:
    """Return what runs the SLURM script as a job of two hours on three nodes, and says what the sweep was asked."""
    if sys.platform != "linux":
        pytest.skip("the script is for Linux: bash 4, GNU date")
    for name, code in STUBS.items():
        stub = tmp_path / "bin" / name
        stub.parent.mkdir(exist_ok=True)
        stub.write_text(f"#!/bin/bash\n{code}\n")
        stub.chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("")
    job = {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "SWEEP": "first",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "[one-three]",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_GPUS_ON_NODE": "1",
        "SLURMD_NODENAME": "one",
    }

    def run(*args: str, **more: str) -> tuple[int, Namespace | None]:
        argv = tmp_path / "argv"
        argv.unlink(missing_ok=True)
        done = subprocess.run(["bash", str(SLURM), *args], env=job | more, cwd=tmp_path, timeout=60)
        if not argv.is_file():
            return done.returncode, None
        script, *asked = argv.read_text().split("\0")[:-1]
        assert script == "sweeps/regularization.py"
        return done.returncode, make_parser("regularization", "", ()).parse_args(asked)

    return run


def budget(asked: Namespace) -> int:
    assert asked.time_budget.endswith("s")
    return int(asked.time_budget[:-1])


def test_a_slurm_job_starts_ray_on_each_node_and_the_sweep_on_the_first(submit: Callable, tmp_path: Path) -> None:
    code, asked = submit("--num-samples", "80", "--data", "/somewhere/my data")
    assert code == 0
    assert (asked.name, asked.resume) == ("first", None)
    assert (asked.num_samples, asked.data, asked.address) == (80, "/somewhere/my data", "10.0.0.1:6379")
    assert 0.5 * HOUR < budget(asked) < 2 * HOUR - 600
    calls = (tmp_path / "calls").read_text().splitlines()
    assert sum("ray start --head" in call and "--node-ip-address=10.0.0.1" in call for call in calls) == 1
    workers = [call for call in calls if call.startswith("srun")]
    assert {re.search(r"--nodelist=(\S+)", call)[1] for call in workers} == {"two", "three"}
    assert all("ray start --address=10.0.0.1:6379 --block --num-cpus=8 --num-gpus=1" in call for call in workers)
    assert calls[-1] == "ray stop"


def test_the_same_slurm_job_again_goes_on_with_as_much_time_of_its_own(submit: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "first"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "events.jsonl").write_text('{"seq": 0, "clock": 1.5}\n{"seq": 1, "clock": 36000.25}\n{"seq": 2, "clo')
    ends = str(int(time.time()) + HOUR)
    code, asked = submit("--num-samples", "80", SLURM_JOB_END_TIME=ends, SWEEP_EXITS="130")
    assert code == 130
    assert asked.resume == Path("results/first")
    assert asked.name is None
    assert asked.num_samples == 40  # left out: a sweep that is resumed refuses flags of the study
    assert 10 * HOUR < budget(asked) < 11 * HOUR - 600


def test_a_slurm_job_without_a_name_or_time_starts_no_sweep(submit: Callable) -> None:
    for wrong in ({"SWEEP": ""}, {"SLURM_JOB_END_TIME": str(int(time.time()) + 60)}):
        code, asked = submit(**wrong)
        assert code != 0
        assert asked is None


def test_every_flag_of_ours_is_one() -> None:
    page = PAGE.read_text()
    code = re.findall(r"^```\n(.*?)^```", page, re.S | re.M) + re.findall(r"`([^`\n]+)`", page)
    lines = [line for block in code for line in block.splitlines()]
    # Of the page: what follows one of our scripts, or stands alone in the text. Of the files: all that comments say.
    ours = [line.partition("sweeps/")[2] for line in lines] + [line for line in lines if line.startswith("--")]
    ours += [line.partition("slurm.sh")[2] for line in lines]
    comments = [line.partition("#")[2] for path in (AWS, SLURM) for line in path.read_text().splitlines()]
    ours += [text for text in comments if not re.match(r"SBATCH|\s*aws |\s*/aws/", text)]
    named = set().union(*map(flags, ours))
    assert {"--address", "--resume", "--time-budget", "--num-samples"} <= named
    assert named <= our_flags()


def test_links_and_paths_of_the_page_are_there() -> None:
    page = PAGE.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page) if "://" not in link]
    assert {AWS, SLURM} <= {(DOCS / link).resolve() for link in links}
    assert [link for link in links if not (DOCS / link).exists()] == []
    paths = re.findall(r"\b(?:docs|sweeps)/[\w./-]+\.(?:py|yaml|sh|md)\b", page + AWS.read_text() + SLURM.read_text())
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_what_was_not_run_is_said() -> None:
    assert "Checked for syntax; not run by us on a cloud." in PAGE.read_text()
    assert "Checked for syntax; not run by us on a SLURM cluster." in PAGE.read_text()
