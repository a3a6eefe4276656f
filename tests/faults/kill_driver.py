"""Kills a sweep's driver with -9 at random moments, resumes it each time, and compares it with one that was left alone.

    python tests/faults/kill_driver.py --data PATH --results /tmp/kills -- --arms convnext,mixup --num-samples 8

What follows `--` goes to the sweep. One trial at a time, the events must be equal but for times; with
`--max-concurrent 2` they come in another order, and ASHA may stop others: then no trial may be lost, dealt twice or
otherwise, fail, have an epoch missing or doubled, or an epoch that came out differently.
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
from collections.abc import Iterator
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
    chance = random.Random(args.seed)
    # Over all of the sweep but its end, which a late kill would miss.
    moments = sorted(chance.sample(range(1, 9 * epochs(whole) // 10), args.kills))
    for kills, epoch in enumerate(moments):
        line = resume if kills else [*first, "--name", "killed"]
        if not kill_once(line, killed, epoch, chance.uniform(0.0, 0.5)):
            print(f"it ended before kill {kills + 1}")
            return 1
        print(f"killed {kills + 1} times; {len(events(killed))} events", flush=True)
    finish(resume)
    return verdict(events(whole), events(killed), args.kills, args.max_concurrent == 1)


def kill_once(line: list[str], folder: Path, epoch: int, later: float) -> bool:
    """Start the sweep, and kill it once its log has an epoch more than before, and `epoch` in all; False if it ended.

    Args:
        line: the command that starts it.
        folder: its results folder.
        epoch: how many epochs of all its trials its log has then at least.
        later: seconds that it runs on then.
    """
    wanted = max(epoch, epochs(folder) + 1)
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    while epochs(folder) < wanted:
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    time.sleep(later)
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
    return len(told(events(folder), "epoch"))


def verdict(whole: list[dict], killed: list[dict], kills: int, in_order: bool) -> int:
    """Print what was found; return 0 if nothing was lost."""
    found = list(faults(whole, killed, in_order))
    print(f"{kills} kills, {len(killed)} events: " + ("; ".join(found) or "nothing was lost"))
    return int(bool(found))


def faults(whole: list[dict], killed: list[dict], in_order: bool) -> Iterator[str]:
    """Yield what is wrong with the log of a sweep that was killed, beside that of one that was left alone."""
    if in_order and killed != whole:
        yield "the events differ from those of the sweep that was left alone"
    if [event["seq"] for event in killed] != list(range(len(killed))):
        yield "events are missing or doubled"
    if told(whole, "deal") != told(killed, "deal"):
        yield "other trials were dealt"
    for number in range(len(told(whole, "deal"))):
        seen, expected = (told(log, "epoch", number) for log in (killed, whole))
        if [event["epoch"] for event in seen] != list(range(1, len(seen) + 1)):
            yield f"trial {number} has epochs {[event['epoch'] for event in seen]}"
        differ = [a["epoch"] for a, b in zip(seen, expected, strict=False) if a != b]
        if differ:
            yield f"epochs {differ} of trial {number} came out differently"
        ends = told(killed, "end", number)
        if [(end["epochs"], end["reason"] != "error") for end in ends] != [(len(seen), True)]:
            yield f"trial {number} ended as {[end['reason'] for end in ends]}"


def told(log: list[dict], kind: str, number: int | None = None) -> list[dict]:
    """Return the events of one kind, and of one trial, without their places in the log."""
    wanted = (event for event in log if event["event"] == kind and number in (None, event["trial"]))
    return [event | {"seq": 0} for event in wanted]


if __name__ == "__main__":
    sys.exit(main())
