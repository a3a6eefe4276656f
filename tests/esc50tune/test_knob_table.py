"""The README's list of knobs says what the configuration says."""

from __future__ import annotations

from pathlib import Path

from esc50tune.config import TrialConfig
from esc50tune.knob_table import knob_table, with_table

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_lists_every_knob_as_it_is() -> None:
    assert with_table(README.read_text()) == README.read_text(), "run: python -m esc50tune.knob_table README.md"
    assert knob_table() in README.read_text()


def test_every_knob_has_a_row_with_its_default_range_unit_and_source() -> None:
    rows = {line.split("`")[1]: line for line in knob_table().splitlines() if line.startswith("| `")}
    assert set(rows) == set(TrialConfig.model_fields)
    assert rows["gain_db"].startswith("| `gain_db` | 0 | ≥ 0, ≤ 40 | dB |  | largest gain")
    assert "| 0.001 | > 0, ≤ 1 |  | 0.0002 to 0.005, log |" in rows["lr"]
    assert "| published | seed or published |" in rows["convnext_form"]
    assert "ACDNet" in rows["dropout"]
