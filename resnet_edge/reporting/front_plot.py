"""The plot of a front: top-1 over latency, sizes as areas, intervals as bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from resnet_edge import units
from resnet_edge.compression.front import Entry, Front
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.reporting.artifact_plots import (
    COLOURS,
    Point,
    label_points,
    scale_accuracy,
    scale_latency,
)
from resnet_edge.reporting.svg import INK, MUTED, WIDE, render

LARGEST_AREA = 420.0
"""Area of the largest file's marker, in square points; others in proportion."""

SMALLEST_AREA = 14.0

WORST_SHOWN = 0.08
"""Files further below the best are drawn at the lower edge, so that the others spread out."""


@dataclass(frozen=True)
class _Range:
    low: float
    high: float


def plot_front(front: Front) -> str | None:
    """Draw every measured file; None where nothing was measured.

    Files that no other beats are filled and named, the one to take is circled.
    """
    if not front.entries:
        return None
    return render("Top-1 over latency", 380, lambda axes: _draw(axes, front), WIDE)


def _draw(axes: Axes, front: Front) -> None:
    entries, limit_s = front.entries, front.limits.p90_s
    best = max([front.reference_top1, *(e.top1 for e in entries if math.isfinite(e.top1))])
    floor = best - WORST_SHOWN
    largest = max(entry.bytes for entry in entries)
    for entry in entries:
        x, y = entry.p90_s * 1e3, max(entry.top1, floor)
        kind = artifact_kind(entry.file)
        colour, marker = COLOURS[kind.precision], kind.format.traits.marker
        area = max(SMALLEST_AREA, LARGEST_AREA * entry.bytes / largest)
        beaten = bool(entry.beaten_by)
        bar = _interval(entry, front.reference_top1, floor)
        if bar is not None and not beaten:
            axes.plot([x, x], [bar.low, bar.high], color=colour, linewidth=1.2, zorder=2)
        face = "none" if beaten else colour
        axes.scatter(
            *([x], [y]),
            s=area,
            marker=marker,
            facecolors=face,
            edgecolors=colour,
            zorder=3,
            alpha=0.45 if beaten else 0.8,
        )
        if entry is front.chosen:
            axes.scatter(
                *([x], [y]), s=area + 160, marker="o", facecolors="none", edgecolors=INK, zorder=4
            )
    axes.axhline(front.reference_top1, color=MUTED, linewidth=0.9, dashes=(4, 3), zorder=1)
    times = [entry.p90_s * 1e3 for entry in entries]
    scale_latency(axes, [*times, *([limit_s * 1e3] if limit_s else [])])
    bars = [bar for e in front.unbeaten if (bar := _interval(e, front.reference_top1, floor))]
    heights = [max(entry.top1, floor) for entry in entries] + [front.reference_top1]
    scale_accuracy(
        axes,
        min([*heights, *(bar.low for bar in bars)]),
        max([*heights, *(bar.high for bar in bars)]),
    )
    if limit_s:
        axes.axvline(limit_s * 1e3, color=MUTED, linewidth=0.9, zorder=1)
    axes.set_title("top-1 (dashed: the full-precision model)", loc="left")
    axes.set_xlabel("90th percentile of the latency in ms, batch 1 (line: the limit)")
    label_points(axes, _labels(entries, floor), front.reference_top1)


def _interval(entry: Entry, reference: float, floor: float) -> _Range | None:
    if entry.interval is None or not math.isfinite(entry.interval.low):
        return None
    low, high = reference + entry.interval.low, reference + entry.interval.high
    return _Range(max(low, floor), high) if high > floor else None


def _labels(entries: Sequence[Entry], floor: float) -> list[Point]:
    """Name the files of the front. The others have no name, and no name covers them."""
    points = []
    for entry in entries:
        kind = artifact_kind(entry.file)
        below = f": {units.percent(entry.top1, 1)} ↓" if entry.top1 < floor else ""
        points.append(
            Point(
                entry.p90_s * 1e3,
                max(entry.top1, floor),
                "" if entry.beaten_by else f"{entry.network} {entry.file}{below}",
                COLOURS[kind.precision],
                kind.format.traits.marker,
            )
        )
    return points
