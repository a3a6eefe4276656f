"""Simulates searches and their confirmations, and prints how often they are right."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from esc50tune.command import busy
from esc50tune.data.lines import counted
from sweeps.console import Console, say
from sweeps.simulated_confirmation import (
    ABLATION,
    ARMS,
    PAIRS,
    SEEDS,
    TABLE_SEEDS,
    Assumptions,
    esc50_clips,
    read_clips,
    simulate_accuracy,
    simulate_confirmation,
    simulate_report,
)
from sweeps.simulated_search import SWEEPS, TRUTHS, compare_schedulers, simulate_search


def print_confirmation(found: dict[str, Any], draws: int, console: Console) -> None:
    say(console, f"confirmation: {ARMS} arms against one, {draws} simulated of each kind")
    lines = (
        (f"+3 points found with {SEEDS} seeds", "power_3pt"),
        (f"+2 points found with {found['seeds_2pt']} seeds, as many as seeds_needed proposes", "power_2pt"),
        ("any arm called different where none is", "false_positive"),
        ("all intervals hold the truth", "coverage"),
    )
    for text, key in lines:
        say(console, f"{100 * found[key]:6.1f} %  {text}")
    apart, pairs = found["apart"], found["pairs"]
    say(
        console, f"where arms know different clips, so that two runs of one disagree on {100 * apart['same']:g} % only:"
    )
    say(
        console,
        f"{100 * apart['power']:6.1f} %  +{apart['points']:.1f} points found with {SEEDS} seeds, by reckoning 80 %",
    )
    say(console, f"{100 * apart['false_positive']:6.1f} %  any arm called different of those without an effect")
    say(console, f"{100 * apart['coverage']:6.1f} %  all intervals hold the truth")
    say(console, f"where {PAIRS} arms are compared with one of their own each:")
    say(console, f"{100 * pairs['false_positive']:6.1f} %  any arm called different where none is")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("called different, in %")
    for effect in found["found"][str(TABLE_SEEDS[0])]:
        table.add_column(f"+{effect} points", justify="right")
    for seeds, shares in found["found"].items():
        table.add_row(f"{seeds} seeds", *(f"{100 * share:.1f}" for share in shares.values()))
    console.print(table)


def print_report(report: dict[str, float], accuracy: dict[str, Any], console: Console) -> None:
    say(console, f"where a report has two tables, one arm in the first and {ABLATION} in the second, of 5 % each:")
    say(console, f"{100 * report['false_positive']:6.1f} %  any arm of the report called different where none is")
    say(console, f"{100 * report['coverage']:6.1f} %  all intervals of the report hold the truth")
    say(console, f"accuracy of one arm, {accuracy['draws']} simulated:")
    for seeds, share in accuracy["coverage"].items():
        say(console, f"{100 * share:6.1f} %  its 95 % interval holds the truth with {counted(int(seeds), 'seed')}")


def print_search(arms: dict[str, dict[str, float]], console: Console) -> None:
    say(console, f"search: {SWEEPS} simulated sweeps, with early stopping")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("arm", no_wrap=True)
    for name in ("effect", "trials", "epochs %", "full", "fewest", "kept %", "lost"):
        table.add_column(name, justify="right")
    for name, row in arms.items():
        table.add_row(
            name,
            f"{100 * TRUTHS[name].effect:+.0f}",
            f"{row['trials']:.0f}",
            f"{100 * row['epochs']:.0f}",
            f"{row['full']:.1f}",
            f"{row['fewest']:.0f}",
            f"{100 * row['kept']:.0f}",
            f"{100 * row['lost']:.2f}",
        )
    console.print(table)
    say(console, "full: trials that ran in full, and the fewest in any sweep; kept: the arm's truly best trial was one")
    say(console, "of them; lost: points by which the best of them is worse than that trial")


def print_schedulers(found: dict[str, dict[str, dict[str, float]]], console: Console) -> None:
    say(console, "early stopping, with 5 and 8 trials an arm: mean over these arms")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("scheduler", no_wrap=True)
    for name in ("trials", "epochs %", "full", "starved %", "kept %", "lost"):
        table.add_column(name, justify="right")
    for scheduler, rows in found.items():
        for per_arm, row in rows.items():
            spent = (f"{100 * row['epochs']:.0f}", f"{row['full']:.1f}", f"{100 * row['starved']:.1f}")
            table.add_row(scheduler, per_arm, *spent, f"{100 * row['kept']:.0f}", f"{100 * row['lost']:.2f}")
    console.print(table)
    say(console, "starved: arms none of whose trials ran in full; points lost are those of the others")


def simulate(args: argparse.Namespace) -> int:
    """Simulate as often as the command line asks for, and print what was found; return the exit code."""
    clips = read_clips(args.sources) if args.sources else esc50_clips()
    assumed, rng = Assumptions(), np.random.default_rng(args.seed)
    with busy("simulating searches and their confirmations"):
        found = simulate_confirmation(clips, assumed, args.draws, rng)
        arms = simulate_search(assumed, args.seed, rng)
        schedulers = compare_schedulers(assumed, args.seed, rng)
        # Drawn last, so that the numbers above stay those of earlier versions.
        report, fewer = simulate_report(clips, assumed, args.draws, rng), -(-args.draws // 4)
        accuracy = {"draws": fewer, "coverage": simulate_accuracy(clips, assumed, fewer, rng)}
    if args.json:
        facts = {"clips": len(clips.folds), "sources": len(np.unique(clips.sources)), "arms": ARMS, "seeds": SEEDS}
        print(
            json.dumps(
                found
                | {
                    "draws": args.draws,
                    "assumptions": asdict(assumed) | facts,
                    "report": report,
                    "accuracy": accuracy,
                    "search": arms,
                    "schedulers": schedulers,
                }
            )
        )
    else:
        console = Console()
        print_confirmation(found, args.draws, console)
        print_report(report, accuracy, console)
        print_search(arms, console)
        print_schedulers(schedulers, console)
    return 0
