import numpy as np

from resnet_edge.training.augmentation import augmentation, variation


def test_pictures_are_varied_by_the_seed_within_their_range():
    pictures = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.float32)
    first, again, other = (
        np.asarray(augmentation(seed)(pictures, training=True)) for seed in (1, 1, 2)
    )
    assert first.shape == pictures.shape
    assert (first == again).all()
    assert np.abs(first - other).max() > 1
    assert np.abs(first - pictures).max() > 1
    assert first.min() >= -1e-3
    assert first.max() <= 255 + 1e-3


def test_a_step_varies_alike_whatever_came_before():
    pictures = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.float32)
    whole, resumed = variation(1), variation(1)
    steps = [np.asarray(whole(pictures, step)) for step in (1, 2, 3)]
    np.testing.assert_array_equal(resumed(pictures, 3), steps[2])
    assert np.abs(steps[0] - steps[1]).max() > 1
