"""``resnet-edge recommend``."""

from __future__ import annotations

from pathlib import Path
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

OnDevice = Annotated[
    Path | None,
    Option(
        "Result of a device that ran a bundle of the model, or of a browser: the choice counts "
        "there, and nothing is measured.",
        "Device",
        metavar="FILE",
        one_call=True,
    ),
]


def recommend(
    options: Annotated[
        Options,
        only("out", "formats", "bench.spec", "bench.threads"),
        only("gates.max_p90_ms", "gates.max_latency_ratio"),
    ],
    on_device: OnDevice = None,
    allow_inconclusive: AlsoInconclusive = False,
    as_json: Json = False,
) -> None:
    """The file to take here, or on a device, and why: the fastest, the smallest, the trade-offs."""
    from resnet_edge.recommendation.rows import HEADINGS, choice_rows, verdict_rows
    from resnet_edge.steps import recommend as step

    terminal = Terminal(quiet=as_json)
    recommendation = step.recommend(
        options, terminal, allow_inconclusive=allow_inconclusive, on_device=on_device
    )
    if as_json:
        print_json(recommendation)
    else:
        if recommendation:
            print_table(HEADINGS, choice_rows(recommendation))
        print_rows(verdict_rows(recommendation))
    if not recommendation:
        where = f"there ({recommendation.machine.host})" if on_device else "here"
        Terminal(quiet=False).warn(f"no artifact can be recommended: none holds its gates {where}")
        raise typer.Exit(1)
