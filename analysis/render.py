"""A table as Markdown and as CSV."""

from __future__ import annotations

from analysis.table import Column, Table


def as_markdown(table: Table, with_caption: bool = True) -> str:
    """Return the table with its title and caption as Markdown."""
    columns = table.on_paper
    rows = [[cell.replace("|", r"\|") for cell in row] for row in table.cells(columns)]
    rows.insert(0, [column.heading for column in columns])
    widths = [max(3, *map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(aligned, row, widths, columns)) + " |" for row in rows]
    rules = [
        ":" + "-" * (width - 1) if column.words else "-" * (width - 1) + ":"
        for width, column in zip(widths, columns, strict=True)
    ]
    body = "\n".join([lines[0], "| " + " | ".join(rules) + " |", *lines[1:]])
    caption = table.caption.replace("* UNTRAINED", r"\* UNTRAINED")  # at the start of a line it would make a list
    return f"## {table.title}\n\n{body}\n" + f"\n{caption}\n" * with_caption


def as_csv(table: Table) -> str:
    """Return the table as CSV, words before figures; what the figures come from stands in every row."""
    frame = table.frame.reset_index().assign(**table.source)
    if "feature" in frame:
        frame.insert(0, "feature", frame.pop("feature"))
    return frame.to_csv(index=False)


def aligned(cell: str, width: int, column: Column) -> str:
    return cell.ljust(width) if column.words else cell.rjust(width)
