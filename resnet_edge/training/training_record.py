"""``training.json``: the curves of a training, and all that is needed to repeat it."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge.training.training_settings import TrainingSettings

TRAINING_VERSION = 1


@dataclass(frozen=True)
class Epoch:
    """One pass over the training pictures."""

    epoch: int
    """Counted from 1, on through all phases."""
    phase: str
    """``scratch``, ``head`` or ``unfreeze``."""
    loss: float
    """Cross-entropy in nats against the smoothed targets, plus the model's own penalties; mean."""
    accuracy: float
    """On the training pictures as they were seen, so augmented and with dropout; share."""
    validation_loss: float
    """Cross-entropy in nats against the smoothed targets, without penalties."""
    validation_accuracy: float
    learning_rate: float
    """At the epoch's end."""
    seconds: float


@dataclass(frozen=True)
class TrainingRecord:
    """``training.json``."""

    mode: str
    """The trained part, in words."""
    settings: TrainingSettings
    history: tuple[Epoch, ...]
    best_epoch: int
    """The epoch whose weights were kept; lowest validation loss of the last phase."""
    validation_loss: float
    """Loss of the weights that were kept, as they stand in the model."""
    validation_accuracy: float
    stopped_early: bool
    """True if a phase ended because validation got no better."""
    resumed_after: int
    """Epochs taken over from an interrupted run; 0 where there was none."""
    train_pictures: int
    validation_pictures: int
    class_counts: tuple[int, ...]
    """Training pictures of each class."""
    parameters: int
    trained_parameters: int
    """In the last phase."""
    seconds: float
    """Time of this run, without that of an interrupted one before it."""
    device: str
    versions: dict[str, str]
    schema: int = TRAINING_VERSION
