"""Records of the noise of layers and of the search for layers that should stay in float.

Plain numbers and texts, which a caller can keep as JSON. This module imports no heavy package.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerSensitivity:
    """Effect of rounding one Keras layer."""

    layer: str
    kinds: tuple[str, ...]
    """Kinds of its operators that round something, in graph order, each once."""
    low: float
    """Low end of the range that its output is rounded in, as calibrated. The output is that of its
    last operator that rounds. A runtime widens a range until it holds zero."""
    high: float
    """High end of that range."""
    output_sqnr_db: float
    """SQNR of its output in the fully rounded network, with the noise of all layers before it;
    infinite if exact. It is low for a range that leaves out values which a later ReLU discards, as
    at shortcuts. That does no harm."""
    logits_sqnr_db: float
    """SQNR of the centred logits if only this layer is rounded; infinite if nothing changes."""
    agreement: float
    """Share of pictures with the same best class if only this layer is rounded, in [0, 1]."""
    share: float
    """Its part of the noise in the centred logits, in [0, 1]. The parts of all layers sum to 1, or
    are all 0 if no layer causes noise."""


@dataclass(frozen=True)
class PrecisionTrial:
    """A file with some layers in float, measured."""

    layer: str
    """The layer whose precision was changed; empty for the first trial, which rounds all layers."""
    float_layers: tuple[str, ...]
    """All layers in float, in graph order, with those that follow others into float. As
    ``keep_float`` they give this file again."""
    agreement: float
    """Share of pictures with the float file's best class, in [0, 1]."""
    sqnr_db: float
    """SQNR of the centred logits against those of the float file; infinite if equal."""
    bytes: int
    """Size of the file."""
    latency_s: float
    """Median time of one inference, one thread."""
    holds: bool
    """True if the agreement is at least the required one."""


def best_trial(trials: Iterable[PrecisionTrial]) -> PrecisionTrial:
    """Return the best of at least one trial; the first of equals.

    Of those that hold, it is the smallest file. Where none holds, it is the one with the highest
    agreement, then the highest SQNR.
    """
    return max(trials, key=_rank)


def _rank(trial: PrecisionTrial) -> tuple[float, ...]:
    """Larger is better. No figure is NaN: the search refuses such answers."""
    if trial.holds:
        return (1, -trial.bytes, trial.agreement, trial.sqnr_db)
    return (0, trial.agreement, trial.sqnr_db, -trial.bytes)
