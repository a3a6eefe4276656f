"""What is left out of the confirmed runs, and the sentences that say so."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.confirmed import Run

NAMED = 4  # runs or files that a sentence names before it counts the rest


class LeftOut:
    """What is left out of the confirmed runs.

    Attributes:
        files: sentences on files as a whole.
        runs: by the labels of arms, the sentences on their runs, each with the runs that stand in it at `{}`.
        unchecked: the labels of arms that are not left out, though the sweep's log does not tell of their trials.
    """

    def __init__(self) -> None:
        self.files: list[str] = []
        self.runs: dict[str, dict[str, list[str]]] = {}
        self.unchecked: list[str] = []

    def of_arm(self, arm: str, sentence: str) -> None:
        self.runs.setdefault(arm, {})[sentence] = []

    def of_run(self, run: Run, sentence: str) -> None:
        arm, fold, seed = run
        self.runs.setdefault(arm, {}).setdefault(sentence, []).append(f"fold {fold}, seed {seed}")

    def paragraphs(self) -> list[str]:
        """Return a paragraph for each of the files, and one for each arm."""
        of_arms = (
            " ".join(sentence.replace("{}", f"{arm}, {named(runs)}") for sentence, runs in told.items())
            for arm, told in self.runs.items()
        )
        return [*self.files, *of_arms]


def named(things: Sequence[str]) -> str:
    """Name the first few things and count the others."""
    rest = len(things) - NAMED
    return "; ".join(things[:NAMED]) + f" and {rest} more" * (rest > 0)
