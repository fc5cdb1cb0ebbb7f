"""Batch size and rate: as asked for, else by the kind of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resnet_edge.scale.running import HERE
from resnet_edge.training.labelled_pictures import LabelledPictures
from resnet_edge.training.training_job import TrainingJob
from resnet_edge.training.training_settings import TrainingSettings


def make_job(count: int, settings: TrainingSettings, *, scratch: bool) -> TrainingJob:
    pictures = LabelledPictures(
        np.zeros((count, 32, 32, 3), np.uint8), np.zeros(count, np.int64), "key"
    )
    return TrainingJob(
        classifier=None,
        model_key="",
        train=pictures,
        validation=pictures,
        preprocessing=None,
        settings=settings,
        class_weights=np.ones(1, np.float32),
        scratch=scratch,
        work=Path(),
        on_epoch=None,
        on_step=None,
        on_features=None,
        computing=HERE,
    )


@pytest.mark.parametrize(
    ("scratch", "batch", "rate", "steps"), [(True, 32, 2e-3, 3), (False, 16, 1e-3, 6)]
)
def test_the_kind_of_training_decides(scratch: bool, batch: int, rate: float, steps: int):
    job = make_job(100, TrainingSettings(), scratch=scratch)
    assert (job.batch_size, job.learning_rate, job.steps) == (batch, rate, steps)
    asked = make_job(100, TrainingSettings(batch_size=8, learning_rate=0.5), scratch=scratch)
    assert (asked.batch_size, asked.learning_rate, asked.steps) == (8, 0.5, 12)


def test_few_pictures_are_one_batch():
    job = make_job(5, TrainingSettings(), scratch=True)
    assert (job.batch_size, job.steps) == (5, 1)
