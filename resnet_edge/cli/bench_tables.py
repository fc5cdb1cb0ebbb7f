"""The latencies that ``bench`` measured, and the operators' share of them, on standard output."""

from __future__ import annotations

from resnet_edge import units
from resnet_edge.cli.console import print_rows, print_table
from resnet_edge.ondevice.latency.profiling import by_layer
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    BenchResult,
    Latency,
    OperatorProfile,
    ProfileResult,
    Verdict,
)
from resnet_edge.reporting.measuring_conditions import condition_lines

TOP = 10
"""The number of layers that are shown; the file has every operator."""

HEADINGS = ("layer", "operators", "ms", "share")


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
    if latency.queries_per_sample > 1:
        means = units.plural(len(latency.samples_s), "mean")
        queries = f"{means} of {latency.queries_per_sample} queries"
    return (
        f"{units.plural(latency.threads, 'thread')}: p50 {p50} ms, p90 {p90}{bound}, p97 {p97}, "
        f"first {units.milliseconds(latency.first_s)}; {queries}"
    )


def print_profiles(result: ProfileResult) -> None:
    """Print the slowest layers of each artifact, or why they are not known."""
    for artifact in result.artifacts:
        for profile in artifact.profiles:
            total = units.milliseconds(profile.total_s)
            print(
                f"\n{artifact.name}, {profile.runtime}, {units.plural(profile.threads, 'thread')}: "
                f"{units.plural(len(profile.operators), 'operator')}, {total} ms in all"
            )
            print_table(HEADINGS, layer_rows(profile))
    unknown = [
        (a.name, f"not profiled: {a.unavailable}") for a in result.artifacts if a.unavailable
    ]
    print_rows(unknown)


def layer_rows(profile: OperatorProfile) -> tuple[tuple[str, ...], ...]:
    """Return a line for each of the slowest layers, and one for all others together."""
    layers = by_layer(profile.operators)
    rows = [
        (
            layer.layer or f"({layer.node})",
            layer.operator,
            units.milliseconds(layer.median_s),
            units.percent(layer.share, 1),
        )
        for layer in layers[:TOP]
    ]
    if rest := layers[TOP:]:
        time_s, share = sum(x.median_s for x in rest), sum(x.share for x in rest)
        name = f"{units.plural(len(rest), 'other')}"
        rows.append((name, "", units.milliseconds(time_s), units.percent(share, 1)))
    return tuple(rows)
