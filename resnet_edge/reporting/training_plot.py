"""The training curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from resnet_edge.reporting.content import EpochPoint
from resnet_edge.reporting.svg import BLUE, MUTED, render, tick_percent


def plot_training(history: Sequence[EpochPoint]) -> tuple[str, ...]:
    """Draw the loss and the accuracy of each epoch; nothing if no value is finite."""
    loss = _render_curves(
        "Loss",
        history,
        [point.loss for point in history],
        [point.validation_loss for point in history],
    )
    accuracy = _render_curves(
        "Accuracy",
        history,
        [point.accuracy for point in history],
        [point.validation_accuracy for point in history],
        percent=True,
    )
    return tuple(svg for svg in (loss, accuracy) if svg is not None)


def _render_curves(
    title: str,
    history: Sequence[EpochPoint],
    training: Sequence[float | None],
    validation: Sequence[float | None],
    *,
    percent: bool = False,
) -> str | None:
    curves = []
    for name, values, colour, dashes in (
        ("training", training, MUTED, (4, 2)),
        ("validation", validation, BLUE, (1, 0)),
    ):
        finite = [
            (point.epoch, value)
            for point, value in zip(history, values, strict=True)
            if value is not None and math.isfinite(value)
        ]
        if finite:
            curves.append((name, finite, colour, dashes))
    if not curves:
        return None

    def draw(axes: Axes) -> None:
        for name, finite, colour, dashes in curves:
            epochs, values = zip(*finite, strict=True)
            marker = "o" if len(finite) < 12 else None
            axes.plot(
                epochs, values, color=colour, dashes=dashes, marker=marker, markersize=4, label=name
            )
        for before, after in itertools.pairwise(history):
            if before.phase != after.phase:
                axes.axvline(after.epoch - 0.5, color=MUTED, linewidth=0.8, dashes=(1, 2))
        if percent:
            tick_percent(axes, *axes.get_ylim())
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set_xlabel("epoch")
        axes.set_title(title.lower(), loc="left")
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2, frameon=False, borderpad=0
        )

    return render(f"{title} by epoch", 220, draw)
