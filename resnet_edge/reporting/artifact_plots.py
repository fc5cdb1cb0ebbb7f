"""The report's plots of the artifacts: accuracy over latency, and paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from resnet_edge import units
from resnet_edge.ondevice.formats.kinds import FORMATS, Precision
from resnet_edge.reporting.content import ArtifactRow, ReportContent
from resnet_edge.reporting.label_placement import Box, place_labels
from resnet_edge.reporting.svg import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, render, tick_percent

COLOURS = {
    Precision.FLOAT32: BLUE,
    Precision.FLOAT16: GREEN,
    Precision.INT8: ORANGE,
    Precision.INT16X8: PURPLE,
}

_COLOUR_NAMES = {BLUE: "blue", GREEN: "green", ORANGE: "orange", PURPLE: "purple"}
_SHAPES = {"s": "square", "o": "circle", "^": "triangle"}
"""Matplotlib's markers in words."""

_WORST_SHOWN = 0.10
"""Artifacts further below the best are drawn at the lower edge, so that the others spread out."""
_SLOWEST_SHOWN = 1.6
"""A reference slower than this many times the slowest artifact is drawn at the right edge."""
_MARKER_PIXELS = 9.0


def legend() -> str:
    """Return the meaning of the colours and the markers, a sentence each."""
    colours = (f"{_COLOUR_NAMES[colour]}: {kind.value}" for kind, colour in COLOURS.items())
    rows = FORMATS.values()
    shapes = (f"{_SHAPES.get(row.marker, row.marker)}: {row.title}" for row in rows)
    sentences = (", ".join(colours), ", ".join(shapes))
    return " ".join(f"{words[0].upper()}{words[1:]}." for words in sentences)


@dataclass(frozen=True)
class Point:
    """A file in a plot over latency."""

    x_ms: float
    y: float
    label: str
    colour: str
    marker: str


def plot_accuracy_latency(content: ReportContent) -> str | None:
    """Draw top-1 over the median latency, one point per artifact; None if none has both."""
    points = _artifact_points(content)
    if not points:
        return None

    def draw(axes: Axes) -> None:
        expected = content.reference.top1 if content.reference else None
        everything = [*points, *_reference_points(content, max(point.x_ms for point in points))]
        _draw_scatter(axes, everything, expected)

    return render("Top-1 accuracy over latency", 270, draw)


def _artifact_points(content: ReportContent) -> list[Point]:
    measured = [
        (row, latency, accuracy)
        for row in content.artifacts
        if (latency := row.latency) is not None and (accuracy := _accuracy(row)) is not None
    ]
    best = max((accuracy for _, _, accuracy in measured), default=0.0)
    if content.reference and content.reference.top1 is not None:
        best = max(best, content.reference.top1)
    points = []
    for row, latency, accuracy in measured:
        below = accuracy < best - _WORST_SHOWN
        label = f"{row.name}: {units.percent(accuracy, 1)} ↓" if below else row.name
        colour, marker = COLOURS[row.sidecar.precision], row.sidecar.format.traits.marker
        y = max(accuracy, best - _WORST_SHOWN)
        points.append(Point(latency.p50_s * 1e3, y, label, colour, marker))
    return points


def _reference_points(content: ReportContent, slowest_ms: float) -> list[Point]:
    reference = content.reference
    if reference is None or reference.latency is None or reference.top1 is None:
        return []
    x_ms, label = reference.latency.p50_s * 1e3, "reference"
    if x_ms > _SLOWEST_SHOWN * slowest_ms:
        x_ms, label = _SLOWEST_SHOWN * slowest_ms, f"reference: {units.significant(x_ms)} ms →"
    return [Point(x_ms, reference.top1, label, INK, "*")]


def _draw_scatter(axes: Axes, points: Sequence[Point], expected: float | None) -> None:
    for point in points:
        size = 90 if point.marker == "*" else 36
        axes.scatter(
            [point.x_ms], [point.y], c=point.colour, marker=point.marker, s=size, zorder=3, lw=0
        )
    if expected is not None:
        axes.axhline(expected, color=MUTED, linewidth=0.9, dashes=(4, 3), zorder=1)
    heights = [point.y for point in points]
    scale_latency(axes, [point.x_ms for point in points])
    scale_accuracy(axes, min(heights), max(heights))
    axes.set_title("top-1", loc="left")
    axes.set_xlabel("median latency in ms, batch 1, best thread count (left is faster)")
    label_points(axes, points, expected)


