"""`--wandb`: each trial as a run of Weights & Biases. The event log stays the record; this is for watching.

wandb is imported and called in a thread of its own, which takes the events from a queue: whatever becomes of wandb, the
sweep neither fails nor waits. Events that the thread has not come to when a sweep is killed are in the event log alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from esc50tune.command import shown
from sweeps.console import Console, say
from sweeps.driver import Dealer
from sweeps.events import Event
from sweeps.state import SweepState
from sweeps.watched import metrics, run_name

PROJECT = "esc50tune"
INIT_SECONDS = 10  # a server that has not answered a first request by then counts as out of reach
FINISH_SECONDS = 5  # what a run has left to upload at its end is a few kilobytes
CLOSE_SECONDS = 20  # more than both: time to find the server gone, and to write files instead
ENVIRONMENT = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}  # no lines into the table; no reports home
SETTINGS = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "save_code": False,
    "symlink": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    "init_timeout": INIT_SECONDS,
    "finish_timeout": FINISH_SECONDS,
    "finish_timeout_raises": True,
    "stop_on_fatal_error": True,  # calls stop_fn, too, when the server refuses what is uploaded
}
# Keys have 40 characters or more, tokens too; the address of a server or proxy may hold a password.
SECRET = re.compile(r"[\w-]{32,}|(?<=//)[^/\s@]+@")


@contextmanager
def logged_to_wandb(
    mode: str, folder: Path, manifest: dict[str, Any], driver: Dealer, console: Console
) -> Iterator[None]:
    """Log what happens inside to wandb, unless `mode` is 'off'."""
    if mode == "off":
        yield
        return
    log = WandbLog(mode, folder, manifest, driver.state, console)
    driver.log.listeners.append(log.on_event)
    try:
        yield
    finally:
        log.close()


class WandbLog:
    """Turns events into wandb runs, one for each trial.

    Args:
        mode: 'offline' or 'online'. Without a key, or where the server is out of reach, 'online' becomes 'offline'.
        folder: the results folder; wandb's files go into `wandb/` in it.
        manifest: the sweep's, in its second phase too; a resumed sweep has the same, and so the same runs.
        state: what the events add up to.
        console: where to say what went wrong, once.
    """

    def __init__(self, mode: str, folder: Path, manifest: dict[str, Any], state: SweepState, console: Console) -> None:
        self.mode, self.folder, self.manifest, self.state, self.console = mode, folder, manifest, state, console
        self._events: SimpleQueue[tuple[Event, Event, dict[str, Any]] | None] = SimpleQueue()
        self._runs: dict[int, Any] = {}
        self._page: str | None = None
        self._told = self._stopped = False
        self._thread = Thread(target=self._work, name="wandb", daemon=True)
        self._thread.start()

    def on_event(self, event: Event) -> None:
        """Take in an event that `state` has taken in, without waiting for anything."""
        trial = self.state.trials[event["trial"]]
        self._events.put((event, trial.dealt, trial.config))

    def close(self) -> None:
        """Let wandb come to its end, for a limited time."""
        self._events.put(None)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            self._tell(f"not done {CLOSE_SECONDS} s after the sweep, which does not wait for it; {self._upload}")
            # It would make the exit of this process wait as well, but for a teardown that has begun.
            begun = Thread(target=teardown, args=(sys.modules.get("wandb"),), daemon=True)
            begun.start()
            begun.join(1.0)

    def _work(self) -> None:
        """Call wandb until the events end, or it fails."""
        os.environ.update(ENVIRONMENT | {"WANDB_CACHE_DIR": str(self.folder)})  # it logs to wandb/logs in there
        try:
            import wandb
        except Exception as error:  # a broken installation can raise anything
            self._tell(f"cannot be imported ({brief(error)}): the sweep goes on without it")
            return
        try:
            if self.mode == "online":
                self._check_key(wandb)
            for event, deal, config in iter(self._events.get, None):
                self._log(wandb, event, deal, config)
            while self._runs:  # of trials that were interrupted
                self._finish(wandb, next(iter(self._runs)), failed=True)
            if self.mode == "offline":
                self._tell(f"logged offline; {self._upload}", style=None)
        except (Exception, SystemExit) as error:
            self._tell(f"failed ({brief(error)}): the sweep goes on without it; {self._upload}")
        self._end_all(wandb)

    def _check_key(self, wandb: Any) -> None:
        """Without a key, go offline: later calls would ask for one."""
        try:
            if not wandb.login(prompt=False, verify=False):
                self._go_offline(wandb, "has no key here (WANDB_API_KEY, or `wandb login`)")
        except Exception as error:  # it has one, but not of the right form
            self._go_offline(wandb, f"does not take the key ({brief(error)})")

    def _log(self, wandb: Any, event: Event, deal: Event, config: dict[str, Any]) -> None:
        number = event["trial"]
        if self._stopped and self.mode == "online":
            self._go_offline(wandb, "stopped a run (the server refuses it, or somebody pressed Stop there)")
        if number not in self._runs:
            self._runs[number] = self._open(wandb, deal, config)
        run = self._runs[number]
        if event["event"] == "epoch":
            run.log(metrics(event), step=event["epoch"], commit=True)
        elif event["event"] == "retry":
            run.config.update(event["config"], allow_val_change=True)
        elif event["event"] == "end":
            run.summary["reason"] = event["reason"]
            self._finish(wandb, number, failed=event["reason"] == "error")

    def _open(self, wandb: Any, deal: Event, config: dict[str, Any]) -> Any:
        """Begin the run of a dealt trial, or go on with it."""

        def stop() -> None:  # a plain function: wandb copies its settings with all that hangs on them
            self._stopped = True

        told = {name: deal[name] for name in ("arm", "trial", "rank", "fold") if name in deal}
        phase = "confirm" if "fold" in deal else "search"
        about = {
            "project": PROJECT,
            "group": self.manifest["name"],
            "job_type": phase,
            "tags": [deal["arm"]],
            "name": run_name(deal, "-"),
            "id": run_id(self.manifest, deal["trial"], phase),
            "config": config | told,
            "dir": str(self.folder),
            "resume": "allow",
            "reinit": "create_new",
            "settings": SETTINGS | {"stop_fn": stop},
        }
        if self.mode == "online":
            try:
                run = wandb.init(mode="online", **about)
            except Exception as error:  # out of reach, a key that is none, an account that is full, ...
                self._go_offline(wandb, f"cannot log online ({brief(error)})")
            else:
                if self._page is None:
                    self._page = run.project_url
                    say(self.console, f"wandb     {self._page}")
                return run
        return wandb.init(mode="offline", **about)

    def _finish(self, wandb: Any, number: int, failed: bool) -> None:
        try:
            self._runs[number].finish(exit_code=int(failed))
        except TimeoutError:
            self._go_offline(wandb, f"could not upload a run within {FINISH_SECONDS} s")
        else:
            del self._runs[number]

    def _go_offline(self, wandb: Any, why: str) -> None:
        """Log to files from here on. Runs that are open end, and are gone on with there."""
        self.mode = "offline"
        self._tell(f"{why}: the sweep goes on and logs offline; {self._upload}")
        self._end_all(wandb)  # before, wandb would not take the id of a run again

    def _end_all(self, wandb: Any) -> None:
        while self._runs:  # a teardown that finds open runs prints tracebacks
            with suppress(Exception, SystemExit):
                self._runs.popitem()[1].finish(exit_code=1)
        teardown(wandb)

    @property
    def _upload(self) -> str:
        also = "" if self._page is None else "--include-online "
        return f"to upload what is there: wandb sync {also}{shown(self.folder / 'wandb')}"

    def _tell(self, text: str, style: str | None = "yellow") -> None:
        if not self._told:
            say(self.console, f"wandb     {text}", style, whole=True)
        self._told = True


def run_id(manifest: dict[str, Any], number: int, phase: str = "search") -> str:
    """Return the same id for a trial in each run of its sweep, and another one in any other sweep or phase."""
    return hashlib.sha256(f"{manifest['name']} {manifest['created']} {phase} {number}".encode()).hexdigest()[:16]


def brief(error: BaseException) -> str:
    """Return an error's first line without anything that may be a key or a password."""
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {SECRET.sub('***', first)[:200]}"


def teardown(wandb: Any) -> None:
    """End what wandb has running."""
    with suppress(Exception, SystemExit):
        wandb.teardown(exit_code=1)
