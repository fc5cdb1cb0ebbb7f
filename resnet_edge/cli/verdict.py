"""From a verdict to the exit code."""

from __future__ import annotations

from typing import Annotated

import typer

from resnet_edge.cli.console import Terminal
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.ondevice.option import Option

AllowInconclusive = Annotated[
    bool,
    Option("Exit 0 also where a gate needs more pictures, or queries, to decide.", "Gates"),
]


def exit_with(verdict: Verdict, allowed: bool, missing: str = "test pictures") -> None:
    """Exit 1 where a gate fell, or could not be decided and that was not allowed."""
    if verdict is Verdict.FAIL:
        raise typer.Exit(1)
    if verdict is Verdict.INCONCLUSIVE and not allowed:
        Terminal(quiet=False).warn(
            f"some gates are inconclusive: add {missing}, or pass --allow-inconclusive"
        )
        raise typer.Exit(1)
