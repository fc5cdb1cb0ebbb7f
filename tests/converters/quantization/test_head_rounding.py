"""The head is rounded by its errors on features, if that is better, or stays in float."""

from dataclasses import replace

import numpy as np
import pytest
from keras import layers

from converters.quantization import head_rounding
from converters.quantization.bias_correction import measure_float_outputs
from converters.quantization.calibration import calibrate
from converters.quantization.head_rounding import head_features, is_too_coarse, round_head
from converters.quantization.settings import QuantizationSettings, WeightGrid
from converters.quantization.tflite_network import DENSE


@pytest.fixture
def features() -> np.ndarray:
    """Sixteen features that are mixtures of four."""
    rng = np.random.default_rng(1)
    mixed = rng.normal(0, 1, (200, 4)) @ rng.normal(0, 1, (4, 16))
    return (mixed + rng.normal(0, 0.01, mixed.shape)).astype(np.float32)


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
    monkeypatch.setattr(head_rounding, "round_kernel", lambda *_: better)
    after = round_head(before, made.pictures)
    np.testing.assert_array_equal(after.scheme.parameters[head.index].kernel, better)
    monkeypatch.setattr(head_rounding, "round_kernel", lambda kernel, *_: 3 * kernel)
    assert round_head(before, made.pictures) is before


def test_a_head_that_8_bits_are_too_coarse_for(features: np.ndarray) -> None:
    kernel = np.random.default_rng(2).normal(0, 1, (16, 5)).astype(np.float32)
    features = np.random.default_rng(3).normal(0, 1, features.shape).astype(np.float32)
    assert not is_too_coarse(features, kernel, kernel)
    assert not is_too_coarse(features * 0 + 1, kernel, kernel)  # a dead network
    large, quiet = kernel.copy(), features.copy()
    large[0], quiet[:, 0] = 1e6, 0  # beside it all others are 0, and it weighs nothing
    assert is_too_coarse(quiet, large, large)
    scales = np.ones((16, 1), np.float32)
    scales[0] = 1e-6
    assert not is_too_coarse(quiet, large, large * scales)
    assert is_too_coarse(features, kernel, kernel / scales)


def test_features_of_the_head(small) -> None:
    made = small(layers_with_head, (8, 8, 3))
    (head,) = [op for op in made.network.weighted if op.kind == DENSE]
    found = head_features(made.network, head, made.pictures)
    p = made.network.parameters[head.index]
    logits = measure_float_outputs(made.network, made.pictures[::2]).logits  # at most 32 of 40
    np.testing.assert_allclose(found @ p.kernel + p.bias, logits, atol=1e-4)


def test_a_float_head_is_not_rounded(small) -> None:
    made = small(layers_with_head, (8, 8, 3))
    found = calibrate(made.float32, made.pictures, QuantizationSettings(), made.layers)
    (head,) = [op for op in found.network.weighted if op.kind == DENSE]
    assert found.scheme.grid_of(found.network, head) is WeightGrid.FULL
    floats = replace(found, scheme=replace(found.scheme, has_float_head=True))
    assert floats.scheme.grid_of(found.network, head) is None
    assert round_head(floats, made.pictures) is floats
