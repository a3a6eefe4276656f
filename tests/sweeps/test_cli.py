"""What of a command line was said, and what is said again where a sweep goes on."""

from __future__ import annotations

import argparse

import pytest

from sweeps.cli import make_parser, parse
from sweeps.runner import repeated


def parsed(*line: str) -> argparse.Namespace:
    return parse(make_parser("regularization", "", ("convnext",)), line)


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ([], set()),
        (["--resume", "results/a"], {"resume"}),
        (["--scheduler", "halving", "--seed", "0", "--data", "auto"], {"scheduler", "seed", "data"}),  # the defaults
        (["--set", "lr=1", "--set", "epochs=2", "--force"], {"set", "force"}),
        (["--num-samples", "40"], {"num_samples"}),
    ],
)
def test_a_flag_was_given_whatever_its_value(line: list[str], given: set[str]) -> None:
    args = parsed(*line)
    assert args.given == given
    plain = make_parser("regularization", "", ("convnext",)).parse_args(line)
    assert vars(args) == vars(plain) | {"given": given}


@pytest.mark.parametrize(
    ("line", "again"),
    [
        (["--num-samples", "8", "--data", "a"], ""),  # the folder knows
        (["--gpus-per-trial", "0", "--max-concurrent", "1"], " --gpus-per-trial 0.0 --max-concurrent 1"),
        (["--address", "h:1", "--no-dashboard", "--wandb", "offline"], " --address h:1 --no-dashboard --wandb offline"),
        (["--resume", "a", "--data", "my clips", "--force"], " --data 'my clips' --force"),
    ],
)
def test_what_a_sweeps_folder_does_not_know_is_said_again(line: list[str], again: str) -> None:
    assert repeated(parsed(*line)) == again
