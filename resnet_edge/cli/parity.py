"""``resnet-edge parity``."""

from __future__ import annotations

from typing import Annotated

from resnet_edge.cli.binding import only
from resnet_edge.cli.console import Json, Terminal, print_json, print_rows
from resnet_edge.cli.verdict import AllowInconclusive, exit_with
from resnet_edge.ondevice.measurements import worst_verdict
from resnet_edge.options import Options


def parity(
    options: Annotated[
        Options,
        only("out", "formats", "gates.fp32_agreement", "gates.fp32_max_logit"),
        only("gates.fp16_agreement", "gates.int8_accuracy", "gates.confidence"),
        only("robustness"),
    ],
    allow_inconclusive: AllowInconclusive = False,
    as_json: Json = False,
) -> None:
    """Hold every artifact against the reference, in its real runtime: OUT/results/parity.json."""
    from resnet_edge.steps import parity as step

    compared = step.parity(options, Terminal(quiet=as_json))
    result, corrupted = compared.result, compared.corruptions
    if as_json:
        print_json(result)
    else:
        rows = [(a.name, a) for a in result.artifacts]
        rows += [(f"{a.name} in {a.runtime}", a) for a in result.elsewhere]
        judged = [(name, a.gate) for name, a in rows]
        if corrupted is not None:
            judged += [
                (f"{each.name} under {each.corruption.value}", each.gate)
                for each in corrupted.artifacts
            ]
        print_rows([(name, f"{gate.verdict.value}: {gate.reason}") for name, gate in judged])
    verdicts = [a.gate.verdict for a in result.artifacts]
    verdicts += [each.gate.verdict for each in corrupted.failed] if corrupted else []
    exit_with(worst_verdict(verdicts), allow_inconclusive)
