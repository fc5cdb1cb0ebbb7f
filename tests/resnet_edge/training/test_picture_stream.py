import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.preprocessing import PREPROCESSINGS
from resnet_edge.training.picture_stream import batches, class_weight, picture_batches, with_targets


def test_class_weights_by_hand():
    weights = class_weight(np.array([0, 0, 0, 2]), 3)
    np.testing.assert_allclose(weights, [4 / (2 * 3), 0, 4 / (2 * 1)], rtol=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_weighted_classes_count_alike_and_the_mean_weight_is_one(labels):
    labels = np.array(labels)
    weights = class_weight(labels, 6)
    sums = np.bincount(labels, weights=weights[labels], minlength=6)
    present = sums[np.unique(labels)]
    np.testing.assert_allclose(present, present[0], rtol=1e-5)
    np.testing.assert_allclose(weights[labels].mean(), 1, rtol=1e-5)


def test_batches_come_in_order_one_at_a_time():
    samples = np.arange(5, dtype=np.float32)[:, None]
    asked = []

    def gather(indices):
        asked.append(len(indices))
        return samples[indices]

    order = np.array([4, 2, 0, 1, 3])
    stream = list(batches(gather, (1,), np.float32, order, 2))
    assert [list(indices.numpy()) for _, indices in stream] == [[4, 2], [0, 1], [3]]
    assert [list(x.numpy()[:, 0]) for x, _ in stream] == [[4, 2], [0, 1], [3]]
    assert max(asked) == 2
    assert len(list(batches(gather, (1,), np.float32, order, 2, drop_remainder=True))) == 2


def test_pictures_are_preprocessed_exactly_once():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3)).astype(np.uint8)
    caffe = PREPROCESSINGS["caffe"]
    ((got, _),) = picture_batches(pictures, caffe, np.arange(3), 3)
    expected = pictures[..., ::-1].astype(np.float32) - [103.939, 116.779, 123.68]
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-4)
    assert got.dtype == np.float32


def test_augmentation_follows_its_seed():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)

    def draw(seed):
        stream = picture_batches(
            pictures, PREPROCESSINGS["none"], np.arange(3), 2, augment_seed=seed
        )
        return np.concatenate([x.numpy() for x, _ in stream])

    assert (draw(1) == draw(1)).all()
    assert (draw(1) != draw(2)).any()


def test_targets_and_weights_follow_the_indices():
    labels, weights = np.array([2, 0, 1]), np.array([1, 2, 3], np.float32)
    samples = np.zeros((3, 1), np.float32)
    stream = batches(lambda i: samples[i], (1,), np.float32, np.array([1, 0, 2]), 3)
    ((_, targets, sample_weights),) = with_targets(stream, labels, weights)
    assert targets.numpy().argmax(axis=1).tolist() == [0, 2, 1]
    assert sample_weights.numpy().tolist() == [1, 3, 2]
