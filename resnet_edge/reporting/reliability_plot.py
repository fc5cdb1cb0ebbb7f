"""The reliability diagram: accuracy over confidence, an artifact beside the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from resnet_edge.ondevice.parity.calibration_error import CalibrationChange, ReliabilityBin
from resnet_edge.reporting.svg import MUTED, ORANGE, render, tick_percent

_QUANTILE = 1.96
"""Of the bars: 95 %."""
_MARGIN = 0.04


def plot_reliability(name: str, found: CalibrationChange) -> str:
    """Draw both sides' bins, each with the interval that chance gives its accuracy."""

    def draw(axes: Axes) -> None:
        low = _lowest((*found.artifact.bins, *found.reference.bins))
        axes.plot([low, 1], [low, 1], color=MUTED, linewidth=0.9, dashes=(4, 3), zorder=1)
        for label, bins, colour, shift in (
            ("reference", found.reference.bins, MUTED, -0.003),
            (name, found.artifact.bins, ORANGE, 0.003),
        ):
            _draw_side(axes, label, bins, colour, shift * (1 - low))
        axes.set_xlim(low, 1 + _MARGIN * (1 - low))
        axes.set_ylim(low, 1 + _MARGIN * (1 - low))
        tick_percent(axes, low, 1)
        ticks = [
            tick
            for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, 1)
            if low <= tick <= 1
        ]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:g} %"))
        axes.set_xlabel("confidence: the probability of the answer")
        axes.set_title("accuracy", loc="left")
        axes.legend(loc="upper left", frameon=False, borderpad=0)

    return render(f"Reliability diagram of {name}", 290, draw)


def _draw_side(
    axes: Axes, label: str, bins: Sequence[ReliabilityBin], colour: str, shift: float
) -> None:
    xs = [each.confidence + shift for each in bins]
    bounds = [_wilson(each) for each in bins]
    lows, highs = [low for low, _ in bounds], [high for _, high in bounds]
    axes.vlines(xs, lows, highs, color=colour, linewidth=1.0, alpha=0.55, zorder=2)
    axes.plot(
        xs,
        [each.accuracy for each in bins],
        color=colour,
        marker="o",
        markersize=4,
        linewidth=1.3,
        label=label,
        zorder=3,
    )


def _lowest(bins: Sequence[ReliabilityBin]) -> float:
    """Return the lower edge of both axes: what there is to see, to a tenth."""
    least = min(min(each.confidence, _wilson(each)[0]) for each in bins)
    return max(0.0, math.floor(least * 10) / 10)


def _wilson(each: ReliabilityBin) -> tuple[float, float]:
    """Return E. B. Wilson's score interval of the bin's accuracy."""
    squared, count = _QUANTILE**2, each.pictures
    middle = (each.accuracy * count + squared / 2) / (count + squared)
    variance = count * each.accuracy * (1 - each.accuracy) + squared / 4
    half = math.sqrt(squared * variance) / (count + squared)
    return middle - half, middle + half
