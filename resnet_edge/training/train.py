"""Train a classifier: from scratch, a new head, or a new head and the last stages."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from converters.preprocessing import Preprocessing
from resnet_edge.errors import DataError
from resnet_edge.scale.running import HERE, Computing
from resnet_edge.training.checkpoint import delete_checkpoint, load_checkpoint
from resnet_edge.training.features import weights_key
from resnet_edge.training.fine_tuning import train_head
from resnet_edge.training.labelled_pictures import LabelledPictures
from resnet_edge.training.picture_stream import class_weight
from resnet_edge.training.scratch import train_scratch
from resnet_edge.training.training_copy import copy_for_training, softmax_layer
from resnet_edge.training.training_device import describe_device, strategy_for, versions
from resnet_edge.training.training_job import OnFeatures, TrainingJob, TrainingOutcome
from resnet_edge.training.training_phase import OnEpoch, OnStep
from resnet_edge.training.training_record import TrainingRecord
from resnet_edge.training.training_settings import TrainingSettings


@dataclass(frozen=True)
class TrainingResult:
    """A trained model with its record."""

    model: keras.Model
    """The model that was given, with its weights changed."""
    record: TrainingRecord


def train_classifier(
    model: keras.Model,
    train: LabelledPictures,
    validation: LabelledPictures,
    preprocessing: Preprocessing,
    settings: TrainingSettings,
    *,
    scratch: bool,
    work: Path,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    on_features: OnFeatures | None = None,
    computing: Computing = HERE,
) -> TrainingResult:
    """Train a classifier and keep the weights with the lowest validation loss.

    With ``scratch`` the whole network is trained. Otherwise the backbone is frozen, its features
    are computed once and cached in ``work``, and the head is trained on them; then the last
    ``settings.unfreeze`` stages are trained at a lower rate, batch normalization's statistics held.

    After an interruption, the same call continues after the last finished epoch and ends with the
    same weights, up to the rounding of the machine's kernels.

    Args:
        model: A classifier ``(batch, height, width, 3)`` -> ``(batch, classes)`` that ends in a
            dense softmax and expects preprocessed pictures. Its weights are changed at the end
            only. For a repeatable training from random weights, build it after
            ``keras.utils.set_random_seed(settings.seed)``.
        train: Pictures of the model's input size.
        validation: Pictures of the same size.
        preprocessing: The one that the model expects; applied once to every picture.
        settings: Epochs, rates and everything else that is set.
        scratch: True if the weights are random, so that all of them have to be trained.
        work: Folder for cached features and the checkpoint of an interrupted run.
        on_epoch: Called after each epoch.
        on_step: Called with step and steps of the phase, and the epoch's mean loss so far; for a
            head once an epoch. Training may end before the last step.
        on_features: Called with the pictures whose features are done, and with all of them.
        computing: Who computes the features of a frozen backbone.

    Returns:
        The model and what was done to it.

    Raises:
        DataError: Pictures do not fit the model, or a label is beyond its classes.
        ModelError: The model is no such classifier, or its features or its loss become NaN.
        OutputError: ``work`` is not writable or the disk is full.
        UsageError: More stages to unfreeze than there are, or mixed precision without a GPU.
    """
    started = time.perf_counter()
    softmax_layer(model)
    _check_pictures(model, train)
    _check_pictures(model, validation)
    classes = int(model.outputs[0].shape[-1])
    keras.utils.set_random_seed(settings.seed)
    model_key = weights_key(model)
    strategy = strategy_for(settings.mixed_precision)
    with strategy.scope():
        classifier = copy_for_training(
            model, settings.dropout, mixed_precision=settings.mixed_precision
        )
        job = TrainingJob(
            classifier=classifier,
            model_key=model_key,
            train=train,
            validation=validation,
            preprocessing=preprocessing,
            settings=settings,
            class_weights=class_weight(train.labels, classes)
            if settings.class_weights
            else np.ones(classes, np.float32),
            scratch=scratch,
            work=work,
            computing=computing,
            on_epoch=on_epoch,
            on_step=on_step,
            on_features=on_features,
        )
        resumed = load_checkpoint(job.checkpoint, job.key)
        outcome = (train_scratch if scratch else train_head)(job, resumed)
        model.set_weights(classifier.model.get_weights())
    delete_checkpoint(job.checkpoint)
    resumed_after = resumed.progress.epoch if resumed else 0
    return TrainingResult(model, _record(job, outcome, resumed_after, started))


def _check_pictures(model: keras.Model, split: LabelledPictures) -> None:
    expected, classes = tuple(model.inputs[0].shape[1:]), int(model.outputs[0].shape[-1])
    got = split.pictures.shape[1:]
    if any(want not in (None, have) for want, have in zip(expected, got, strict=True)):
        raise DataError(
            f"pictures: got {got}; the model expects {expected}; decode them at that size"
        )
    if split.labels.max() >= classes:
        raise DataError(
            f"labels: got class {split.labels.max()}; the model has {classes} classes, "
            f"0 to {classes - 1}; give it a head for all of them"
        )


def _record(
    job: TrainingJob, outcome: TrainingOutcome, resumed_after: int, started: float
) -> TrainingRecord:
    counts = np.bincount(job.train.labels, minlength=len(job.class_weights))
    progress = outcome.state.progress
    return TrainingRecord(
        mode=_mode(job.scratch, job.settings.unfreeze),
        settings=job.settings,
        history=progress.history,
        best_epoch=progress.best_epoch,
        validation_loss=outcome.validation_loss,
        validation_accuracy=outcome.validation_accuracy,
        stopped_early=progress.done < outcome.phase.epochs,
        resumed_after=resumed_after,
        train_pictures=len(job.train),
        validation_pictures=len(job.validation),
        class_counts=tuple(int(count) for count in counts),
        parameters=int(job.classifier.model.count_params()),
        trained_parameters=sum(
            int(np.prod(v.shape)) for v in outcome.phase.model.trainable_weights
        ),
        seconds=time.perf_counter() - started,
        device=describe_device(job.settings.mixed_precision),
        versions=versions(),
    )


def _mode(scratch: bool, unfreeze: int) -> str:
    if scratch:
        return "the whole network, from random weights (no pretrained weights were used)"
    if unfreeze:
        stages = "stage" if unfreeze == 1 else f"{unfreeze} stages"
        return f"a new head on frozen features, then the last {stages} at a lower rate"
    return "a new head on the features of the frozen backbone"
