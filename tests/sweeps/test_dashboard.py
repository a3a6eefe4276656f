"""The Ray dashboard as a user opens it: in a browser, at the address that a sweep prints, with the token it names."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page, expect, sync_playwright

from tests.sweeps.scripts import ROOT, SETTINGS, command, slowed, start

SECONDS = 30.0  # that the dashboard may take to show what is there


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of a browser without a window."""
    names = ("chromium", "chromium-browser", "google-chrome")
    installed = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        except Error:
            pytest.skip("no Chromium here to look at the dashboard with: `playwright install chromium`")
        page = browser.new_page(viewport={"width": 1600, "height": 1200})
        page.set_default_timeout(1e3 * SECONDS)
        yield page
        browser.close()


@pytest.mark.slow
def test_the_printed_address_opens_with_the_named_token_and_shows_trials_by_name(
    tones_folder: Path, tmp_path: Path, page: Page
) -> None:
    settings = SETTINGS | {"epochs": 1_000}  # it is interrupted before
    more = ["--arms", "convnext,mixup", "--num-samples", "2", "--max-concurrent", "2", "--scheduler", "none"]
    sweep = start(*command(tones_folder, tmp_path, *more, settings=settings), env=slowed(tmp_path, 0.2))
    try:
        said = next(line for line in sweep.stdout if line.startswith("dashboard"))
        address, how = re.fullmatch(r"dashboard (\S+) \(token: `(.+)`\)\n", said).groups()
        token = subprocess.check_output(how, shell=True, text=True, cwd=ROOT).strip()
        page.goto(address)
        page.get_by_role("dialog").locator("input").fill(token)
        page.get_by_role("button", name="Submit").click()
        expect(page.get_by_role("dialog")).to_have_count(0, timeout=1e3 * SECONDS)
        page.goto(f"{address}/#/jobs/01000000")
        page.get_by_text("Task Table").click()
        for run in ("convnext/0000", "mixup/0001"):
            expect(page.get_by_text(run).first).to_be_visible(timeout=1e3 * SECONDS)
        page.goto(f"{address}/#/actors")
        expect(page.get_by_text("run_trial")).to_have_count(2, timeout=1e3 * SECONDS)
    finally:
        os.killpg(sweep.pid, signal.SIGINT)
        sweep.communicate(timeout=60)
    assert sweep.returncode == 130
