import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.training.standardization import LEAST_DEVIATION, measure_standardization


def make_head(use_bias=True):
    head = keras.layers.Dense(3, use_bias=use_bias)
    head.build((None, 4))
    return head


def make_features(seed=0, count=50):
    return (
        np.random.default_rng(seed).normal([0, 5, -1, 2], [1, 3, 0.5, 0], (count, 4)).astype("f4")
    )


def test_all_views_are_standardized_together():
    views = [make_features(0), make_features(1) + 1]
    both = np.concatenate(views)
    standardized = measure_standardization(views, centre=True).apply(both)
    np.testing.assert_allclose(standardized.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(standardized[:, :3].std(axis=0), 1, atol=1e-5)


def test_a_constant_feature_is_not_blown_up():
    features = make_features()
    scale = measure_standardization([features], centre=True).scale
    floor = LEAST_DEVIATION * features.astype(np.float64).std(axis=0).mean()
    assert scale[3] == pytest.approx(1 / floor, rel=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.booleans())
def test_folding_changes_no_answer(seed, use_bias):
    features, head = make_features(seed), make_head(use_bias)
    standardization = measure_standardization([features], centre=use_bias)
    expected = head(features).numpy()
    standardization.unfold(head)
    np.testing.assert_allclose(head(standardization.apply(features)), expected, atol=1e-4)
    standardization.fold(head)
    np.testing.assert_allclose(head(features), expected, atol=1e-4)
