"""Kills a sweep's driver with -9 at random moments, resumes it each time, and compares it with one that was left alone.

    python tests/faults/kill_driver.py --data PATH --results /tmp/kills -- --arms convnext,mixup --num-samples 8

What follows `--` goes to the sweep. One trial at a time, the events must be equal but for times; with
`--max-concurrent 2` no trial may be lost, run twice, or have an epoch missing or doubled.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = [sys.executable, str(ROOT / "sweeps" / "regularization.py")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--max-concurrent", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("sweep", nargs="*")
    args = parser.parse_args()
    machine = ["--max-concurrent", str(args.max_concurrent), "--no-dashboard"]
    first = [*SCRIPT, "--data", args.data, "--results", str(args.results), *args.sweep, *machine]
    whole, killed = args.results / "whole", args.results / "killed"
    finish([*first, "--name", "whole"])
    resume = [*SCRIPT, "--resume", str(killed), *machine]
    kills, chance = 0, random.Random(args.seed)
    while kills < args.kills and kill_once([*first, "--name", "killed"] if kills == 0 else resume, killed, chance):
        kills += 1
        print(f"killed {kills} times; {len(events(killed))} events", flush=True)
    finish(resume)
    return verdict(events(whole), events(killed), kills, args.max_concurrent == 1)


def kill_once(line: list[str], folder: Path, chance: random.Random) -> bool:
    """Start the sweep, and kill it a moment after it has logged another epoch; False if it ended before."""
    before = epochs(folder)
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    while epochs(folder) <= before:
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    time.sleep(chance.uniform(0.0, 3.0))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def finish(line: list[str]) -> None:
    subprocess.run(line, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def events(folder: Path) -> list[dict]:
    path = folder / "events.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    return [json.loads(line) | {"clock": 0, "seconds": 0} for line in lines]


def epochs(folder: Path) -> int:
    return sum(event["event"] == "epoch" for event in events(folder))


def verdict(whole: list[dict], killed: list[dict], kills: int, in_order: bool) -> int:
    """Print what was found; return 0 if nothing was lost."""
    faults = (
        [] if not in_order or killed == whole else ["the events differ from those of the sweep that was left alone"]
    )
    for number in range(max(len(deals(whole)), len(deals(killed)))):
        told = [event["epoch"] for event in killed if event["event"] == "epoch" and event["trial"] == number]
        if told != list(range(1, len(told) + 1)):
            faults.append(f"trial {number} has epochs {told}")
        if sum(event["event"] == "end" and event["trial"] == number for event in killed) != 1:
            faults.append(f"trial {number} has not ended once")
    if [(deal["trial"], deal["arm"]) for deal in deals(whole)] != [
        (deal["trial"], deal["arm"]) for deal in deals(killed)
    ]:
        faults.append("other trials were dealt")
    print(f"{kills} kills, {len(killed)} events: " + ("nothing was lost" if not faults else "; ".join(faults)))
    return 1 if faults else 0


def deals(told: list[dict]) -> list[dict]:
    return [event for event in told if event["event"] == "deal"]


if __name__ == "__main__":
    sys.exit(main())
