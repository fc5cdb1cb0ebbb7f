"""A recommendation as tables for people."""

from __future__ import annotations

from resnet_edge import units
from resnet_edge.ondevice.latency.words import count_words
from resnet_edge.recommendation.choice import Choice, Recommendation

HEADINGS = (
    "artifact",
    "runtime",
    "threads",
    "p50 / p90 ms",
    "size",
    "agreement",
    "SQNR",
    "beaten by",
)


def choice_rows(recommendation: Recommendation) -> tuple[tuple[str, ...], ...]:
    """Return a line per candidate in the order of ``HEADINGS``, by the median."""
    return tuple(_choice_row(choice) for choice in recommendation.choices)


def _choice_row(choice: Choice) -> tuple[str, ...]:
    return (
        choice.name,
        choice.runtime,
        count_words(choice.threads, choice.queries_per_sample),
        f"{units.milliseconds(choice.p50_s)} / {units.milliseconds(choice.p90_s)}",
        units.size(choice.bytes),
        units.percent(choice.agreement),
        units.decibels(choice.sqnr_db),
        ", ".join(choice.beaten_by) or "none",
    )


def verdict_rows(recommendation: Recommendation) -> tuple[tuple[str, str], ...]:
    """Return the answer, the reasons and what was left out, as label and text."""
    rows: list[tuple[str, str]] = []
    if recommendation:
        alike = recommendation.as_fast
        tie = f" (as fast: {', '.join(alike)})" if alike else ""
        rows = [
            ("fastest", f"{recommendation.fastest}{tie}"),
            ("smallest", str(recommendation.smallest)),
            ("unbeaten", ", ".join(recommendation.front)),
        ]
    why = [("why" if not i else "", text) for i, text in enumerate(recommendation.reasons)]
    out = [("left out", f"{each.name}: {each.reason}") for each in recommendation.left_out]
    return (*rows, *why, *out)
