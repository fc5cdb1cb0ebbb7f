import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from converters.preprocessing import PREPROCESSINGS
from resnet_edge.errors import DataError, ModelError
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.training.train import train_classifier
from resnet_edge.training.training_job import CHECKPOINT_NAME
from resnet_edge.training.training_record import TrainingRecord
from resnet_edge.training.training_settings import TrainingSettings

CAFFE = PREPROCESSINGS["caffe"]
QUICK = TrainingSettings(epochs=3, batch_size=8, learning_rate=1e-2, augment=False)


class StopHereError(Exception):
    pass


@pytest.fixture
def run(make_small, make_pictures, tmp_path):
    """Train the small network; the arguments replace those of the call."""

    def train(model=None, settings=QUICK, *, scratch=False, work=None, **options):
        return train_classifier(
            model if model is not None else make_small(),
            options.pop("train", make_pictures(24, 0)),
            options.pop("validation", make_pictures(9, 1)),
            CAFFE,
            settings,
            scratch=scratch,
            work=work or tmp_path / "work",
            **options,
        )

    return train


def test_a_frozen_backbone_stays_and_the_head_learns(run, make_small, tmp_path):
    model = make_small()
    before = model.get_weights()
    told, steps = [], []
    result = run(
        model,
        replace(QUICK, epochs=30, patience=30, learning_rate=0.1, views=2, augment=True),
        on_features=lambda done, total: told.append((done, total)),
        on_step=lambda step, count, loss: steps.append((step, count, loss)),
    )
    assert result.model is model
    assert all((a == b).all() for a, b in zip(before[:-2], model.get_weights()[:-2], strict=True))
    record = result.record
    assert record.validation_accuracy == 1.0
    assert record.mode == "a new head on the features of the frozen backbone"
    assert [e.epoch for e in record.history] == list(range(1, 31))
    assert {e.phase for e in record.history} == {"head"}
    assert record.validation_loss == min(e.validation_loss for e in record.history)
    assert record.trained_parameters == 8 * 3 + 3
    assert record.class_counts == (8, 8, 8)
    assert told[-1] == (2 * 24 + 9, 2 * 24 + 9)
    assert [(step, count) for step, count, _ in steps] == [(3 * n, 90) for n in range(1, 31)]
    assert all(math.isfinite(loss) for *_, loss in steps)
    assert {p.suffix for p in (tmp_path / "work").iterdir()} == {".npy"}
    write_record(tmp_path / "training.json", record)
    assert read_record(TrainingRecord, tmp_path / "training.json", ModelError) == record


def test_from_scratch_everything_learns(run, make_small):
    model = make_small()
    before = model.get_weights()
    result = run(model, replace(QUICK, epochs=8), scratch=True)
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    assert result.record.validation_accuracy > 0.8
    assert result.record.mode.startswith("the whole network, from random weights")
    assert model.get_layer("early_norm").momentum == 0.99
    assert result.record.history[0].phase == "scratch"


def test_unfrozen_stages_learn_and_statistics_are_held(run, make_small):
    model = make_small()
    before = {v.path: v.numpy() for v in model.weights}
    result = run(model, replace(QUICK, unfreeze=1, learning_rate=0.1))
    assert [e.phase for e in result.record.history] == ["head"] * 3 + ["unfreeze"] * 3
    changed = {v.path for v in model.weights if (v.numpy() != before[v.path]).any()}
    assert {path.split("/")[-2] for path in changed} == {"late", "answer"}
    assert result.record.mode.endswith("then the last stage at a lower rate")
    assert all(layer.trainable for layer in model.layers)


