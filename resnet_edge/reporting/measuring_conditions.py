"""The machine's conditions while it measured, as a table and as lines for the console."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from resnet_edge import units
from resnet_edge.ondevice.latency.cpu_state import MeasuringConditions
from resnet_edge.ondevice.latency.words import name_measurements
from resnet_edge.ondevice.measurements import ArtifactBench, Latency

NO_CONDITIONS = MeasuringConditions(0.0, ())
"""Stand for a record in which nothing was read."""


@dataclass(frozen=True)
class ConditionTable:
    """A line per measurement; columns that are empty everywhere are left out and named."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    unreadable: tuple[str, ...]

    @property
    def note(self) -> str:
        """Explains the columns, and names those that could not be read."""
        words = [meaning for title, meaning in _MEANINGS if title in self.headings]
        if self.unreadable:
            words.append(f"Not readable on this machine: {', '.join(self.unreadable)}.")
        return " ".join(words)


def build_conditions(benches: Sequence[ArtifactBench]) -> ConditionTable | None:
    """Return the table; None where no measurement has conditions, as in older records."""
    measured = _measured(benches)
    if not measured:
        return None
    cells = {title: [cell(latency) for _, latency in measured] for title, cell in _COLUMNS}
    known = [title for title, column in cells.items() if any(column)]
    rows = tuple(
        (name, str(latency.threads), *(cells[title][i] or units.NOTHING for title in known))
        for i, (name, latency) in enumerate(measured)
    )
    unreadable = tuple(title for title in cells if title not in known)
    return ConditionTable(("artifact", "threads", *known), rows, unreadable)


def condition_lines(benches: Sequence[ArtifactBench]) -> tuple[tuple[str, str], ...]:
    """Return label and text for each condition: every value with the files it is of, or the worst.

    A quantity differs a little from one measurement to the next; the largest one is shown.
    """
    measured = _measured(benches)
    lines: list[tuple[str, str]] = []
    unreadable = []
    for title, cell in _COLUMNS:
        found: dict[str, list[tuple[str, int]]] = {}
        for name, latency in measured:
            if value := cell(latency):
                found.setdefault(value, []).append((name, latency.threads))
        if not found:
            unreadable.append(title)
        elif len(found) == 1:
            lines.append((title, next(iter(found))))
        elif title in _LARGEST:
            name, latency = max(measured, key=lambda each: _LARGEST[title](each[1]))
            worst = name_measurements([(name, latency.threads)])
            lines.append((title, f"{cell(latency)} or less; most with {worst}"))
        else:
            texts = [f"{value}: {name_measurements(files)}" for value, files in found.items()]
            lines += [(title if not i else "", text) for i, text in enumerate(texts)]
    if measured and unreadable:
        lines.append(("not readable here", ", ".join(unreadable)))
    return tuple(lines)


def _measured(benches: Sequence[ArtifactBench]) -> list[tuple[str, Latency]]:
    return [
        (bench.name, latency)
        for bench in benches
        for latency in bench.latencies
        if latency.conditions is not None
    ]


def _seen(latency: Latency) -> MeasuringConditions:
    return latency.conditions or NO_CONDITIONS


def _provider(latency: Latency) -> str:
    provider = latency.provider
    if provider is None or not provider.requested:
        return ""
    return (
        provider.used or f"{provider.requested}: requested; the runtime does not say what it used"
    )


def _cores(latency: Latency) -> str:
    cores = _seen(latency).cores
    return ", ".join(map(str, cores)) if len(cores) <= 8 else f"{cores[0]} to {cores[-1]}"


def _governor(latency: Latency) -> str:
    return ", ".join(dict.fromkeys(c.governor for c in _seen(latency).clocks if c.governor))


def _clock(latency: Latency) -> str:
    clocks = _seen(latency).clocks
    if not clocks:
        return ""
    before, after, limit = (
        units.significant(max(values) / 1e9)
        for values in (
            [c.before_hz for c in clocks],
            [c.after_hz for c in clocks],
            [c.limit_hz for c in clocks],
        )
    )
    return f"{before} → {after} of {limit} GHz"


def _temperature(latency: Latency) -> str:
    zones = _seen(latency).temperatures
    if not zones:
        return ""
    hottest = max(zones, key=lambda zone: zone.after_c)
    return f"{hottest.before_c:.0f} → {hottest.after_c:.0f} °C"


def _throttled(latency: Latency) -> str:
    throttled = _seen(latency).throttled
    return "" if throttled is None else ", ".join(throttled) or "no"


def _load(latency: Latency) -> str:
    load = _seen(latency).other_load
    return "" if load is None else _of_cores(load, latency)


def _stolen(latency: Latency) -> str:
    load = _seen(latency).stolen_load
    return "" if load is None else _of_cores(load, latency)


def _of_cores(load: float, latency: Latency) -> str:
    return f"{load:.2f} of {units.plural(len(_seen(latency).cores), 'core')}"


_MEANINGS = (
    (
        "clock",
        "Clock: the fastest core's frequency before and after, and the highest that is allowed.",
    ),
    ("temperature", "Temperature: the hottest zone's before and after."),
    ("other load", "Other load: how many cores other programs kept busy."),
    ("taken by host", "Taken by host: how many cores a virtual machine's host kept from it."),
)

_LARGEST: dict[str, Callable[[Latency], float]] = {
    "temperature": lambda latency: max((t.after_c for t in _seen(latency).temperatures), default=0),
    "other load": lambda latency: _seen(latency).other_load or 0.0,
    "taken by host": lambda latency: _seen(latency).stolen_load or 0.0,
}

_COLUMNS: tuple[tuple[str, Callable[[Latency], str]], ...] = (
    ("delegate or provider", _provider),
    ("cores", _cores),
    ("governor", _governor),
    ("clock", _clock),
    ("temperature", _temperature),
    ("throttled", _throttled),
    ("other load", _load),
    ("taken by host", _stolen),
)
