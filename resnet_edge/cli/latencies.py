"""What `bench` found, as lines on standard output."""

from __future__ import annotations

from resnet_edge import units
from resnet_edge.cli.console import print_rows
from resnet_edge.ondevice.measurements import ArtifactBench, BenchResult, Latency, Verdict
from resnet_edge.reporting.measuring_conditions import condition_lines


def print_bench(result: BenchResult) -> None:
    """Print every latency, the verdicts of the limits that were given, and the conditions."""
    print_rows([row for bench in result.artifacts for row in bench_rows(bench)])
    if lines := condition_lines(result.artifacts):
        print()
        print_rows(lines)


def bench_rows(bench: ArtifactBench) -> tuple[tuple[str, str], ...]:
    """Return label and text: a line per thread count, and one for the gate where there is one."""
    rows = [(bench.name, _latency_words(latency)) for latency in bench.latencies]
    if bench.gate.verdict is not Verdict.NOT_CHECKED:
        rows.append((bench.name, f"{bench.gate.verdict.value}: {bench.gate.reason}"))
    return tuple(rows)


def _latency_words(latency: Latency) -> str:
    p50, p90, p97 = map(units.milliseconds, (latency.p50_s, latency.p90_s, latency.p97_s))
    bound_s = latency.p90_bound_s
    bound = "" if bound_s is None else f" (at most {units.milliseconds(bound_s)}, 99 % sure)"
    queries = units.plural(len(latency.samples_s), "query")
    return (
        f"{units.plural(latency.threads, 'thread')}: p50 {p50} ms, p90 {p90}{bound}, p97 {p97}, "
        f"first {units.milliseconds(latency.first_s)}; {queries}"
    )