def scale_latency(axes: Axes, values_ms: Sequence[float]) -> None:
    """Show all latencies, on a logarithmic axis where they differ much."""
    low, high = min(values_ms), max(values_ms)
    if low > 0 and high / low > 8:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.35, high * 1.35)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        margin = max((high - low) * 0.18, high * 0.05)
        axes.set_xlim(max(0.0, low - margin), high + margin or 1.0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def scale_accuracy(axes: Axes, low: float, high: float) -> None:
    """Show at least 2 percentage points: a closer view of a few pictures would mislead."""
    span = max(high - low, 0.02)
    bottom, top = (low + high - span) / 2 - span * 0.15, (low + high + span) / 2 + span * 0.25
    axes.set_ylim(bottom, top)
    tick_percent(axes, bottom, min(top, 1.0))


def label_points(axes: Axes, points: Sequence[Point], line: float | None) -> None:
    """Name the points where names cover neither each other, a point, nor the level ``line``."""
    texts = [
        axes.text(0, 0, point.label, color=point.colour, in_layout=False, zorder=4)
        for point in points
    ]
    axes.figure.canvas.draw()
    area = axes.get_window_extent()
    extents = [text.get_window_extent() for text in texts]
    sizes = [(extent.width, extent.height) for extent in extents]
    pixels = [tuple(axes.transData.transform((point.x_ms, point.y))) for point in points]
    taken = []
    if line is not None:
        _, height = axes.transData.transform((points[0].x_ms, line))
        taken.append(Box(area.x0, height - 1, area.width, 2))
    frame = Box(area.x0 + 2, area.y0 + 2, area.width - 2, area.height - 2)
    boxes = place_labels(pixels, sizes, frame, taken, _MARKER_PIXELS)
    to_data = axes.transData.inverted()
    for (x, y), text, box in zip(pixels, texts, boxes, strict=True):
        left, middle = to_data.transform((box.left, box.bottom + box.height / 2))
        text.set_position((left, middle))
        text.set_verticalalignment("center_baseline")
        if box.distance(x, y) > _MARKER_PIXELS:
            ends = to_data.transform([(x, y), box.nearest(x, y)])
            axes.plot(ends[:, 0], ends[:, 1], color=MUTED, linewidth=0.6, zorder=2)


def plot_differences(content: ReportContent) -> str | None:
    """Draw each artifact's paired interval of the accuracy difference; None if there is none."""
    rows = [row for row in content.artifacts if _interval_points(row) is not None]
    if not rows:
        return None
    height = 62 + 21 * len(rows)
    return render(
        "Accuracy difference to the reference, paired intervals",
        height,
        lambda axes: _draw_differences(axes, content, rows),
    )


def _draw_differences(axes: Axes, content: ReportContent, rows: Sequence[ArtifactRow]) -> None:
    expected = content.reference.top1 if content.reference else None
    reach = 0.5
    for place, row in enumerate(rows):
        low, high = _interval_points(row) or (0.0, 0.0)
        colour = COLOURS[row.sidecar.precision]
        axes.plot([low, high], [place, place], color=colour, linewidth=2.2, solid_capstyle="round")
        accuracy = _accuracy(row)
        if expected is not None and accuracy is not None:
            marker = row.sidecar.format.traits.marker
            axes.scatter(
                [(accuracy - expected) * 100], [place], c=colour, marker=marker, s=36, zorder=3
            )
        reach = max(reach, abs(low), abs(high))
    axes.axvline(0, color=MUTED, linewidth=0.9, dashes=(4, 3), zorder=1)
    axes.set_xlim(-reach * 1.1, reach * 1.1)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.yaxis.set_major_locator(FixedLocator(range(len(rows))))
    axes.set_yticklabels([row.name for row in rows], color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(_signed))
    axes.set_xlabel("percentage points against the reference (right is better)")
    axes.grid(axis="x")
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _signed(value: float, _: int | None) -> str:
    return f"{value:+g}".replace("-", "−") if value else "0"


def _accuracy(row: ArtifactRow) -> float | None:
    if row.parity is None or not math.isfinite(row.parity.top1):
        return None
    return row.parity.top1


def _interval_points(row: ArtifactRow) -> tuple[float, float] | None:
    interval = row.accuracy_gate.interval
    if interval is None or not math.isfinite(interval.low) or not math.isfinite(interval.high):
        return None
    return interval.low * 100, interval.high * 100
