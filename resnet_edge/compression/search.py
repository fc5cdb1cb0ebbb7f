"""What to try next: decided from the rows so far, so that an interrupted search goes on alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnet_edge.compression.limits import Limits
from resnet_edge.compression.trials import MODEL, Stage, Trial, TrialLog

MOST_MEASURED = 3
"""Networks that are trained, exported and measured, beside the model itself."""

FREE_SHARES = (0.75, 0.5, 0.35, 0.25, 0.18)
"""Of the latency, where only the loss is limited."""

SLACK = 0.02
"""Training and other pictures may move top-1 by so much. A network that is worse than the best one
by more is not followed."""

FAR = 0.05
"""A size whose network is worse than the best one by more says that still smaller ones will be."""

MARGIN = 0.96
"""Part of the limit of the latency that is aimed at: what is foretold is off by a few percent."""


@dataclass(frozen=True)
class Aim:
    """A network to try: at a size, at a share of the latency or within the limits."""

    size: tuple[int, int]
    share: float | None
    """None asks for what holds the limits."""
    round: int = 0
    """Networks of this size that were measured before: what is foretold is better by then."""

    def words(self, limits: Limits) -> str:
        """Tell it apart from other aims."""
        height, width = self.size
        wanted = f"{self.share:g} of the latency" if self.share else f"within {limits}"
        return f"{height}x{width}, {wanted}, round {self.round}"


def first_aims(sizes: Sequence[tuple[int, int]], limits: Limits) -> tuple[Aim, ...]:
    """Return the networks that are fitted, in the order of their promise.

    Args:
        sizes: Of the input, the model's own first.
        limits: With one of latency or size, every size is tried as wide as it may be.
    """
    if limits.is_hard:
        return tuple(Aim(size, None) for size in sizes)
    own, *others = sizes
    at_own = [Aim(own, share) for share in FREE_SHARES]
    smaller = [Aim(size, share) for share in FREE_SHARES[1:3] for size in others[:2]]
    return (*at_own[:2], *smaller[:2], *at_own[2:], *smaller[2:])


def is_far_behind(log: TrialLog, size: tuple[int, int]) -> bool:
    """Return True if the networks of a size are so much worse that none smaller is worth a try."""
    fitted = log.at(Stage.FITTED)
    best = max((_change(trial) for trial in fitted), default=math.nan)
    own = max((_change(trial) for trial in fitted if trial.size == size), default=math.nan)
    return own < best - FAR


def next_to_measure(log: TrialLog, limits: Limits, foretold_s: Mapping[str, float]) -> Trial | None:
    """Return the fitted network to train and measure next; None if none is worth it.

    Args:
        log: The trials.
        limits: With one of latency or size the network with the best answers is next. Without, it
            is the fastest that may lose little enough, between those that did and those that lost
            too much.
        foretold_s: 90th percentile of the fitted networks by their names. Others do not count.
    """
    measured = log.at(Stage.MEASURED)
    fitted = [trial for trial in log.at(Stage.FITTED) if trial.name in foretold_s]
    best = max((_change(trial) for trial in fitted), default=math.nan)
    left = [trial for trial in fitted if trial.name not in {one.name for one in measured}]
    if limits.is_hard:
        near = [trial for trial in left if _change(trial) >= best - SLACK]
        return max(near, key=lambda trial: (_change(trial), trial.agreement or 0), default=None)
    allowed = -(limits.loss or 0)
    slimmed = [trial for trial in measured if trial.name in foretold_s and trial.name != MODEL]
    fast = [foretold_s[trial.name] for trial in slimmed if best_change(trial) >= allowed]
    slow = [foretold_s[trial.name] for trial in slimmed if best_change(trial) < allowed]
    low, high = max(slow, default=0.0), min(fast, default=math.inf)
    near = [
        trial
        for trial in left
        if _change(trial) >= allowed - SLACK and low < foretold_s[trial.name] < high
    ]
    return min(near, key=lambda trial: foretold_s[trial.name], default=None)


def best_change(trial: Trial) -> float:
    """Return the change of top-1 of a network's best file, on the test pictures."""
    changes = [(file.gained - file.lost) / file.images for file in trial.files if file.images]
    return max(changes, default=-math.inf)


def _change(trial: Trial) -> float:
    return -math.inf if trial.change is None or math.isnan(trial.change) else trial.change
