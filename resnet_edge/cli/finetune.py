"""``resnet-edge finetune``."""

from __future__ import annotations

from typing import Annotated

from resnet_edge.cli.binding import only
from resnet_edge.cli.console import Json, Terminal, print_json
from resnet_edge.options import Options


def finetune(
    options: Annotated[
        Options,
        only("out", "data", "model.weights", "model.preprocessing", "training", "calibration"),
        only("scale"),
    ],
    as_json: Json = False,
) -> None:
    """Train a new head (or, without weights, the whole network) on photos: OUT/model.keras."""
    from resnet_edge.steps import finetune as step

    result = step.finetune(options, Terminal(quiet=as_json))
    if as_json:
        print_json(result.record)
    else:
        print(f"{result.model}: {result.record.validation_accuracy:.1%} of the validation pictures")
