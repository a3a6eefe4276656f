"""What the files of a results folder must look like before anything is made of them: they may come from a stranger.

`docs/results-folder.md` describes every key. Here stand those that tables and figures cannot do without, and those that
must be of their kind where they are there. A shape is one of these:

* a function that tells whether a value will do;
* a tuple of shapes, one of which must fit;
* a list of the one shape that all items have;
* a dict of keys, which may be missing if they end with `?`, and the shapes of their values; or of a function that tells
  whether a key will do, and the shape of all values.
"""

from __future__ import annotations

import re
import sys
from typing import Any

Shape = Any

LARGE = 10**12  # what is counted or added up stays below it
NOUNS = {"frozen": "frozen configurations"}
CLASSES = 5_000  # confusion matrices of more do not fit into memory
ROWS = 500  # arms, and ranges of their knobs: figures with a panel or row for each become too large to be drawn
# what breaks a line, talks to the terminal, or cannot be written as UTF-8
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def nothing(value: Any) -> bool:
    return value is None


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def number(value: Any) -> bool:
    largest = sys.float_info.max  # NaN is not below it
    return isinstance(value, int | float) and not flag(value) and abs(value) <= largest


def amount(value: Any) -> bool:
    return number(value) and 0 <= value < LARGE


def whole(value: Any) -> bool:
    return amount(value) and isinstance(value, int)


def positive(value: Any) -> bool:
    return whole(value) and value > 0


def factor(value: Any) -> bool:
    """Tell whether rungs may lie this factor apart: with one near 1 there would be too many to be drawn."""
    return number(value) and 1.5 <= value < LARGE


def judge(value: Any) -> bool:
    return value in ("accuracy", "loss")


def share(value: Any) -> bool:
    return number(value) and 0 <= value <= 1


