"""One phase of training: epochs of one model at one schedule, interruptible after each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from resnet_edge.errors import ModelError
from resnet_edge.training.checkpoint import Arrays, Checkpoint, TrainingProgress, save_checkpoint
from resnet_edge.training.fused_adamw import FusedAdamW
from resnet_edge.training.seeds import derived_seed, reseed_layers
from resnet_edge.training.training_record import Epoch
from resnet_edge.training.training_settings import TrainingSettings

OnEpoch = Callable[[Epoch], None]
OnStep = Callable[[int, int, float], None]


@dataclass(frozen=True)
class TrainingPhase:
    """A model, its batches, and the number of epochs."""

    name: str
    """``scratch``, ``head`` or ``unfreeze``."""
    model: keras.Model
    """Its ``trainable`` flags say what learns."""
    epochs: int
    steps: int
    """Batches in an epoch."""
    learning_rate: float
    """Peak."""
    steps_at_once: int
    """Batches between two reports; more than 1 where a batch takes less time than a report."""
    stream: Callable[[int], tf.data.Dataset]
    """The training batches ``(samples, one-hot targets, weights)`` that a seed draws."""
    validation: tf.data.Dataset
    """Batches of ``(samples, indices)``."""
    validation_labels: NDArray[np.int64]
    settle: Callable[[], None] | None = None
    """Called before each validation."""

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables that change: in the scratch phase all, since statistics change too."""
        if self.name == "scratch":
            return list(self.model.weights)
        return list(self.model.trainable_weights)


def run_phase(
    phase: TrainingPhase,
    settings: TrainingSettings,
    state: Checkpoint,
    path: Path,
    on_epoch: OnEpoch | None,
    on_step: OnStep | None,
) -> Checkpoint:
    """Train until the epochs are done or validation gets no better; leave the best weights.

    Args:
        phase: The model and its batches.
        settings: Seed, patience and the optimizer's settings.
        state: The beginning: the phase's start, or an epoch of an interrupted run.
        path: The checkpoint file, written after each epoch.
        on_epoch: Called after each epoch's checkpoint.
        on_step: Called with step and steps of the phase, and the epoch's mean loss so far.

    Returns:
        The state at the end.

    Raises:
        ModelError: The loss became NaN or infinite.
        OutputError: The checkpoint cannot be written.
    """
    schedule = _compile(phase, settings)
    if state.progress.done:
        _assign(phase.variables, state.weights)
        _assign(phase.model.optimizer.variables, state.optimizer)
    measure = Measurement(phase.model, settings.label_smoothing)
    watcher = _Watcher(phase, on_step)
    while not finished(phase, settings, state.progress):
        number = state.progress.epoch + 1
        seed = derived_seed(settings.seed, phase.name, number)
        reseed_layers(phase.model, seed)
        started = time.perf_counter()
        watcher.epoch, watcher.steps_before = number, state.progress.done * phase.steps
        fitted = phase.model.fit(
            phase.stream(seed), verbose=0, callbacks=[watcher], shuffle=False
        ).history
        if phase.settle is not None:
            phase.settle()
        loss, accuracy = measure(phase.validation, phase.validation_labels)
        epoch = Epoch(
            epoch=number,
            phase=phase.name,
            loss=float(fitted["loss"][0]),
            accuracy=float(fitted["accuracy"][0]),
            validation_loss=loss,
            validation_accuracy=accuracy,
            learning_rate=float(schedule((state.progress.done + 1) * phase.steps)),
            seconds=time.perf_counter() - started,
        )
        _check_finite(loss, phase.name, number)
        state = _advance(state, epoch, phase)
        save_checkpoint(path, state)
        if on_epoch is not None:
            on_epoch(epoch)
    _assign(phase.variables, state.best)
    return state


def finished(phase: TrainingPhase, settings: TrainingSettings, progress: TrainingProgress) -> bool:
    """Return True if a phase has no epoch left, or validation got no better for too long."""
    return progress.done >= phase.epochs or progress.epochs_without_gain >= settings.patience


