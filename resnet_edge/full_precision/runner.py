"""The command that a pack runs: ``KERAS_BACKEND=torch python resnet-edge-reference.pyz``.

Needs Keras, one of its backends and NumPy. The answers are those of ``resnet-edge reference``,
because the same code computes them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_edge.display import Advance
from resnet_edge.errors import translate
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.option import declared_option
from resnet_edge.ondevice.terminal import accept_any_text

if TYPE_CHECKING:
    from resnet_edge.ondevice.reference_file import Reference


class _Lines:
    """A display of plain lines on standard error."""

    def say(self, text: str) -> None:
        print(text, file=sys.stderr)

    def warn(self, text: str) -> None:
        print(f"warning: {text}", file=sys.stderr)

    @contextlib.contextmanager
    def bar(self, title: str) -> Iterator[Advance]:
        self.say(title)
        yield lambda done, total, words="": None


def main(arguments: list[str], pack: Path | None = None) -> int:
    """Answer the pack's questions and write the answers.

    Args:
        arguments: Without the program's name.
        pack: The pack; None takes the file that Python runs.

    Returns:
        0 done, 1 it failed, 2 wrong usage, 130 interrupted.
    """
    accept_any_text()
    options = _parser().parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        reference = _run(options, pack or Path(sys.argv[0]))
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    except Exception as problem:
        if options.debug:
            raise
        error = translate(problem)
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    info, out = reference.info, options.out
    print(
        f"{out}: {len(info.hashes)} pictures, {info.device}, {info.backend}, "
        f"p50 {info.latency.p50_s * 1e3:.3g} ms\n"
        f"put it into the build with: resnet-edge reference --from {out.name}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Full-precision answers on this machine's best device, for `resnet-edge "
        "reference --from`. KERAS_BACKEND=tensorflow|jax|torch chooses what computes."
    )
    parser.add_argument(
        "--out", type=Path, default=Path("reference.npz"), help="file for the answers"
    )
    parser.add_argument("--batches", help="batch sizes of the throughput, separated by commas")
    for name in ("min_seconds", "min_queries"):
        each = declared_option(LatencySpec, name)
        parser.add_argument(each.flag, type=each.kind, default=each.default, help=each.option.help)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _run(options: argparse.Namespace, pack: Path) -> Reference:
    from resnet_edge.full_precision.backend import keras_backend, set_environment
    from resnet_edge.full_precision.compute import Measuring, answer_questions, open_network
    from resnet_edge.full_precision.pack import open_pack
    from resnet_edge.ondevice.latency.counts import parse_batches
    from resnet_edge.ondevice.reference_file import write_reference

    spec = LatencySpec(options.min_seconds, options.min_queries)
    batches = None if options.batches is None else parse_batches(options.batches)
    os.environ["KERAS_BACKEND"] = keras_backend()
    set_environment()
    with tempfile.TemporaryDirectory() as folder:
        opened = open_pack(pack, Path(folder))
        display = _Lines()
        reference = answer_questions(
            open_network(opened.model, opened.questions, display),
            opened.questions,
            lambda _: opened.pixels,
            Measuring(spec, batches),
            display,
        )
        write_reference(options.out, reference)
    return reference
