"""The plot of each layer's share of the noise in the logits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator

from resnet_edge.exporting.quantization_result import LayerSensitivity
from resnet_edge.reporting.quantization_section import rank_layers
from resnet_edge.reporting.svg import BLUE, INK, MUTED, ORANGE, WIDE, render, tick_percent

LABELLED = 10
"""The number of layers that are named; the table names more."""
_HEIGHT = 310
_ANGLE = 35.0
"""The angle of the names, in degrees, at which neighbours do not overlap."""
_NAME_PIXELS = 21.0
"""The least distance from one name to the next."""
_GAP = 24.0
"""The gap between the highest bar and the names, in pixels, which their lines cross."""
_LONGEST_NAME = 26
_BAR = 0.7
"""The width of a bar, as a share of the distance between two."""
_THINNEST = 1 / 300
"""The least width of a named bar, as a share of the plot, visible among a thousand layers."""


def plot_shares(layers: Sequence[LayerSensitivity]) -> str | None:
    """Draw each layer's share of the noise in graph order; None if no layer has one."""
    shares = [layer.share if math.isfinite(layer.share) else 0.0 for layer in layers]
    if max(shares, default=0.0) <= 0:
        return None
    worst = sorted(place for place in rank_layers(layers)[:LABELLED] if shares[place] > 0)
    names = [_shorten(layers[place].layer) for place in worst]

    def draw(axes: Axes) -> None:
        _draw_bars(axes, shares, worst)
        _name_bars(axes, shares, worst, names)

    return render("Share of the noise in the logits by layer", _HEIGHT, draw, WIDE)


def spread(places: Sequence[float], gap: float, limits: Sequence[float]) -> list[float]:
    """Space ascending ``places`` by ``gap`` at least: to the right, up to the limit of each."""
    spaced: list[float] = []
    for place in places:
        spaced.append(max(place, spaced[-1] + gap) if spaced else place)
    following = math.inf
    for index in reversed(range(len(spaced))):
        spaced[index] = min(spaced[index], limits[index], following - gap)
        following = spaced[index]
    return spaced


def _shorten(name: str) -> str:
    """Cut the middle out of a name that is too long: networks number their layers at either end."""
    name = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    if len(name) <= _LONGEST_NAME:
        return name
    half = (_LONGEST_NAME - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def _draw_bars(axes: Axes, shares: Sequence[float], worst: Sequence[int]) -> None:
    axes.bar(range(1, len(shares) + 1), shares, _BAR, color=BLUE, linewidth=0, zorder=2)
    width = max(_BAR, len(shares) * _THINNEST)
    named = [place + 1 for place in worst]
    axes.bar(named, [shares[p] for p in worst], width, color=ORANGE, linewidth=0, zorder=2.5)
    axes.set_xlim(0.3, len(shares) + 0.7)
    axes.set_ylim(min(0.0, *shares), max(shares))
    tick_percent(axes, 0.0, max(shares))
    below_names = [tick for tick in axes.get_yticks() if tick <= 1.05 * max(shares)]
    axes.yaxis.set_major_locator(FixedLocator(below_names))
    axes.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.set_xlabel("layer, in the order of the graph")
    axes.set_title("share of the noise in the logits", loc="left")


def _name_bars(
    axes: Axes, shares: Sequence[float], worst: Sequence[int], names: Sequence[str]
) -> None:
    """Write the names in a row over the bars, aslant, each with a line to its bar."""
    texts = [
        axes.text(0, 0, name, color=INK, va="center", in_layout=False, zorder=4) for name in names
    ]
    axes.figure.canvas.draw()
    area = axes.get_window_extent()
    lengths = [text.get_window_extent().width for text in texts]
    rise = max(lengths) * math.sin(math.radians(_ANGLE)) + 1.3 * _GAP
    bottom, top = min(0.0, *shares), max(shares)
    axes.set_ylim(bottom, bottom + (top - bottom) * area.height / max(area.height - rise, 1.0))
    axes.spines["left"].set_bounds(bottom, top)
    axes.figure.canvas.draw()
    to_pixels, to_data = axes.transData, axes.transData.inverted()
    centres = [float(to_pixels.transform((place + 1, 0))[0]) for place in worst]
    level = float(to_pixels.transform((0, top))[1]) + _GAP
    limits = [area.x1 - length * math.cos(math.radians(_ANGLE)) for length in lengths]
    feet = spread(centres, _NAME_PIXELS, limits)
    for place, text, x in zip(worst, texts, feet, strict=True):
        foot, height = to_data.transform((x, level))
        _, elbow = to_data.transform((x, level - 0.85 * _GAP))
        left, middle = to_data.transform((x + 2, level + 2))
        text.set_position((left, middle))
        text.set_rotation(_ANGLE)
        text.set_rotation_mode("anchor")
        xs, ys = [place + 1, place + 1, foot], [shares[place], elbow, height]
        axes.plot(xs, ys, color=MUTED, linewidth=0.6, zorder=3)
