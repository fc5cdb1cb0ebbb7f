"""``resnet-edge compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_edge import units
from resnet_edge.cli.binding import Argument
from resnet_edge.cli.console import Json, Terminal, print_json, print_rich_table, print_rows
from resnet_edge.comparison.tolerance import Tolerance

if TYPE_CHECKING:
    from resnet_edge.comparison.rows import Row

Before = Annotated[
    Path,
    Argument("A build folder, or a bench-HOST.json, parity.json or device-HOST.json of one.", "A"),
]
After = Annotated[Path, Argument("The build, or file, that is compared with A.", "B")]


def compare(before: Before, after: After, tolerance: Tolerance, as_json: Json = False) -> None:
    """Compare build B with build A: better, worse or within noise; nothing is run."""
    from resnet_edge.comparison.rows import comparison_rows, summary_rows
    from resnet_edge.steps import compare as step

    comparison = step.compare(before, after, tolerance)
    if as_json:
        print_json(comparison)
    else:
        print_comparison(comparison_rows(comparison))
        print_rows(summary_rows(comparison))
    if not comparison:
        Terminal(quiet=False).warn(
            f"{units.plural(comparison.regressions, 'regression')}: worse by more than is tolerated"
        )
        raise typer.Exit(1)


def print_comparison(rows: tuple[Row, ...]) -> None:
    """Print the table on standard output."""
    from rich.markup import escape
    from rich.table import Table

    from resnet_edge.comparison.differences import Change
    from resnet_edge.comparison.rows import HEADINGS

    styles = {Change.BETTER: "green", Change.WORSE: "bold red", Change.NOISE: "dim"}
    table = Table(header_style="bold")
    for index, title in enumerate(HEADINGS):
        table.add_column(title, justify="right" if 2 <= index <= 5 else "left", overflow="fold")
    for row in rows:
        style = styles.get(row.change) if row.change else None
        *cells, word = (escape(cell) for cell in row.cells)
        last = f"[{style}]{word}[/]" if style else word
        table.add_row(*cells, last, end_section=row.ends)
    print_rich_table(table)
