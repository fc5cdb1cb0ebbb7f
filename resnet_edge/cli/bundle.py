"""``resnet-edge bundle``."""

from __future__ import annotations

from typing import Annotated

from resnet_edge import units
from resnet_edge.cli.binding import only
from resnet_edge.cli.console import Json, Terminal, out_words, print_json, print_rows
from resnet_edge.options import Options


def bundle(
    options: Annotated[Options, only("out", "formats", "bundle", "gates")],
    as_json: Json = False,
) -> None:
    """Pack artifacts, runner and test pictures for a device: OUT/resnet-edge-device.pyz."""
    from resnet_edge.steps import bundle as step

    made = step.bundle(options, Terminal(quiet=as_json))
    if as_json:
        print_json(made)
        return
    there = out_words(options)
    print(f"{made.path}: {units.size(made.bytes)}, sha256 {made.sha256}")
    print_rows([("artifacts", ", ".join(made.artifacts)), ("pictures", str(made.images))])
    # Not folded: these lines are there to be copied.
    print(f"on the device: python3 {made.path.name} run --out result.json")
    print(f"back here: resnet-edge report --device result.json{there}")
