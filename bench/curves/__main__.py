"""`python -m bench.curves EVENTS CSV`: writes the learning curves of a sweep's full trials, to replay searches on.

EVENTS is a sweep's events.jsonl. A sweep with `--scheduler none` runs all its trials in full.
"""

from __future__ import annotations

from pathlib import Path

from analysis.files import read_events
from bench.curves import full_curves, write_curves
from esc50tune.errors import UserError
from sweeps.cli import OneSentenceParser, end_with


def main() -> int:
    parser = OneSentenceParser(prog="python -m bench.curves", description=__doc__, allow_abbrev=False)
    parser.add_argument("events", type=Path, metavar="EVENTS", help="a sweep's events.jsonl")
    parser.add_argument("csv", type=Path, metavar="CSV", help="file to write")
    args = parser.parse_args()
    events = read_events(args.events)
    curves = full_curves(events)
    try:
        write_curves(args.csv, curves)
    except OSError as error:
        raise UserError(f"'{args.csv}' cannot be written: {error.strerror}") from None
    dealt = sum(event["event"] == "deal" for event in events)
    print(f"{len(curves)} of {dealt} trials ran in full, {len(curves[0].accuracies)} epochs each: {args.csv}")
    return 0


if __name__ == "__main__":
    end_with(main)
