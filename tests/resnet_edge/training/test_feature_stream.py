import numpy as np

from resnet_edge.training.feature_stream import FeatureStream
from resnet_edge.training.shuffled_features import ShuffledFeatures
from resnet_edge.training.standardization import Standardization

PLAIN = Standardization(np.zeros(1, np.float32), np.ones(1, np.float32))


def make_stream(count=10, views=2, batch_size=4, standardization=PLAIN):
    """Features say which picture they are of, and by hundreds of which view."""
    features = [np.arange(count, dtype=np.float32)[:, None] + 100 * v for v in range(views)]
    weights = np.array([1, 2, 3], np.float32)
    shuffled = ShuffledFeatures(features)
    return FeatureStream(shuffled, standardization, np.arange(count) % 3, weights, batch_size)


def read(stream, seed):
    batches = [[part.numpy() for part in batch] for batch in stream(seed)]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def test_every_picture_comes_at_most_once_with_its_target_and_weight():
    stream = make_stream()
    assert [batch[0].shape for batch in stream(1)] == [(4, 1), (4, 1)]
    features, targets, weights = read(stream, 1)
    pictures = features[:, 0].astype(int) % 100
    assert len(set(pictures)) == 8
    assert (targets.argmax(axis=1) == pictures % 3).all()
    assert (targets.sum(axis=1) == 1).all()
    assert (weights == pictures % 3 + 1).all()


def test_seeds_draw_order_and_views():
    stream = make_stream(count=100)
    first, other, again = (read(stream, seed)[0] for seed in (1, 2, 1))
    assert (first == again).all()
    assert (first != other).any()
    assert 20 < (first >= 100).sum() < 80


def test_more_rows_than_are_read_at_once_come_in_full_batches():
    stream = make_stream(count=2500, views=1, batch_size=24)
    assert int(stream(0).cardinality()) == 2500 // 24
    sizes = [len(features) for features, _, _ in stream(0)]
    assert sizes == [24] * (2500 // 24)
    assert len(set(read(stream, 0)[0][:, 0])) == 2500 // 24 * 24


def test_features_are_standardized():
    standardization = Standardization(np.full(1, 2, np.float32), np.full(1, 0.5, np.float32))
    features, _, _ = read(make_stream(views=1, batch_size=10, standardization=standardization), 0)
    assert sorted(features[:, 0]) == [(n - 2) / 2 for n in range(10)]
