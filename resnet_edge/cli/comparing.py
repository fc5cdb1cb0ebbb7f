"""The command that compares two builds: compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from resnet_edge import units
from resnet_edge.cli import parameters as p
from resnet_edge.cli.console import Terminal, print_json, print_rows
from resnet_edge.comparison import Change, Tolerance
from resnet_edge.comparison.rows import HEADINGS, Row, comparison_rows, summary_rows

_TOLERANCE = Tolerance()
_STYLES = {Change.BETTER: "green", Change.WORSE: "bold red", Change.NOISE: "dim"}

Before = Annotated[
    Path,
    typer.Argument(
        help="A build folder, or a bench-HOST.json, parity.json or device-HOST.json of one.",
        metavar="A",
        show_default=False,
    ),
]
After = Annotated[
    Path, typer.Argument(help="What is compared with A.", metavar="B", show_default=False)
]
Share = Annotated[
    float,
    typer.Option(
        help="Exit 1 where latency, size or memory is worse by more than this share of A's, and "
        "by more than noise."
    ),
]
AccuracyShare = Annotated[
    float,
    typer.Option(
        help="Exit 1 where top-1 or agreement is proven worse and by more than this share: 0.01 is "
        f"one point. An SQNR lower by more than {_TOLERANCE.sqnr_db:g} dB and a gate that fails "
        "where it did not are always a regression."
    ),
]


def compare(
    before: Before,
    after: After,
    tolerance: Share = _TOLERANCE.share,
    accuracy_tolerance: AccuracyShare = _TOLERANCE.accuracy,
    as_json: p.Json = False,
) -> None:
    """What got better, worse or stayed within noise from build A to build B; nothing is run."""
    from resnet_edge.steps.compare import compare as compare_builds

    comparison = compare_builds(before, after, Tolerance(tolerance, accuracy_tolerance))
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
    table = Table(header_style="bold")
    for index, title in enumerate(HEADINGS):
        table.add_column(title, justify="right" if 2 <= index <= 5 else "left", overflow="fold")
    for row in rows:
        style = _STYLES.get(row.change)
        *cells, word = (escape(cell) for cell in row.cells)
        last = f"[{style}]{word}[/]" if style else word
        table.add_row(*cells, last, end_section=row.ends)
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)
