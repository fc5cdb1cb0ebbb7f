import keras
import numpy as np
import pytest

from converters.preprocessing import PREPROCESSINGS
from resnet_edge.errors import ModelError, OutputError
from resnet_edge.training import features as module
from resnet_edge.training.features import Extractor, compute_features, weights_key

UNIT = PREPROCESSINGS["unit"]


@pytest.fixture
def extractor(tmp_path):
    """A backbone whose features are the mean colours."""
    inputs = keras.Input((32, 32, 3))
    backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    return Extractor(backbone, "network", UNIT, 0, tmp_path / "cache")


def compute(extractor, split, view=0):
    done = []
    return np.array(compute_features(extractor, split, view, done.append)), done


def test_features_are_computed_once(extractor, make_pictures, monkeypatch):
    split = make_pictures(70, 0)
    features, done = compute(extractor, split)
    np.testing.assert_allclose(features, split.pictures.mean(axis=(1, 2)) / 255, rtol=1e-4)
    assert done == [64, 6]
    monkeypatch.setattr(module, "_write", None)
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
    other = Extractor(extractor.backbone, "other weights", UNIT, 0, extractor.cache)
    compute(other, split)
    assert len(list(extractor.cache.iterdir())) == 5


def test_a_cut_off_file_is_made_again(extractor, make_pictures):
    split = make_pictures(6, 0)
    features, _ = compute(extractor, split)
    (path,) = extractor.cache.iterdir()
    path.write_bytes(path.read_bytes()[:-8])
    again, _ = compute(extractor, split)
    assert (again == features).all()


def test_nan_is_refused_and_nothing_is_kept(extractor, make_pictures):
    inputs = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    broken = keras.Model(inputs, keras.ops.log(-pooled), name="broken")
    bad = Extractor(broken, "network", UNIT, 0, extractor.cache)
    with pytest.raises(ModelError, match="broken: the backbone answers NaN or infinity for pic"):
        compute(bad, make_pictures(6, 0))
    assert not list(extractor.cache.glob("*.npy"))


def test_a_full_disk_is_said(extractor, make_pictures, monkeypatch):
    def fail(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write", fail)
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\); free"):
        compute(extractor, make_pictures(6, 0))
    assert not list(extractor.cache.iterdir())


def test_the_key_follows_the_weights(make_small):
    model = make_small()
    before = weights_key(model)
    assert before == weights_key(make_small())
    model.set_weights([w + 1 for w in model.get_weights()])
    assert weights_key(model) != before
