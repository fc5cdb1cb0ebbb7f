"""``resnet-edge export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from resnet_edge import units
from resnet_edge.cli.binding import Argument, only
from resnet_edge.cli.console import Json, Terminal, print_json, print_rows
from resnet_edge.options import Options

Model = Annotated[
    Path | None,
    Argument("A .keras classifier. Default: OUT/model.keras.", "MODEL", one_call=False),
]


def export(
    options: Annotated[
        Options,
        only("out", "formats", "rewrites", "data.fit", "data.image_size"),
        only("data.skip_unreadable", "calibration", "scale"),
        only("model.preprocessing", "model.labels", "quantization"),
    ],
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Convert a .keras classifier into every format: OUT/artifacts, each file with its sidecar."""
    from resnet_edge.exporting.failures import one_error
    from resnet_edge.steps import export as step

    done = step.export(options, model, Terminal(quiet=as_json), partial=True)
    artifacts = done.artifacts
    if as_json:
        print_json(tuple(artifact.sidecar for artifact in artifacts))
    else:
        print_rows([(a.name, f"{units.size(a.sidecar.bytes)}  {a.path}") for a in artifacts])
    if not done:
        raise one_error(done.lost)