def read_variables(variables: list[keras.Variable]) -> Arrays:
    """Copy variables into arrays."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


class Measurement:
    """Loss and accuracy on a split, without penalties, dropout or augmentation."""

    def __init__(self, model: keras.Model, label_smoothing: float) -> None:
        self._forward = tf.function(lambda x: model(x, training=False), reduce_retracing=True)
        self._smoothing = label_smoothing

    def __call__(self, stream: tf.data.Dataset, labels: NDArray[np.int64]) -> tuple[float, float]:
        """Return mean cross-entropy against smoothed targets in nats, and accuracy in [0, 1].

        Args:
            stream: Batches of ``(samples, indices)`` in order.
            labels: Classes, ``(n,)``.
        """
        losses, hits, start = [], 0, 0
        for batch, _ in stream:
            answers = self._forward(batch).numpy()
            if not np.isfinite(answers).all():
                return math.nan, 0.0
            true = labels[start : start + len(answers)]
            losses.append(self._cross_entropy(answers, true))
            hits += int(np.count_nonzero(answers.argmax(axis=1) == true))
            start += len(answers)
        return float(np.concatenate(losses).mean()), hits / len(labels)

    def _cross_entropy(
        self, answers: NDArray[np.float32], labels: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        logs = np.log(np.clip(answers.astype(np.float64), 1e-7, 1.0))
        true = logs[np.arange(len(labels)), labels]
        losses: NDArray[np.float64] = -(1 - self._smoothing) * true - self._smoothing * logs.mean(
            axis=1
        )
        return losses


def _compile(
    phase: TrainingPhase, settings: TrainingSettings
) -> keras.optimizers.schedules.CosineDecay:
    """Compile with AdamW (https://arxiv.org/abs/1711.05101), linear warm-up and cosine to zero."""
    steps = phase.steps * phase.epochs
    warmup = min(round(settings.warmup * steps), steps - 1)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else phase.learning_rate,
        steps - warmup,
        warmup_target=phase.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer: keras.optimizers.Optimizer
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        optimizer = FusedAdamW(schedule, settings.weight_decay)
    else:
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if settings.mixed_precision:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(phase.model.trainable_variables)
    phase.model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing),
        metrics=["accuracy"],
        steps_per_execution=phase.steps_at_once,
        jit_compile=False,
    )
    return schedule


def _advance(state: Checkpoint, epoch: Epoch, phase: TrainingPhase) -> Checkpoint:
    progress = replace(state.progress, history=(*state.progress.history, epoch))
    weights, best = read_variables(phase.variables), state.best
    if epoch.validation_loss < progress.best_loss:
        progress = replace(progress, best_epoch=epoch.epoch, best_loss=epoch.validation_loss)
        best = weights
    return Checkpoint(progress, weights, read_variables(phase.model.optimizer.variables), best)


def _assign(variables: list[keras.Variable], arrays: Arrays) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _check_finite(loss: float, phase: str, epoch: int) -> None:
    if not math.isfinite(loss):
        raise ModelError(
            f"training: the loss became {loss} in epoch {epoch} ({phase}); expected a finite "
            "number; lower --learning-rate, and check the weights and --preprocessing"
        )


class _Watcher(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Stops at a loss that is NaN, and reports steps."""

    def __init__(self, phase: TrainingPhase, on_step: OnStep | None) -> None:
        super().__init__()
        self._phase = phase
        self._on_step = on_step
        self.epoch = 0
        self.steps_before = 0
        """Steps of the phase's earlier epochs."""

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Look at the running mean of the loss, which stays NaN once it is."""
        loss = float((logs or {})["loss"])
        _check_finite(loss, self._phase.name, self.epoch)
        if self._on_step is not None:
            steps = self._phase.epochs * self._phase.steps
            self._on_step(self.steps_before + batch + 1, steps, loss)
