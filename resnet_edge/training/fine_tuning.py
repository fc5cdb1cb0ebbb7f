"""A new head on frozen features and, where asked for, the last stages after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from resnet_edge.training.checkpoint import Checkpoint
from resnet_edge.training.feature_stream import FeatureStream
from resnet_edge.training.features import Extractor, compute_features
from resnet_edge.training.picture_stream import batches
from resnet_edge.training.shuffled_features import ShuffledFeatures
from resnet_edge.training.standardization import Standardization, measure_standardization
from resnet_edge.training.training_copy import softmax_layer, train_last_stages
from resnet_edge.training.training_job import TrainingJob, TrainingOutcome, outcome
from resnet_edge.training.training_phase import TrainingPhase, read_variables
from resnet_edge.training.training_settings import HEAD_EPOCHS, UNFREEZE_EPOCHS

HEAD_RATE = 0.3
"""Share of the learning rate that a head is trained at, on standardized features."""
UNFREEZE_RATE = 0.1
"""Share of the learning rate that unfrozen stages are trained at."""
_FEATURE_BATCH = 1024


def train_head(job: TrainingJob, resumed: Checkpoint | None) -> TrainingOutcome:
    """Train the head on cached features, then the last stages where the settings say so.

    Args:
        job: The network, the pictures and the settings.
        resumed: The state of an interrupted run.

    Returns:
        The outcome.

    Raises:
        UsageError: More stages to unfreeze than there are.
    """
    stages = job.settings.unfreeze
    train_last_stages(job.classifier, stages)  # before hours of work: so many may not be there
    if resumed is not None and resumed.progress.phase == "unfreeze":
        return _unfreeze(job, resumed)
    train_last_stages(job.classifier, 0)
    head = softmax_layer(job.classifier.model)
    views, validation = _features(job)
    standardization = measure_standardization(views, centre=head.use_bias)
    standardization.unfold(head)
    phase = _head_phase(job, views, validation, standardization)
    state = job.run(phase, resumed or job.start("head"))
    standardization.fold(head)
    if not stages:
        return outcome(state, phase)
    train_last_stages(job.classifier, stages)
    progress = replace(state.progress, phase="unfreeze", first_epoch=state.progress.epoch + 1)
    return _unfreeze(job, Checkpoint(progress, [], [], []))


def _unfreeze(job: TrainingJob, state: Checkpoint) -> TrainingOutcome:
    """Train the last stages; where no epoch is better than the head's best, that one stays."""
    phase = job.picture_phase("unfreeze", UNFREEZE_EPOCHS, job.learning_rate * UNFREEZE_RATE)
    if not state.progress.done:
        state = replace(state, best=read_variables(phase.variables))
    return outcome(job.run(phase, state), phase)


def _head_phase(
    job: TrainingJob,
    views: Sequence[NDArray[np.float32]],
    validation: NDArray[np.float32],
    standardization: Standardization,
) -> TrainingPhase:
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return TrainingPhase(
        name="head",
        model=job.classifier.head,
        epochs=job.settings.epochs or HEAD_EPOCHS,
        steps=job.steps,
        learning_rate=job.learning_rate * HEAD_RATE,
        # Keras' loop over steps fails in TensorFlow where a strategy mirrors variables.
        steps_at_once=job.steps if replicas == 1 else 1,
        stream=FeatureStream(
            ShuffledFeatures(views),
            standardization,
            job.train.labels,
            job.class_weights,
            job.batch_size,
        ),
        validation=batches(
            lambda indices: standardization.apply(validation[indices]),
            validation.shape[1:],
            np.float32,
            np.arange(len(validation)),
            _FEATURE_BATCH,
        ),
        validation_labels=job.validation.labels,
    )


def _features(job: TrainingJob) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
    """The features of every view of the training pictures, and of the validation pictures."""
    extractor = Extractor(
        job.classifier.backbone,
        job.model_key,
        job.preprocessing,
        job.settings.seed,
        job.work,
        job.computing,
    )
    total = len(job.train) * job.settings.views + len(job.validation)
    done = 0

    def on_batch(count: int) -> None:
        nonlocal done
        done += count
        if job.on_features is not None:
            job.on_features(done, total)

    views = [
        compute_features(extractor, job.train, view, on_batch) for view in range(job.settings.views)
    ]
    return views, compute_features(extractor, job.validation, 0, on_batch)
