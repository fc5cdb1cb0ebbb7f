"""Features of a frozen backbone: right, cached, whole or not there, whoever computes them."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from converters.preprocessing import PREPROCESSINGS
from resnet_edge.errors import ModelError, OutputError
from resnet_edge.scale.engine import Engine, EngineKind
from resnet_edge.scale.running import HERE, Computing
from resnet_edge.training import features as module
from resnet_edge.training.features import Extractor, compute_features, weights_key

UNIT = PREPROCESSINGS["unit"]
TWO = Computing(Engine(EngineKind.LOCAL, 2, 1), print)


@pytest.fixture
def extractor(tmp_path):
    """A backbone whose features are the mean colours."""
    inputs = keras.Input((32, 32, 3))
    backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    return Extractor(backbone, "network", UNIT, 0, tmp_path / "cache", HERE)


def compute(extractor, split, view=0):
    done = []
    return np.array(compute_features(extractor, split, view, done.append)), done


def files(extractor):
    return list(extractor.cache.glob("*.npy"))


def test_features_are_computed_once(extractor, make_pictures, monkeypatch):
    split = make_pictures(70, 0)
    features, done = compute(extractor, split)
    np.testing.assert_allclose(features, split.pictures.mean(axis=(1, 2)) / 255, rtol=1e-4)
    assert done == [64, 6]
    monkeypatch.setattr(module, "run_stage", None)
    again, done = compute(extractor, split)
    assert (again == features).all()
    assert done == [70]


def test_views_pictures_and_network_have_files_of_their_own(extractor, make_pictures):
    split = make_pictures(6, 0)
    plain, _ = compute(extractor, split)
    first, _ = compute(extractor, split, view=1)
    second, _ = compute(extractor, split, view=2)
    assert np.abs(plain - first).max() > 1e-4
    assert np.abs(first - second).max() > 1e-4
    compute(extractor, make_pictures(6, 1))
    other = replace(extractor, key="other weights")
    compute(other, split)
    assert len(files(extractor)) == 5
    assert not (extractor.cache / "features").exists()


def test_a_shard_is_varied_alike_whatever_came_before(extractor, make_pictures, tmp_path):
    split = make_pictures(70, 0)
    whole, _ = compute(extractor, split, view=1)
    stage = module.feature_stage(extractor, split, 1)
    alone = stage.work.open()(stage.job_of(1))
    assert alone.payload == whole[64:].tobytes()
    twice = replace(
        split, pictures=np.concatenate([split.pictures[:64]] * 2), labels=np.zeros(128, int)
    )
    both, _ = compute(extractor, twice, view=1)
    assert np.abs(both[:64] - both[64:]).max() > 1e-4


def test_other_processes_compute_the_same_bytes(extractor, make_pictures, tmp_path):
    split = make_pictures(70, 0)
    apart = replace(extractor, cache=tmp_path / "apart", computing=TWO)
    for view in (0, 1):
        here, _ = compute(extractor, split, view)
        there, _ = compute(apart, split, view)
        assert here.tobytes() == there.tobytes()


def test_a_cut_off_file_is_made_again(extractor, make_pictures):
    split = make_pictures(6, 0)
    features, _ = compute(extractor, split)
    (path,) = files(extractor)
    path.write_bytes(path.read_bytes()[:-8])
    again, _ = compute(extractor, split)
    assert (again == features).all()


def test_nan_is_refused_and_nothing_is_kept(extractor, make_pictures):
    inputs = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    broken = keras.Model(inputs, keras.ops.log(-pooled), name="broken")
    bad = replace(extractor, backbone=broken)
    with pytest.raises(ModelError, match="broken: the backbone answers NaN or infinity for pic"):
        compute(bad, make_pictures(6, 0))
    assert not files(extractor)


def test_a_full_disk_is_said(extractor, make_pictures, monkeypatch):
    def fail(*_args):
        raise OutputError("features.npy: cannot be written (No space left on device); free some")

    monkeypatch.setattr(module, "join_rows", fail)
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\); free"):
        compute(extractor, make_pictures(6, 0))
    assert not files(extractor)


def test_the_key_follows_the_weights(make_small):
    model = make_small()
    before = weights_key(model)
    assert before == weights_key(make_small())
    model.set_weights([w + 1 for w in model.get_weights()])
    assert weights_key(model) != before
