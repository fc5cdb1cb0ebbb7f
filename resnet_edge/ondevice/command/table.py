"""A device's result as a table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from resnet_edge.ondevice.command.device_result import DeviceResult
from resnet_edge.ondevice.latency.noise import best_latency
from resnet_edge.ondevice.latency.words import threads_words
from resnet_edge.ondevice.measurements import (
    ArtifactParity,
    Latency,
    Verdict,
    combine_gates,
    failed_everywhere,
)
from resnet_edge.ondevice.parity.findings import find_harm

HEADINGS = ("artifact", "verdict", "top-1", "agreement", "SQNR", "p50 / p90 ms (threads)")


def result_lines(result: DeviceResult) -> list[str]:
    """Return the table's lines, then findings, then what is missing with its reason."""
    rows = [HEADINGS, *_rows(result)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows]
    lines += [
        f"{bench.name}: latency {bench.gate.verdict.value}: {bench.gate.reason}"
        for bench in result.bench.artifacts
        if bench.gate.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)
    ]
    lines += [f"finding: {words}" for p in result.parity.artifacts for words in find_harm(p)]
    lines += [f"{gone.where}: failed: {gone.reason}" for gone in result.failed]
    lines += [f"{gone.where}: left out: {gone.reason}" for gone in result.left_out]
    if result.emulated:
        lines.append("this processor is emulated: the latencies say nothing of a real one")
    return lines


def _rows(result: DeviceResult) -> Iterator[tuple[str, ...]]:
    """Yield each artifact in its preferred runtime, in further ones, then the ones that failed."""
    parity, benches = result.parity, {bench.name: bench for bench in result.bench.artifacts}
    everything = (*parity.artifacts, *parity.elsewhere)
    lost = failed_everywhere(result.failed, everything, result.bench.artifacts)
    failed = {gone.where: gone for gone in result.failed}
    for main in parity.artifacts:
        bench = benches.get(main.name)
        cells = _answers(main)
        if main.name in lost:
            cells = (Verdict.FAIL.value, *cells[1:])
        elif bench:
            verdict = combine_gates(main.answers_gate.verdict, bench.gate.verdict)
            cells = (verdict.value, *cells[1:])
        yield (main.name, *cells, _latency(bench.preferred if bench else ()))
    for other in parity.elsewhere:
        bench, where = benches.get(other.name), f"{other.name} in {other.runtime_name}"
        cells = _answers(other)
        if where in failed:
            cells = (Verdict.FAIL.value, *cells[1:])
        yield (where, *cells, _latency(bench.in_runtime(other.runtime_name) if bench else ()))
    told = {each.name for each in parity.artifacts if each.name in lost}
    told |= {f"{each.name} in {each.runtime_name}" for each in everything}
    for where in failed:
        if where not in told:
            yield (where, Verdict.FAIL.value, "-", "-", "-", "-")


def _answers(parity: ArtifactParity) -> tuple[str, str, str, str]:
    if not parity.images:
        return parity.answers_gate.verdict.value, "-", "-", "-"
    decibels = "exact" if parity.sqnr_db == math.inf else f"{parity.sqnr_db:.1f} dB"
    verdict = parity.answers_gate.verdict.value
    return verdict, f"{parity.top1:.2%}", f"{parity.agreement:.2%}", decibels


def _latency(latencies: Sequence[Latency]) -> str:
    if not latencies:
        return "-"
    best = best_latency(latencies)
    return f"{best.p50_s * 1e3:.4g} / {best.p90_s * 1e3:.4g} ({threads_words(best)})"
