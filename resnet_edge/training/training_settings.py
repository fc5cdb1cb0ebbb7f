"""The settings of the training: one frozen record, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge.errors import UsageError
from resnet_edge.ondevice.option import (
    AT_LEAST_1,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE_BELOW_1,
    Range,
    check_options,
    option,
)

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

SEEDS = Range("0 to 2147483647", 0, 2**31 - 1)

_PANEL = "Training"


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of every kind of training; a combination that makes no sense cannot be built.

    Raises:
        UsageError: A value is out of its range, NaN, or contradicts another one.
    """

    epochs: int | None = option(
        None,
        f"Epochs of each phase. Default: {SCRATCH_EPOCHS} without weights, {HEAD_EPOCHS} for a new "
        f"head, {UNFREEZE_EPOCHS} for unfrozen stages.",
        _PANEL,
        within=AT_LEAST_1,
    )
    batch_size: int | None = option(
        None,
        f"Pictures a step. Default: {SCRATCH_BATCH} without weights, else {TRANSFER_BATCH}.",
        _PANEL,
        within=AT_LEAST_1,
    )
    learning_rate: float | None = option(
        None,
        f"Highest AdamW rate. Default: {SCRATCH_RATE:g} without weights, else {TRANSFER_RATE:g}.",
        _PANEL,
        within=POSITIVE,
    )
    """A head trains at 0.3 of it, unfrozen stages at 0.1."""
    weight_decay: float = option(
        0.05, "AdamW's decoupled weight decay.", _PANEL, within=NOT_NEGATIVE
    )
    """It acts on kernels, not on biases or batch normalization. 0.05 as in ConvNeXt,
    https://arxiv.org/abs/2201.03545."""
    label_smoothing: float = option(
        0.1, "Share of the target spread over all classes.", _PANEL, within=SHARE_BELOW_1
    )
    """0.1 as in https://arxiv.org/abs/1512.00567."""
    dropout: float = option(0.2, "Share of the features left out.", _PANEL, within=SHARE_BELOW_1)
    """They are the pooled features before the head."""
    warmup: float = option(
        0.1, "Share of the steps in which the rate rises linearly.", within=SHARE_BELOW_1
    )
    patience: int = option(
        10,
        "Epochs without a better validation loss before a phase stops.",
        _PANEL,
        within=AT_LEAST_1,
    )
    views: int = option(
        1,
        "Variants of each picture whose features are cached: 1 is the picture itself.",
        _PANEL,
        within=AT_LEAST_1,
    )
    augment: bool = option(True, "Shift, turn and zoom training pictures at random.", _PANEL)
    """Only pictures that pass through the network in training are varied."""
    unfreeze: int = option(
        0,
        f"Number of last stages (0 to {STAGES}) to train as well, at a lower rate.",
        _PANEL,
        within=Range(f"0 to {STAGES} stages", 0, STAGES),
    )
    seed: int = option(0, "Seed of training and calibration.", _PANEL, within=SEEDS)
    mixed_precision: bool = option(False, "Compute in float16 on a GPU.", _PANEL)
    """The weights stay float32."""
    class_weights: bool = option(
        False, "Let every class count alike, however many pictures it has.", _PANEL
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.views > 1 and not self.augment:
            raise UsageError(
                f"--views: got {self.views}; expected 1 where augmentation is off, because the "
                "other views are augmented"
            )
