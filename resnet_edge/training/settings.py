"""How to train: one frozen value, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass

SCRATCH_EPOCHS = 12
"""Enough for 98 % on 1,000 handwritten digits from random weights (docs: benchmarks)."""
HEAD_EPOCHS = 20
UNFREEZE_EPOCHS = 10
STAGES = 4


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of every kind of training; a combination that makes no sense cannot be built.

    Raises:
        ValueError: A value is out of its range, NaN, or contradicts another one.
    """

    epochs: int | None = None
    """Passes over the pictures, in each phase. None takes the phase's default."""
    batch_size: int = 16
    learning_rate: float = 1e-3
    """AdamW's peak rate for a whole network. A head trains at 0.3 of it, unfrozen stages at 0.1."""
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
        for name in ("batch_size", "patience", "views"):
            _expect(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        if self.epochs is not None:
            _expect("epochs", self.epochs, self.epochs >= 1, "at least 1")
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
