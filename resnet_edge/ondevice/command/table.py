"""A device's result as a table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from resnet_edge.ondevice.command.device_result import DeviceResult
from resnet_edge.ondevice.latency.noise import best_latency
from resnet_edge.ondevice.measurements import ArtifactParity, Latency, Verdict, combine_gates
from resnet_edge.ondevice.parity.findings import find_harm

HEADINGS = ("artifact", "verdict", "top-1", "agreement", "SQNR", "p50 / p90 ms (threads)")


def result_lines(result: DeviceResult) -> list[str]:
    """Return the table's lines, then findings, then what is missing with its reason."""
    benches = {bench.name: bench for bench in result.bench.artifacts}
    rows = [HEADINGS]
    for parity in result.parity.artifacts:
        bench = benches.get(parity.name)
        cells = _answers(parity)
        if bench:
            verdict = combine_gates(parity.answers_gate.verdict, bench.gate.verdict)
            cells = (verdict.value, *cells[1:])
        rows.append((parity.name, *cells, _latency(bench.preferred if bench else ())))
    for parity in result.parity.elsewhere:
        bench, runtime = benches.get(parity.name), parity.runtime_name
        latencies = bench.in_runtime(runtime) if bench else ()
        rows.append((f"{parity.name} in {runtime}", *_answers(parity), _latency(latencies)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows]
    lines += [
        f"{bench.name}: latency {bench.gate.verdict.value}: {bench.gate.reason}"
        for bench in result.bench.artifacts
        if bench.gate.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)
    ]
    lines += [f"finding: {words}" for p in result.parity.artifacts for words in find_harm(p)]
    lines += [f"{gone.name}: failed: {gone.reason}" for gone in result.failed]
    lines += [f"{gone.name}: left out: {gone.reason}" for gone in result.left_out]
    if result.emulated:
        lines.append("this processor is emulated: the latencies say nothing of a real one")
    return lines


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
    return f"{best.p50_s * 1e3:.4g} / {best.p90_s * 1e3:.4g} ({best.threads})"
