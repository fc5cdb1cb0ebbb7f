"""``resnet-edge parity``."""

from __future__ import annotations

import itertools
from typing import Annotated

from resnet_edge import units
from resnet_edge.cli.binding import only
from resnet_edge.cli.console import Json, Terminal, print_json, print_rows, print_table
from resnet_edge.cli.verdict import AllowInconclusive, exit_with
from resnet_edge.ondevice.measurements import worst_verdict
from resnet_edge.options import Options
from resnet_edge.robustness.record import CorruptionResult


def parity(
    options: Annotated[
        Options,
        only("out", "formats", "also_in", "gates.fp32_agreement", "gates.fp32_max_logit"),
        only("gates.fp16_agreement", "gates.int8_accuracy", "gates.confidence"),
        only("robustness", "scale"),
        only("gates.max_ece_increase", "gates.max_class_loss"),
    ],
    allow_inconclusive: AllowInconclusive = False,
    as_json: Json = False,
) -> None:
    """Hold every artifact against the reference, in its real runtime: OUT/results/parity.json."""
    from resnet_edge.ondevice.parity.findings import find_harm
    from resnet_edge.steps import parity as step

    compared = step.parity(options, Terminal(quiet=as_json))
    result, corrupted = compared.result, compared.corruptions
    if as_json:
        print_json(result)
    else:
        rows = [(a.name, a) for a in result.artifacts]
        rows += [(f"{a.name} in {a.runtime}", a) for a in result.elsewhere]
        gates = [(name, a.answers_gate) for name, a in rows]
        print_rows([(name, f"{gate.verdict.value}: {gate.reason}") for name, gate in gates])
        for sentence in itertools.chain.from_iterable(map(find_harm, result.artifacts)):
            print(f"Finding: {sentence}")
        if corrupted is not None:
            print_corrupted(corrupted)
    verdicts = [a.answers_gate.verdict for a in result.artifacts]
    verdicts += [each.gate.verdict for each in corrupted.failed] if corrupted else []
    exit_with(worst_verdict(verdicts), allow_inconclusive)


def print_corrupted(result: CorruptionResult) -> None:
    """Print top-1 under each corruption, with the points to the reference's, and what failed."""
    headings = ("artifact", *(each.corruption.value for each in result.references))
    rows = [("reference", *(units.percent(each.top1) for each in result.references))]
    for name in dict.fromkeys(each.name for each in result.artifacts):
        cells = (
            f"{units.percent(each.top1)} "
            f"({units.points(each.top1 - result.reference_under(each.corruption).top1)}) "
            f"{each.gate.verdict.value}"
            for each in result.of(name)
        )
        rows.append((name, *cells))
    print_table(headings, rows)
    print_rows(
        [(f"{e.name} under {e.corruption.value}", f"fail: {e.gate.reason}") for e in result.failed]
    )
