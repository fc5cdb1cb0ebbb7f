"""What measuring a quantization found, as plain records that a caller can keep as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerSensitivity:
    """What the rounding of one Keras layer does."""

    layer: str
    kinds: tuple[str, ...]
    """Of its operators that round something, in graph order, each once."""
    low: float
    """Of the scheme's range for what its last rounding operator writes, in that tensor's units; as
    calibrated: a runtime widens a range without zero until it has it."""
    high: float
    output_sqnr_db: float
    """Of that tensor, when the whole network is rounded, against the reference: the noise of all
    layers in front is in it, and so are values that the range leaves out because a ReLU behind
    discards them. A few decibels at a shortcut are no fault then. Infinite where it is exact."""
    logits_sqnr_db: float
    """Of the centred logits when this layer alone is rounded; infinite where nothing changes."""
    agreement: float
    """Share of pictures with the same best class when this layer alone is rounded, in [0, 1]."""
    share: float
    """Noise power on the centred logits that this layer causes alone, as a part of the sum over all
    layers, in [0, 1]; all are 0 where no layer causes any."""


@dataclass(frozen=True)
class PrecisionTrial:
    """One file, measured."""

    layer: str
    """Put back into float, or taken out again, since the best set before; none for the first."""
    float_layers: tuple[str, ...]
    """All layers that the search put into float, those that follow others included, in graph order.
    As ``keep_float`` they give this file again."""
    agreement: float
    """Share of pictures with the float file's best class, in [0, 1]."""
    sqnr_db: float
    """Of the centred logits of all pictures against the float file's; infinite where equal."""
    bytes: int
    """Size of the file."""
    latency_s: float
    """Median over the pictures, one thread."""
    holds: bool
    """Whether the agreement is what was required."""


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
