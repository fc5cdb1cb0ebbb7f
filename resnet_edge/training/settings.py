"""How to train: one frozen value, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass

SCRATCH_EPOCHS = 8
"""Enough for 98 % on 1,000 handwritten digits from random weights (docs: benchmarks)."""
HEAD_EPOCHS = 20
UNFREEZE_EPOCHS = 10
SCRATCH_BATCH = 32
TRANSFER_BATCH = 16
"""For a new head and unfrozen stages."""
SCRATCH_RATE = 2e-3
TRANSFER_RATE = 1e-3
"""For a new head and unfrozen stages."""
STAGES = 4


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of every kind of training; a combination that makes no sense cannot be built.

    Raises:
        ValueError: A value is out of its range, NaN, or contradicts another one.
    """

    epochs: int | None = None
    """Passes over the pictures, in each phase. None takes the phase's default."""
    batch_size: int | None = None
    """Pictures in a training batch. None takes 32 for a whole network, else 16."""
    learning_rate: float | None = None
    """AdamW's peak rate for a whole network; a head trains at 0.3 of it, unfrozen stages at 0.1.
    None takes 0.002 for a whole network, else 0.001."""
    weight_decay: float = 0.05
    """AdamW's decoupled decay of kernels (not of biases or batch normalization). 0.05 as in
    ConvNeXt, https://arxiv.org/abs/2201.03545."""
    label_smoothing: float = 0.1
    """Share of the target spread over all classes, in [0, 1).
    0.1 as in https://arxiv.org/abs/1512.00567."""
    dropout: float = 0.2
    """Share of the pooled features dropped before the head, in [0, 1)."""
    warmup: float = 0.1
    """Share of the steps in which the rate rises linearly, in [0, 1)."""
    patience: int = 10
    """Epochs without a lower validation loss before a phase stops."""
    views: int = 1
    """Variants of a picture whose features are cached: the plain one and augmented ones."""
    augment: bool = True
    """Whether pictures are varied at random where they pass through the network in training."""
    unfreeze: int = 0
    """How many of the backbone's last stages are trained after the head."""
    seed: int = 0
    mixed_precision: bool = False
    """Whether a GPU computes in float16 with float32 weights."""
    class_weights: bool = False
    """Whether every class counts alike, however many pictures it has."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience", "views"):
            value = getattr(self, name)
            if value is not None:
                _expect(name, value, value >= 1, "at least 1")
        if self.learning_rate is not None:
            _expect(
                "learning_rate",
                self.learning_rate,
                0 < self.learning_rate < math.inf,
                "a finite number above 0",
            )
        _expect(
            "weight_decay",
            self.weight_decay,
            0 <= self.weight_decay < math.inf,
            "a finite number, 0 or above",
        )
        for name in ("label_smoothing", "dropout", "warmup"):
            value = getattr(self, name)
            _expect(name, value, 0 <= value < 1, "a share of at least 0 and below 1")
        _expect("unfreeze", self.unfreeze, 0 <= self.unfreeze <= STAGES, f"0 to {STAGES} stages")
        _expect("seed", self.seed, 0 <= self.seed < 2**31, "0 to 2147483647")
        _expect(
            "views",
            self.views,
            self.augment or self.views == 1,
            "1 where augmentation is off, because the other views are augmented",
        )


def _expect(name: str, value: float, holds: bool, expected: str) -> None:
    if not holds:
        raise ValueError(f"{name}: got {value}; expected {expected}")
