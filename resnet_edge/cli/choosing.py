"""The command that chooses: recommend."""

from __future__ import annotations

from pathlib import Path

import typer

from resnet_edge.cli import parameters as p
from resnet_edge.cli.console import Terminal, print_json, print_rows, print_table
from resnet_edge.cli.settings import present_formats
from resnet_edge.ondevice.latency.measure import LatencySpec
from resnet_edge.ondevice.latency.threads import parse_threads
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.options import BenchOptions, Options

_LATENCY = LatencySpec()
BUILD = Path("build")


def recommend(
    out: p.Out = BUILD,
    formats: p.Formats = "",
    threads: p.RecommendedThreads = None,
    max_p90_ms: p.MaxP90Ms = None,
    allow_inconclusive: p.RecommendInconclusive = False,
    min_seconds: p.MinSeconds = _LATENCY.min_seconds,
    min_queries: p.MinQueries = _LATENCY.min_queries,
    as_json: p.Json = False,
) -> None:
    """Which file to take on this machine, and why: the fastest, the smallest, the trade-offs."""
    from resnet_edge.recommendation.rows import HEADINGS, choice_rows, verdict_rows
    from resnet_edge.steps.recommend import recommend as choose

    options = Options(
        out=out,
        formats=present_formats(out, formats),
        gates=Gates(max_p90_ms=max_p90_ms),
        bench=BenchOptions(LatencySpec(min_seconds, min_queries), parse_threads(threads)),
    )
    terminal = Terminal(quiet=as_json)
    recommendation = choose(options, terminal, allow_inconclusive=allow_inconclusive)
    if as_json:
        print_json(recommendation)
    else:
        if recommendation:
            print_table(HEADINGS, choice_rows(recommendation))
        print_rows(verdict_rows(recommendation))
    if not recommendation:
        Terminal(quiet=False).warn("no artifact can be recommended: none holds its gates here")
        raise typer.Exit(1)
