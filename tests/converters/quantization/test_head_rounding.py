"""The head's weights are rounded so that their errors cancel on correlated features."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from keras import layers

from converters.quantization import head_rounding
from converters.quantization.calibration import calibrate
from converters.quantization.head_rounding import is_too_coarse, round_head, rounded_kernel
from converters.quantization.rounding import round_weights, weight_scales
from converters.quantization.settings import QuantizationSettings, WeightGrid
from converters.quantization.tflite_network import DENSE, Parameters


@pytest.fixture
def kernel() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (16, 5)).astype(np.float32)


@pytest.fixture
def features() -> np.ndarray:
    """Sixteen features that are mixtures of four."""
    rng = np.random.default_rng(1)
    mixed = rng.normal(0, 1, (200, 4)) @ rng.normal(0, 1, (4, 16))
    return (mixed + rng.normal(0, 0.01, mixed.shape)).astype(np.float32)


def test_errors_cancel_on_correlated_features(kernel: np.ndarray, features: np.ndarray) -> None:
    rounded = rounded_kernel(kernel, features[:100])
    nearest = round_weights(kernel, DENSE, weight_scales(kernel, DENSE)).numpy()
    errors = [np.square(features[100:] @ (k - kernel)).sum() for k in (rounded, nearest)]
    assert errors[0] < errors[1] / 3


def test_a_rounded_kernel_is_stored_as_it_is(kernel: np.ndarray, features: np.ndarray) -> None:
    rounded = rounded_kernel(kernel, features)
    steps = weight_scales(kernel, DENSE).numpy()
    np.testing.assert_allclose(weight_scales(rounded, DENSE), steps, rtol=1e-6)
    np.testing.assert_allclose(rounded / steps, np.rint(rounded / steps), atol=1e-4)
    assert np.abs(rounded - kernel).max() < 8 * steps.max()


def test_without_features_every_weight_is_the_nearest(kernel: np.ndarray) -> None:
    rounded = rounded_kernel(kernel, np.zeros((3, 16), np.float32))
    nearest = round_weights(kernel, DENSE, weight_scales(kernel, DENSE))
    np.testing.assert_allclose(rounded, nearest, atol=1e-6)


def layers_with_head(x: object) -> object:
    x = layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 255)(x))
    return layers.Dense(3)(layers.GlobalAveragePooling2D()(x))


def test_a_head_is_rounded_only_if_its_logits_are_better(
    small, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small(layers_with_head, (8, 8, 3))
    monkeypatch.setattr(head_rounding, "FEWEST_PICTURES", 41)  # there are 40
    before = calibrate(made.float32, made.pictures, QuantizationSettings(), made.layers)
    assert round_head(before, made.pictures) is before
    monkeypatch.setattr(head_rounding, "FEWEST_PICTURES", 40)
    (head,) = [op for op in before.network.weighted if op.kind == DENSE]
    better = before.float_parameters[head.index].kernel + np.float32(1e-5)
    monkeypatch.setattr(head_rounding, "rounded_kernel", lambda kernel, _: better)
    after = round_head(before, made.pictures)
    np.testing.assert_array_equal(after.scheme.parameters[head.index].kernel, better)
    monkeypatch.setattr(head_rounding, "rounded_kernel", lambda kernel, _: kernel + 2 * kernel)
    assert round_head(before, made.pictures) is before


def test_a_head_that_8_bits_are_too_coarse_for_stays_in_float(small) -> None:
    """A weight of 1e6 beside others of 1, on a feature that does not vary: all others become 0."""
    made = small(layers_with_head, (8, 8, 3))
    assert not is_too_coarse(made.network, made.pictures)
    (head,) = [op for op in made.network.weighted if op.kind == DENSE]
    exact = made.network.parameters[head.index]
    kernel = exact.kernel.copy()
    kernel[0] = 1e6 * np.abs(kernel).max()
    large = {**made.network.parameters, head.index: Parameters(kernel, exact.bias)}

    def without_the_first(*_: object) -> np.ndarray:
        features = np.random.default_rng(0).normal(size=(40, len(kernel))).astype(np.float32)
        features[:, 0] = 0
        return features

    network = SimpleNamespace(dense_head=head, parameters=large)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(head_rounding, "_features", without_the_first)
        assert is_too_coarse(network, made.pictures)
        patched.setattr(head_rounding, "_features", lambda *_: np.zeros((40, len(kernel))))
        assert not is_too_coarse(network, made.pictures)  # a dead network
    assert not is_too_coarse(SimpleNamespace(dense_head=None), made.pictures)


def test_a_float_head_is_not_rounded(small) -> None:
    made = small(layers_with_head, (8, 8, 3))
    found = calibrate(made.float32, made.pictures, QuantizationSettings(), made.layers)
    (head,) = [op for op in found.network.weighted if op.kind == DENSE]
    assert found.scheme.grid_of(found.network, head) is WeightGrid.FULL
    floats = replace(found, scheme=replace(found.scheme, has_float_head=True))
    assert floats.scheme.grid_of(found.network, head) is None
    assert round_head(floats, made.pictures) is floats
