"""`python -m bench [NAME ...]`: how fast this project is on this machine, beside what would be run otherwise."""

from __future__ import annotations

from esc50tune.command import end_with


def main() -> int:
    from bench.run import run  # late, so that a package that is not there is told in a sentence

    return run()


if __name__ == "__main__":
    end_with(main)
