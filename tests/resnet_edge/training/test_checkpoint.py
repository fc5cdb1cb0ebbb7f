import math

import numpy as np
import pytest

from resnet_edge.errors import OutputError
from resnet_edge.training import checkpoint as module
from resnet_edge.training.checkpoint import (
    Checkpoint,
    TrainingProgress,
    delete_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from resnet_edge.training.training_record import Epoch

EPOCHS = tuple(Epoch(n, "head", 1.0, 0.5, 1.0 / n, 0.5, 1e-3, 0.1) for n in (1, 2, 3))


def make(best_epoch=2, key="key"):
    progress = TrainingProgress(key, "head", 1, best_epoch, 0.5, EPOCHS)
    weights = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7, np.int64)]
    return Checkpoint(progress, weights, [np.ones(2, np.float32)], [w * 0 for w in weights])


def same(left, right):
    return len(left) == len(right) and all(
        a.dtype == b.dtype and (a == b).all() for a, b in zip(left, right, strict=True)
    )


def test_it_comes_back_as_it_was(tmp_path):
    path = tmp_path / "new" / "checkpoint.zip"
    saved = make()
    save_checkpoint(path, saved)
    loaded = load_checkpoint(path, "key")
    assert loaded.progress == saved.progress
    assert same(loaded.weights, saved.weights)
    assert same(loaded.optimizer, saved.optimizer)
    assert same(loaded.best, saved.best)
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.zip"]


def test_the_last_epochs_weights_are_the_best_where_it_was_the_best(tmp_path):
    path = tmp_path / "checkpoint.zip"
    save_checkpoint(path, make(best_epoch=3))
    loaded = load_checkpoint(path, "key")
    assert same(loaded.best, loaded.weights)


def test_none_is_no_error(tmp_path):
    assert load_checkpoint(tmp_path / "missing.zip", "key") is None


def test_another_trainings_is_left_and_said(tmp_path, caplog):
    save_checkpoint(tmp_path / "checkpoint.zip", make(key="other"))
    assert load_checkpoint(tmp_path / "checkpoint.zip", "key") is None
    assert "belongs to other settings or data; training starts anew" in caplog.text


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_damaged_one_is_left_and_said(tmp_path, caplog, share):
    path = tmp_path / "checkpoint.zip"
    save_checkpoint(path, make())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert load_checkpoint(path, "key") is None
    assert "training starts anew" in caplog.text


def test_a_full_disk_is_said_and_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.zip"
    save_checkpoint(path, make())
    before = path.read_bytes()

    def fail(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.np.lib.format, "write_array", fail)
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\); free"):
        save_checkpoint(path, make())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.zip"]


def test_deleting_takes_what_an_interrupted_write_left(tmp_path):
    path = tmp_path / "checkpoint.zip"
    save_checkpoint(path, make())
    path.with_name(".checkpoint.zip.abcd.part").write_bytes(b"half")
    delete_checkpoint(path)
    assert not list(tmp_path.iterdir())


def test_progress_counts():
    progress = TrainingProgress("key", "unfreeze", 3, 2, math.inf, EPOCHS)
    assert progress.epoch == 3
    assert progress.done == 1
    assert progress.epochs_without_gain == 1
    assert TrainingProgress("key", "head", 1, 0, math.inf, ()).epochs_without_gain == 0
