"""One training: everything that its phases share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from converters.preprocessing import Preprocessing
from resnet_edge.scale.running import Computing
from resnet_edge.training.checkpoint import Checkpoint, TrainingProgress
from resnet_edge.training.labelled_pictures import LabelledPictures
from resnet_edge.training.picture_stream import INFERENCE_BATCH, picture_batches, with_targets
from resnet_edge.training.seeds import derived_seed
from resnet_edge.training.training_copy import TrainingCopy
from resnet_edge.training.training_device import versions
from resnet_edge.training.training_phase import OnEpoch, OnStep, TrainingPhase, run_phase
from resnet_edge.training.training_settings import (
    SCRATCH_BATCH,
    SCRATCH_RATE,
    TRANSFER_BATCH,
    TRANSFER_RATE,
    TrainingSettings,
)

CHECKPOINT_NAME = "training-checkpoint.zip"

OnFeatures = Callable[[int, int], None]


@dataclass(frozen=True)
class TrainingOutcome:
    """The end of a training; the best weights stand in the network."""

    state: Checkpoint
    phase: TrainingPhase
    """The last one."""
    validation_loss: float
    validation_accuracy: float


def outcome(state: Checkpoint, phase: TrainingPhase) -> TrainingOutcome:
    """The outcome of a training whose last phase ended in ``state``."""
    best = state.progress.history[state.progress.best_epoch - 1]
    return TrainingOutcome(state, phase, best.validation_loss, best.validation_accuracy)


@dataclass(frozen=True)
class TrainingJob:
    """One training: the network, its data, and the functions that are told of progress."""

    classifier: TrainingCopy
    model_key: str
    """Hash of the network and its weights before training."""
    train: LabelledPictures
    validation: LabelledPictures
    preprocessing: Preprocessing
    settings: TrainingSettings
    class_weights: NDArray[np.float32]
    scratch: bool
    work: Path
    on_epoch: OnEpoch | None
    on_step: OnStep | None
    on_features: OnFeatures | None
    computing: Computing
    """Who computes the features."""

    @property
    def batch_size(self) -> int:
        """Pictures in a training batch."""
        asked = self.settings.batch_size or (SCRATCH_BATCH if self.scratch else TRANSFER_BATCH)
        return min(asked, len(self.train))

    @property
    def learning_rate(self) -> float:
        """Peak rate of a whole network; heads and unfrozen stages take a share of it."""
        return self.settings.learning_rate or (SCRATCH_RATE if self.scratch else TRANSFER_RATE)

    @property
    def steps(self) -> int:
        """Training batches in an epoch; what is left over waits for another epoch's order."""
        return len(self.train) // self.batch_size

    @property
    def checkpoint(self) -> Path:
        """The file of the state after the last finished epoch."""
        return self.work / CHECKPOINT_NAME

    @property
    def key(self) -> str:
        """Hash of everything that the result depends on."""
        labels = hashlib.sha256(self.train.labels.tobytes() + self.validation.labels.tobytes())
        parts = (
            self.settings,
            self.scratch,
            self.preprocessing,
            self.model_key,
            self.train.key,
            self.validation.key,
            self.train.pictures.shape,
            labels.hexdigest(),
            sorted(versions().items()),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def start(self, phase: str) -> Checkpoint:
        """The state before the first epoch of all."""
        progress = TrainingProgress(self.key, phase, 1, 0, float("inf"), ())
        return Checkpoint(progress, [], [], [])

    def run(self, phase: TrainingPhase, state: Checkpoint) -> Checkpoint:
        """Run a phase from ``state`` to its end."""
        return run_phase(phase, self.settings, state, self.checkpoint, self.on_epoch, self.on_step)

    def picture_phase(self, name: str, epochs: int, learning_rate: float) -> TrainingPhase:
        """A phase that passes pictures through the whole network."""
        settings, train = self.settings, self.train

        def stream(seed: int) -> tf.data.Dataset:
            drawn = picture_batches(
                train.pictures,
                self.preprocessing,
                np.random.default_rng(seed).permutation(len(train)),
                self.batch_size,
                augment_seed=derived_seed(seed, "augment", 0) if settings.augment else None,
                drop_remainder=True,
            )
            return with_targets(drawn, train.labels, self.class_weights)

        return TrainingPhase(
            name=name,
            model=self.classifier.whole,
            epochs=settings.epochs or epochs,
            steps=self.steps,
            learning_rate=learning_rate,
            steps_at_once=1,
            stream=stream,
            validation=self.plain_batches(self.validation),
            validation_labels=self.validation.labels,
        )

    def plain_batches(self, split: LabelledPictures) -> tf.data.Dataset:
        """All pictures of a split in order, as the network expects them."""
        stream = picture_batches(
            split.pictures, self.preprocessing, np.arange(len(split)), INFERENCE_BATCH
        )
        return stream.prefetch(2)
