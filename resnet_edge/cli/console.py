"""Output for people and machines: progress on standard error, results on standard output."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from resnet_edge.display import Advance
from resnet_edge.ondevice.option import Option
from resnet_edge.ondevice.terminal import json_text
from resnet_edge.options import Options

VERDICT_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}
"""The look of each verdict in a table."""

Json = Annotated[bool, Option("Print the result as JSON.", "Build", flag="--json", one_call=True)]


class Terminal:
    """A display on standard error: bars on a terminal, plain lines elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=quiet)

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a line that stands out."""
        self.console.print(text, markup=False, style="yellow", soft_wrap=True)

    @contextlib.contextmanager
    def bar(self, title: str) -> Iterator[Advance]:
        """Draw a bar while the context lasts; without a terminal draw none."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(
            *columns, console=self.console, transient=True, disable=not self.console.is_terminal
        ) as progress:
            task = progress.add_task(title, total=None)

            def advance(done: int, total: int, words: str = "") -> None:
                text = f"{title}: {words}" if words else title
                progress.update(task, completed=done, total=total, description=escape(text))

            yield advance


def out_words(options: Options) -> str:
    """Return the option that names the build in a line to copy; empty for the default one."""
    return "" if options.out == Options().out else f" --out {shlex.quote(str(options.out))}"


def print_json(record: object) -> None:
    """Print a record as JSON on standard output."""
    print(json_text(record, indent=1))


def print_rich_table(table: Table) -> None:
    """Print a table on standard output: as wide as the terminal, or 120 columns in a file."""
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Print label and text, one pair a line."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in rows:
        table.add_row(label, text)
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 140).print(table)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on standard output: names to the left, figures to the right."""
    table = Table(header_style="bold")
    for index, title in enumerate(headings):
        figures = all(_is_figure(row[index]) for row in rows)
        table.add_column(title, justify="right" if figures else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    print_rich_table(table)


def _is_figure(cell: str) -> bool:
    return cell[:1].isdigit()
