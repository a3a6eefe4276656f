"""A sweep as it is told: its results, what they say, and its tables in their order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analysis.alerts import alerts
from analysis.confirmed_tables import clean_table, confirmed_tables
from analysis.effort_tables import effort_tables
from analysis.error_tables import error_tables
from analysis.frozen_tables import frozen_tables
from analysis.health import health_checks
from analysis.latex import as_latex
from analysis.load import Results, load_results
from analysis.outcome import Outcome, make_outcome
from analysis.render import as_csv, as_markdown
from analysis.search_tables import search_tables
from analysis.table import Table

FORMS = {"csv": as_csv, "md": as_markdown, "tex": as_latex}


@dataclass(frozen=True)
class Study:
    """Everything that is told of a sweep.

    Attributes:
        main: the tables that answer the question: of the confirmed runs, or of the search where there are none.
        confirmed: further tables of the confirmed runs.
        search: further tables of the search.
        health: what the health checks found.
    """

    results: Results
    outcome: Outcome | None
    main: list[Table]
    confirmed: list[Table]
    search: list[Table]
    health: list[str]

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the main tables, a paragraph each."""
        caption = self.main[0].caption
        unsaid = [sentence for sentence in alerts(self.results) if sentence not in caption]
        return [caption, *unsaid, *(f"Check: {sentence}" for sentence in self.health)]

    @property
    def tables(self) -> list[Table]:
        return [*self.main, *self.confirmed, *self.search]


def read_study(folder: Path) -> Study:
    """Read a results folder.

    Raises:
        ResultsError: it cannot be read.
    """
    results = load_results(folder)
    outcome = make_outcome(results)
    effort, health = effort_tables(results), health_checks(results, outcome)
    if outcome is None:
        return Study(results, None, search_tables(results), [], effort, health)
    main = confirmed_tables(results, outcome)
    confirmed = outcome.confirmed
    further = [
        *frozen_tables(results, confirmed),
        *clean_table(results, outcome),
        *error_tables(results, confirmed),
    ]
    searched = [*search_tables(results, beside_confirmed=True), *effort]
    return Study(results, outcome, main, further, searched, health)


def write_table_files(tables: list[Table], folder: Path) -> None:
    """Write each table in every form into `folder`, each file in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        for ending, form in FORMS.items():
            path = folder / f"{table.name}.{ending}"
            temporary = path.with_name(f".{path.name}")
            temporary.write_text(form(table), encoding="utf-8")
            temporary.replace(path)