@pytest.mark.parametrize(
    ("scratch", "settings", "stop_after"),
    [
        (True, replace(QUICK, augment=True), 2),
        (False, replace(QUICK, unfreeze=2, views=2, augment=True, dropout=0.5), 2),
        (False, replace(QUICK, unfreeze=2, dropout=0.5), 4),
    ],
)
def test_an_interrupted_run_ends_as_one_that_was_not(
    run, make_small, tmp_path, scratch, settings, stop_after
):
    whole = run(make_small(), settings, scratch=scratch, work=tmp_path / "whole")

    def interrupt(epoch):
        if epoch.epoch == stop_after:
            raise StopHereError

    with pytest.raises(StopHereError):
        run(make_small(), settings, scratch=scratch, on_epoch=interrupt)
    assert (tmp_path / "work" / CHECKPOINT_NAME).exists()
    told = []
    rest = run(make_small(), settings, scratch=scratch, on_epoch=lambda e: told.append(e.epoch))
    assert told == list(range(stop_after + 1, len(whole.record.history) + 1))
    assert rest.record.resumed_after == stop_after
    assert rest.record.best_epoch == whole.record.best_epoch
    for one, other in zip(whole.model.get_weights(), rest.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert not (tmp_path / "work" / CHECKPOINT_NAME).exists()


def test_other_settings_start_anew(run, caplog):
    def interrupt(_epoch):
        raise StopHereError

    with pytest.raises(StopHereError):
        run(on_epoch=interrupt)
    assert run(settings=replace(QUICK, seed=1)).record.resumed_after == 0
    assert "belongs to other settings or data" in caplog.text


def test_it_stops_when_validation_gets_no_better(run):
    settings = replace(QUICK, epochs=50, patience=2, learning_rate=1.0, warmup=0.0)
    record = run(settings=settings).record
    assert record.stopped_early
    assert len(record.history) == record.best_epoch + 2


def test_class_weights_and_absent_classes(run, make_pictures):
    full = make_pictures(24, 0)
    keep = np.flatnonzero(full.labels != 2)[:10]
    part = replace(full, pictures=full.pictures[keep], labels=full.labels[keep])
    record = run(settings=replace(QUICK, class_weights=True), train=part).record
    assert record.class_counts == (5, 5, 0)
    assert math.isfinite(record.validation_loss)


def test_nan_stops_the_training(run, make_small):
    model = make_small()
    kernel = model.get_layer("answer").kernel
    kernel.assign(kernel * np.nan)
    with pytest.raises(
        ModelError, match=r"the loss became nan in epoch 1 \(head\); expected a fin"
    ):
        run(model)


def test_pictures_that_do_not_fit_are_refused(run, make_pictures):
    wrong = make_pictures(9, 0)
    with pytest.raises(DataError, match=r"got \(16, 32, 3\); the model expects \(32, 32, 3\)"):
        run(train=replace(wrong, pictures=wrong.pictures[:, :16]))
    with pytest.raises(DataError, match="got class 3; the model has 3 classes, 0 to 2"):
        run(validation=replace(wrong, labels=wrong.labels + 1))


@pytest.mark.slow
def test_resnet50_itself_trains(make_resnet, make_pictures, tmp_path):
    record = train_classifier(
        make_resnet(),
        make_pictures(16, 0),
        make_pictures(6, 1),
        CAFFE,
        replace(QUICK, epochs=1),
        scratch=True,
        work=tmp_path,
    ).record
    assert record.parameters == record.trained_parameters + 6640  # moving means, variances
    assert record.device


KILLED = """
import os, signal, sys
from pathlib import Path
import keras, numpy as np
from converters.preprocessing import PREPROCESSINGS
from resnet_edge.training.labelled_pictures import LabelledPictures
from resnet_edge.training.training_settings import TrainingSettings
from resnet_edge.training.train import train_classifier
keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3), keras.layers.GlobalAveragePooling2D(),
    keras.layers.Dense(2, activation="softmax")])
data = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3)).astype(np.uint8)
split = LabelledPictures(data, np.arange(8) % 2, "key")
def on_epoch(epoch):
    print("epoch", epoch.epoch, flush=True)
    if epoch.epoch == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
result = train_classifier(model, split, split, PREPROCESSINGS["unit"],
    TrainingSettings(epochs=4, batch_size=4), scratch=True, work=Path(sys.argv[1]),
    on_epoch=on_epoch)
print("resumed after", result.record.resumed_after)
"""


def test_after_kill_9_another_process_continues(tmp_path):
    def start(die_after):
        return subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path), str(die_after)],
            capture_output=True,
            text=True,
        )

    killed = start(2)
    assert killed.returncode == -9
    continued = start(0)
    assert continued.stdout.split("\n")[:3] == ["epoch 3", "epoch 4", "resumed after 2"]


MIRRORED = """
import sys
from pathlib import Path
import tensorflow as tf
cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import numpy as np
from resnet_edge.training import train as module
from resnet_edge.training.training_device import mirrored_strategy
from resnet_edge.model.resnet50 import resnet50
from converters.preprocessing import PREPROCESSINGS
from resnet_edge.training.labelled_pictures import LabelledPictures
from resnet_edge.training.training_settings import TrainingSettings
module.strategy_for = lambda _mixed: mirrored_strategy(("CPU:0", "CPU:1"))
labels = np.arange(24) % 2
data = np.random.default_rng(0).integers(0, 80, (24, 32, 32, 3)) + 170 * labels[:, None, None, None]
split = LabelledPictures(data.astype(np.uint8), labels, "key")
for scratch, unfreeze in ((True, 0), (False, 1)):
    result = module.train_classifier(resnet50((32, 32, 3), 2, width=0.125), split, split,
        PREPROCESSINGS["tf"], TrainingSettings(epochs=3, batch_size=8, unfreeze=unfreeze),
        scratch=scratch, work=Path(sys.argv[1]))
    print(len(result.record.history), np.isfinite(result.record.validation_loss))
"""


@pytest.mark.slow
def test_two_devices_train_together(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", MIRRORED, str(tmp_path)], capture_output=True, text=True
    )
    assert done.stdout.split("\n")[:2] == ["3 True", "6 True"], done.stderr[-3000:]
