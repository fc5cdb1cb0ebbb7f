"""Training the whole network from random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from resnet_edge.training.batch_norm import ExactStatistics, follow_faster
from resnet_edge.training.checkpoint import Checkpoint
from resnet_edge.training.picture_stream import INFERENCE_BATCH, picture_batches
from resnet_edge.training.training_copy import train_all
from resnet_edge.training.training_job import TrainingJob, TrainingOutcome, outcome
from resnet_edge.training.training_settings import SCRATCH_EPOCHS

FEW_STEPS = 30
"""Moving averages need about that many steps in an epoch to follow the weights: 95 % of three
times the ten steps that a momentum of 0.9 looks back."""

STATISTICS_PICTURES = 512
"""Pictures that exact statistics are taken over, at most."""


def train_scratch(job: TrainingJob, resumed: Checkpoint | None) -> TrainingOutcome:
    """Train every layer.

    If an epoch has few steps, batch normalization's statistics are taken exactly before each
    validation, because the moving averages would lag behind the weights.

    Args:
        job: The network, the pictures and the settings.
        resumed: The state of an interrupted run.

    Returns:
        The outcome.
    """
    train_all(job.classifier)
    follow_faster(job.classifier.model)
    phase = job.picture_phase("scratch", SCRATCH_EPOCHS, job.learning_rate)
    if job.steps < FEW_STEPS:
        phase = replace(phase, settle=_take_statistics(job))
    return outcome(job.run(phase, resumed or job.start("scratch")), phase)


def _take_statistics(job: TrainingJob) -> Callable[[], None]:
    statistics = ExactStatistics(job.classifier.model)
    order = np.random.default_rng(job.settings.seed).permutation(len(job.train))
    stream = picture_batches(
        job.train.pictures,
        job.preprocessing,
        order[:STATISTICS_PICTURES],
        min(INFERENCE_BATCH, len(job.train)),
        drop_remainder=True,
    )
    pictures = stream.map(lambda batch, _: batch).prefetch(2)
    return lambda: statistics.take(pictures)
