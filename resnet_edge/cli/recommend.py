"""``resnet-edge recommend``."""

from __future__ import annotations

from typing import Annotated

import typer

from resnet_edge.cli.binding import only
from resnet_edge.cli.console import Json, Terminal, print_json, print_rows, print_table
from resnet_edge.ondevice.option import Option
from resnet_edge.options import Options

AlsoInconclusive = Annotated[
    bool,
    Option("Choose also among artifacts whose gate needs more pictures to decide.", "Gates"),
]


def recommend(
    options: Annotated[
        Options, only("out", "formats", "bench.spec", "bench.threads", "gates.max_p90_ms")
    ],
    allow_inconclusive: AlsoInconclusive = False,
    as_json: Json = False,
) -> None:
    """The file to take on this machine, and why: the fastest, the smallest, the trade-offs."""
    from resnet_edge.recommendation.rows import HEADINGS, choice_rows, verdict_rows
    from resnet_edge.steps import recommend as step

    terminal = Terminal(quiet=as_json)
    recommendation = step.recommend(options, terminal, allow_inconclusive=allow_inconclusive)
    if as_json:
        print_json(recommendation)
    else:
        if recommendation:
            print_table(HEADINGS, choice_rows(recommendation))
        print_rows(verdict_rows(recommendation))
    if not recommendation:
        Terminal(quiet=False).warn("no artifact can be recommended: none holds its gates here")
        raise typer.Exit(1)
