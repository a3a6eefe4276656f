"""The report: one page that can be sent, the same as Markdown, and its tables and figures as files."""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from analysis.alerts import alerts
from analysis.answers import Answer, answers, headline
from analysis.caption import selected_on
from analysis.errors import ResultsError
from analysis.facts import facts
from analysis.figures import Figure, make_figures
from analysis.load import Results
from analysis.render import as_markdown
from analysis.side_by_side import joined_table
from analysis.study import Study, write_table_files

TEMPLATES = Path(__file__).parent / "templates"
PAGES = ("index.html", "report.md")


@dataclass(frozen=True)
class Section:
    """What the pages tell of a sweep, in their order."""

    name: str
    headline: str
    alerts: list[str]
    answers: list[Answer]
    next_commands: list[str]
    selected_on: list[str]
    facts: list[tuple[str, str]]
    study: Study
    figures: list[Figure]


def write_report(studies: list[Study], folder: Path) -> Path:
    """Write the report of one sweep, or of several side by side, as `folder`; return its page.

    It replaces an earlier report in one step, so that an interrupt leaves either the old one or the new one.

    Raises:
        ResultsError: the folder is no report, or nothing can be written there.
    """
    folder = folder.absolute()
    fresh = folder.parent / f".{folder.name}-{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)  # of a process that was killed
    try:
        if folder.exists() and not is_report(folder):
            raise ResultsError(f"'{folder}' is there and is no report: it is not replaced; choose another --out")
        fresh.mkdir(parents=True)
        fill(studies, fresh)
        put_in_place(fresh, folder)
    except OSError as error:
        raise ResultsError(f"cannot write the report '{folder}': {error.strerror}") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder / PAGES[0]


def is_report(folder: Path) -> bool:
    return folder.is_dir() and (not any(folder.iterdir()) or all((folder / page).is_file() for page in PAGES))


def put_in_place(fresh: Path, folder: Path) -> None:
    """Let the new report take the old one's place."""
    old = fresh.with_name(f"{fresh.name}-old")
    try:
        if folder.exists():
            folder.replace(old)
        fresh.replace(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.replace(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def fill(studies: list[Study], folder: Path) -> None:
    """Write everything into a folder; with several sweeps, each has its own below `tables` and `figures`."""
    names = list(distinct(study.results.manifest["name"] for study in studies))
    folders = distinct(re.sub(r"[^\w-]+", "-", name) for name in names) if len(studies) > 1 else [""]
    sections = []
    for name, below, study in zip(names, folders, studies, strict=True):
        write_table_files(study.tables, folder / "tables" / below)
        figures = make_figures(study.results, study.outcome, folder / "figures" / below)
        sections.append(make_section(name, study, figures))
    joined = joined_table(dict(zip(names, studies, strict=True))) if len(studies) > 1 else None
    if joined:
        write_table_files([joined], folder / "tables")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"picture": picture, "markdown": as_markdown}
    for page in PAGES:
        text = environment.get_template(page).render(sections=sections, joined=joined, root=folder)
        (folder / page).write_text(text, encoding="utf-8")


def make_section(name: str, study: Study, figures: list[Figure]) -> Section:
    results, outcome = study.results, study.outcome
    return Section(
        name=name,
        headline=headline(outcome),
        alerts=alerts(results),
        answers=answers(results, outcome),
        next_commands=list(next_commands(results)),
        selected_on=list(selected_on(results)) if outcome else [],
        facts=list(facts(results)),
        study=study,
        figures=figures,
    )


def next_commands(results: Results) -> Iterator[str]:
    """Yield the commands that lead from a search to confirmed runs."""
    folder = shlex.quote(f"results/{results.manifest['name']}")  # a stranger's name may hold a command of the shell
    if results.unended and not results.lost:  # a log that has lost trials cannot be resumed
        script = "architectures" if results.manifest["reference"] is None else "regularization"
        yield f"python sweeps/{script}.py --resume {folder}"
    yield f"python sweeps/confirm.py {folder} --seeds 3"


def distinct(names: Iterable[str]) -> Iterator[str]:
    """Yield the names, with a number behind those that came before."""
    seen: set[str] = set()
    for name in names:
        numbered = (name if number == 1 else f"{name}-{number}" for number in count(1))
        seen.add(free := next(one for one in numbered if one not in seen))
        yield free


def picture(figure: Figure) -> str:
    """Return a figure as an address that holds it whole, so that the page needs no other file."""
    return f"data:image/svg+xml;base64,{base64.b64encode(figure.svg.read_bytes()).decode()}"
