"""``resnet-edge compress``."""

from __future__ import annotations

from typing import Annotated

import typer

from resnet_edge.cli.binding import only
from resnet_edge.cli.console import Json, Terminal, print_json, print_table
from resnet_edge.cli.export import Model
from resnet_edge.cli.verdict import AllowInconclusive, exit_with
from resnet_edge.options import Options


def compress(
    options: Annotated[
        Options,
        only("out", "formats", "rewrites", "compression", "gates.max_p90_ms"),
        only("gates.int8_accuracy", "gates.confidence", "data.test", "data.fit"),
        only("data.image_size", "data.skip_unreadable", "calibration", "model.preprocessing"),
        only("model.labels", "quantization", "bench.spec", "bench.threads"),
    ],
    model: Model = None,
    allow_inconclusive: AllowInconclusive = False,
    as_json: Json = False,
) -> None:
    """Find the network that fits a latency, a size or a loss: OUT/compressed, with the front.

    Input size, width, precision, runtime and threads are searched; each candidate is measured and
    compared with the model. A search that is interrupted goes on with the next call.
    """
    from resnet_edge.compression.words import ENTRY_HEADINGS, answer, entry_rows
    from resnet_edge.reporting.write_front import front_json
    from resnet_edge.steps import compress as step

    terminal = Terminal(quiet=as_json)
    found = step.compress(options, model, terminal)
    front = found.front
    if as_json:
        print_json({**front_json(front), "answer": answer(front), "path": found.path})
    else:
        print_table(ENTRY_HEADINGS, entry_rows(front.unbeaten))
        for sentence in answer(front):
            print(sentence)
        if found.path is not None:
            print(f"file: {found.path}")
        print(f"front: {found.page}")
    if not found.is_over:
        terminal.warn("the minutes are over: what was found by now; the same command goes on")
    if front.chosen is None:
        raise typer.Exit(1)
    exit_with(front.chosen.verdict, allow_inconclusive)
