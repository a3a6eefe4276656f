"""`python -m sweeps.simulate`: what a search and its confirmation find where the truth is known, before any training.

It tells how often a confirmation finds a true difference and sees one where none is, how often early stopping keeps an
arm's best trial, and whether every arm gets its share.
"""

from __future__ import annotations

from pathlib import Path

from esc50tune.command import OneSentenceParser, at_least, busy, end_with


def main() -> int:
    parser = OneSentenceParser(prog="python -m sweeps.simulate", description=__doc__, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")
    parser.add_argument(
        "--draws", type=at_least(1), default=2000, help="simulated confirmations of each kind (default 2000)"
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="seed of all draws (default 0)")
    parser.add_argument("--sources", type=Path, metavar="CSV", help="whose clips share sources as they do in this csv")
    args = parser.parse_args()
    with busy("loading NumPy and PyTorch"):  # late, so that a package that is not there is told in a sentence
        from sweeps.simulation import simulate

    return simulate(args)


if __name__ == "__main__":
    end_with(main)
