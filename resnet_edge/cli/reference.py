"""``resnet-edge reference``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from resnet_edge import units
from resnet_edge.cli.binding import only
from resnet_edge.cli.console import Json, Terminal, print_json
from resnet_edge.cli.export import Model
from resnet_edge.errors import UsageError
from resnet_edge.ondevice.option import Option
from resnet_edge.options import Options

if TYPE_CHECKING:
    from resnet_edge.steps.reference_pack import Packed

Pack = Annotated[
    bool,
    Option(
        "Write OUT/resnet-edge-reference.pyz, which answers on another machine, and stop.",
        "Build",
        one_call=True,
    ),
]
From = Annotated[
    Path | None,
    Option(
        "Take the answers that such a file wrote on another machine, after checks.",
        "Build",
        flag="--from",
        metavar="FILE",
        one_call=True,
    ),
]


def reference(
    options: Annotated[
        Options,
        only("out", "data.test", "data.fit", "data.image_size", "data.skip_unreadable"),
        only("model.preprocessing", "model.labels", "bench.spec", "bench.batches"),
        only("robustness", "scale"),
    ],
    model: Model = None,
    pack: Pack = False,
    from_: From = None,
    as_json: Json = False,
) -> None:
    """The full-precision model's answers on this machine's best device: OUT/reference.npz.

    Where the GPU is in another machine: --pack here, run the file there, --from here.
    """
    from resnet_edge.steps import reference as step
    from resnet_edge.steps import reference_pack

    if pack and from_ is not None:
        raise UsageError(
            "--pack and --from: got both; expected one, since each is a step of its own"
        )
    if options.robustness.chosen and (pack or from_ is not None):
        flag = "--pack" if pack else "--from"
        raise UsageError(
            f"{flag} and --corruptions: got both; a pack answers clean pictures alone; answer the "
            "corrupted ones here, by a call of its own with --corruptions"
        )
    display = Terminal(quiet=as_json)
    if pack:
        print_packed(reference_pack.pack_reference(options, model, display), as_json)
        return
    if from_ is not None:
        info = reference_pack.adopt_reference(options, from_, model, display).info
    else:
        info = step.reference(options, model, display).reference.info
    if as_json:
        print_json(info)
    else:
        print(
            f"{options.layout.reference}: {units.plural(len(info.hashes), 'picture')}, "
            f"{info.device}, {info.backend}, p50 {units.milliseconds(info.latency.p50_s)} ms"
        )


def print_packed(packed: Packed, as_json: bool) -> None:
    """Print what was packed and what to do with it."""
    if as_json:
        print_json(packed)
        return
    name = packed.path.name
    print(
        f"{packed.path}: {units.size(packed.bytes)}, {units.plural(packed.pictures, 'picture')}, "
        f"sha256 {packed.sha256}\n"
        f"on the other machine: KERAS_BACKEND=torch python {name} --out reference.npz\n"
        "then here: the same command with --from reference.npz in place of --pack"
    )