def words(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 10_000 and not CONTROL.search(value)


def text(value: Any) -> bool:
    """Tell whether a value is a text of any kind: a traceback may be one."""
    return isinstance(value, str)


def name(value: Any) -> bool:
    return words(value) and 0 < len(value) <= 200


def arm_name(value: Any) -> bool:
    """Tell whether an arm may be called so. Names of files are made of it, and labels, by a `#` behind it."""
    return isinstance(value, str) and re.fullmatch(r"\w[\w.+-]{0,99}", value) is not None


def failed(value: Any) -> bool:
    """Tell whether this is the reason of a trial that ended with an error."""
    return value == "error"


def not_failed(value: Any) -> bool:
    return name(value) and not failed(value)


def rate(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) is not None


def space(value: Any) -> bool:
    """Tell whether a value is the range that a knob is searched in."""
    if misfit(value, {"low": number, "high": number, "log": flag}):
        return False
    return (1 / LARGE if value["log"] else -LARGE) < value["low"] < value["high"] < LARGE


def class_names(value: Any) -> bool:
    return not misfit(value, [name]) and 0 < len(value) <= CLASSES


KNOB = (words, number, flag, nothing, [number])
ARM = {
    "name": arm_name,
    "against": (arm_name, nothing),
    "fixed": {
        "model": name,
        "feature": name,
        "sample_rate": amount,
        "logmel_bands": whole,
        "encodec_weights": words,
        "clip_seconds": amount,
        "crop_seconds": amount,
        "crop_views": whole,
        "code_lm": amount,
    },
    "on": [name],
    "space": {name: space},
    "parameters": whole,
    "epochs": positive,
}
RUN = {
    "code?": words,
    "packages?": {name: words},
    "commit?": (words, nothing),
    "created?": words,
    "machine?": ({"gpus": [words], "processor": words, "system": words}, nothing),
}
DATA = {"stand_in": flag, "fingerprint": words, "root": words}
ARGUMENTS = {  # what a sweep that is resumed takes from its first command line
    "script?": words,
    "data?": words,
    "arms?": words,
    "default_arms?": [words],
    "num_samples?": positive,
    "base?": (words, nothing),
    "feature?": (words, nothing),
    "encodec_weights?": (words, nothing),
    "preset?": words,
    "set?": [words],
    "test_fold?": (whole, nothing),
    "val_fold?": (whole, nothing),
    "seed?": whole,
    "search?": words,
    "scheduler?": words,
}
MANIFEST = {
    **RUN,
    "name": words,
    "data": {**DATA, "title": words, "padded": whole, "cut": whole, "rates": {rate: whole}},
    "split": {
        "train": [whole],
        "val": whole,
        "test": (whole, nothing),
        "train_clips": whole,
        "val_clips": positive,
        "left_out": whole,
    },
    "preset": {"name": words, "says": words},
    "arms": [ARM],
    "reference": (arm_name, nothing),
    "trials": whole,
    "search": words,
    "seed": whole,
    "scheduler": {"name": words, "grace": share, "factor": factor, "by?": judge},
    "arguments?": ARGUMENTS,
    "encoders?": {words: words},
    "resources?": {"share": {"cpus": whole, "gpus": amount}},
}
FROZEN = {
    "arm": arm_name,
    "rank": positive,
    "trial": whole,
    "val_acc": share,
    "config": {name: KNOB},
    "parameters": whole,
    "epochs": positive,
    "seconds?": amount,
}
CONFIRM = {
    **RUN,
    "data": {**DATA, "clips": whole, "classes": class_names},
    "frozen": [FROZEN],
    "left_out": [{"arm": arm_name, "why": words}],
    "folds": [whole],
    "seeds": positive,
    "test_fold": (whole, nothing),
    "searched": [whole],
}
# of a second phase that goes on
CONFIRM_BEGUN = {**CONFIRM, "code": words, "frozen": [{**FROZEN, "seconds": amount}]}

EVENT = {"event": name, "trial": whole}
EPOCH = {
    "epoch": positive,
    "seconds": amount,
    "train_acc": (share, nothing),
    "val_acc": (share, nothing),
    "val_loss": (number, nothing),
}
END = {"reason": name}
SEARCH = {
    "deal": {"arm": arm_name, "sampled": {name: number}, "config?": {name: KNOB}},
    "epoch": {**EPOCH, "val_acc": share},
    "end": END,
}
CONFIRMED = {
    "deal": {"arm": arm_name, "rank": positive, "fold": whole, "seed": whole, "config": {name: KNOB}},
    "epoch": EPOCH,
    "end": END,
}
ENDED = {"clock": amount, "error?": text}  # before the reason: of two shapes, the first one's fault is told
# a log that is written on
BEGUN = {
    "deal": {
        "arm": arm_name,
        "sampled?": {name: number},
        "rank?": positive,
        "fold?": whole,
        "seed?": whole,
        "config": {name: KNOB},
        "clock": amount,
    },
    "epoch": {**EPOCH, "diverged": flag, "clock": amount},
    "retry": {
        "arm": arm_name,
        "config": {name: KNOB},
        "epochs": whole,
        "kind": name,
        "error": text,
        "clock": amount,
    },
    "promote": {"epochs": whole, "clock": amount},
    "end": ({**ENDED, "reason": failed, "error": text}, {**ENDED, "reason": not_failed}),
}


def misfit(value: Any, shape: Shape, what: str = "it") -> str:
    """Return what is wrong with `value`, called `what`, in words; nothing where it has the shape."""
    if isinstance(shape, tuple):
        faults = [misfit(value, one, what) for one in shape]
        return faults[0] if all(faults) else ""
    if isinstance(shape, list) and isinstance(value, list):
        return next(filter(None, (misfit(item, shape[0], f"one of {what}") for item in value)), "")
    if isinstance(shape, dict) and isinstance(value, dict):
        return next(filter(None, (misfit_at(value, key, shape[key], what) for key in shape)), "")
    return "" if callable(shape) and shape(value) else f"{what} is {repr(value)[:40]}"


def misfit_at(value: dict[str, Any], key: Any, shape: Shape, what: str) -> str:
    """Return what is wrong with one key of an object, or with all if `key` is a function that tells which may be."""
    if callable(key):
        wrong = [found for found in value if not key(found)]
        faults = (misfit_at(value, found, shape, what) for found in value)
        return f"{what} has {wrong[0][:40]!r}" if wrong else next(filter(None, faults), "")
    found = key.removesuffix("?")
    if found in value:
        noun = NOUNS.get(found, found)
        return misfit(value[found], shape, f"its {noun}" if what == "it" else f"{noun} of {what}")
    return "" if key.endswith("?") else f"{what} has no {found}"
