"""A comparison as a table for people, with a summary in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from resnet_edge import units
from resnet_edge.comparison.compare_builds import ArtifactComparison, Comparison, VerdictChange
from resnet_edge.comparison.differences import SHARES, Change, Difference, Figure

HEADINGS = ("artifact", "figure", "A", "B", "change", "95 % interval", "")

_QUIET = (Figure.MEMORY, Figure.LOAD)
"""Figures that are shown only if their change is more than noise."""

_SHOWN: dict[Figure, Callable[[float], str]] = {
    Figure.TOP1: units.percent,
    Figure.AGREEMENT: units.percent,
    Figure.SQNR: units.decibels,
    Figure.SIZE: lambda value: units.size(round(value)),
    Figure.LATENCY: lambda value: f"{units.milliseconds(value)} ms",
    Figure.MEMORY: lambda value: units.size(round(value)),
    Figure.LOAD: lambda value: f"{units.milliseconds(value)} ms",
}


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    cells: tuple[str, ...]
    """In the order of ``HEADINGS``."""
    change: Change
    ends: bool
    """True if the next line is another artifact's."""


def comparison_rows(comparison: Comparison) -> tuple[Row, ...]:
    """Return the table's lines, artifact by artifact; memory and load time where they changed."""
    rows: list[Row] = []
    for artifact in comparison.artifacts:
        lines = list(_artifact_lines(artifact))
        for index, (cells, change) in enumerate(lines):
            name = "" if index else artifact.name
            rows.append(Row((name, *cells), change, ends=index == len(lines) - 1))
    return tuple(rows)


def _artifact_lines(artifact: ArtifactComparison) -> Iterator[tuple[tuple[str, ...], Change]]:
    for verdict in artifact.verdicts:
        named = _named("verdict", verdict.where)
        words = (named, verdict.a.value, verdict.b.value, "", "", _judged(verdict))
        yield words, verdict.change
    for each in artifact.differences:
        if _is_shown(each):
            show = _SHOWN[each.figure]
            figures = (show(each.a), show(each.b), amount_words(each), _interval_words(each))
            yield (_figure(each, artifact), *figures, _judged(each)), each.change


def _is_shown(difference: Difference) -> bool:
    return difference.figure not in _QUIET or difference.change in (Change.BETTER, Change.WORSE)


def _figure(difference: Difference, artifact: ArtifactComparison) -> str:
    words = difference.figure.value
    if difference.threads is not None:
        runtimes = {each.runtime for each in artifact.differences if each.runtime}
        runtime = f"{difference.runtime}, " if len(runtimes) > 1 else ""
        words += f", {runtime}{units.plural(difference.threads, 'thread')}"
    return _named(words, difference.where)


def _named(words: str, where: str) -> str:
    return f"{words} ({where})" if where else words


def _judged(part: Difference | VerdictChange) -> str:
    return f"{part.change.value}: regression" if part.regression else part.change.value


def amount_words(difference: Difference) -> str:
    """Return a figure's change with its unit and sign."""
    amount = difference.amount
    if difference.figure is Figure.SQNR:
        if not math.isfinite(amount):
            return "" if math.isnan(amount) else f"{'+' if amount > 0 else '−'}∞ dB"
        return f"{_signed(amount, 1)} dB"
    return "" if math.isnan(amount) else f"{_bare(difference, amount)} {_unit(difference)}"


def _interval_words(difference: Difference) -> str:
    interval = difference.interval
    if interval is None:
        return ""
    low, high = _bare(difference, interval.low), _bare(difference, interval.high)
    return f"{low} to {high} {_unit(difference)}"


def _unit(difference: Difference) -> str:
    return "points" if difference.figure in SHARES else "%"


def _bare(difference: Difference, share: float) -> str:
    return units.points(share) if difference.figure in SHARES else _signed(share * 100, 1)


def _signed(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    if not float(text):
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def summary_rows(comparison: Comparison) -> tuple[tuple[str, str], ...]:
    """Return the changes, the artifacts of one build only and the notes, as label and text."""
    rows: list[tuple[str, str]] = []
    for label, change in (("better", Change.BETTER), ("worse", Change.WORSE)):
        rows += [(label, words) for words in _changes(comparison, change)]
    parts = [each for artifact in comparison.artifacts for each in artifact.differences]
    noise = sum(each.change is Change.NOISE for each in parts)
    same = sum(each.change is Change.SAME for each in parts)
    rows.append(("no change", f"{units.plural(noise, 'figure')} within noise, {same:,} the same"))
    for label, names in (("only in A", comparison.only_a), ("only in B", comparison.only_b)):
        if names:
            rows.append((label, ", ".join(names)))
    rows += [("note", note) for note in comparison.notes]
    return tuple(rows)


def _changes(comparison: Comparison, change: Change) -> Iterator[str]:
    for artifact in comparison.artifacts:
        for verdict in artifact.verdicts:
            if verdict.change is change:
                mark = " (regression)" if verdict.regression else ""
                named = _named("verdict", verdict.where)
                yield f"{artifact.name} {named}: {verdict.a.value} to {verdict.b.value}{mark}"
        for each in artifact.differences:
            if each.change is change:
                words = amount_words(each) or f"to {_SHOWN[each.figure](each.b)}"
                mark = "; regression" if each.regression else ""
                yield f"{artifact.name} {_figure(each, artifact)}: {words} ({each.basis}{mark})"
