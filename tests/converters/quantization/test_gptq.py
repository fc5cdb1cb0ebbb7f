"""Kernels are rounded so that their errors cancel, in the steps and pairs that runtimes ask for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.quantization.gptq import round_kernel
from converters.quantization.rounding import PAIR, round_weights, weight_scales
from converters.quantization.settings import WeightGrid
from converters.quantization.tflite_network import DENSE, DEPTHWISE

CONVOLUTION = "CONV_2D"
GRIDS = (WeightGrid.FULL, WeightGrid.PAIR_SAFE)


def mixtures(count: int, inputs: int, seed: int = 1) -> np.ndarray:
    """Inputs that are mixtures of a quarter as many."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(0, 1, (count, inputs // 4)) @ rng.normal(0, 1, (inputs // 4, inputs))
    return (mixed + rng.normal(0, 0.01, mixed.shape)).astype(np.float32)


@pytest.fixture
def kernel() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (16, 5)).astype(np.float32)


def test_two_equal_inputs_share_an_error() -> None:
    """By hand: a step is 1. Both weights are 0.4, their sum is 0.8: 0 and 1, not 0 and 0."""
    kernel = np.array([[127.0], [0.4], [0.4]], np.float32)
    squares = np.array([[1.0, 0, 0], [0, 1, 1], [0, 1, 1]]) * 1000
    found = round_kernel(kernel, DENSE, WeightGrid.FULL, squares)
    assert found[0, 0] == 127
    assert sorted(found[1:, 0].tolist()) == [0, 1]


@pytest.mark.parametrize("grid", GRIDS)
def test_errors_cancel_on_correlated_inputs(kernel: np.ndarray, grid: WeightGrid) -> None:
    inputs = mixtures(200, 16)
    rounded = round_kernel(kernel, DENSE, grid, inputs[:100].T @ inputs[:100])
    nearest = round_weights(kernel, DENSE, weight_scales(kernel, DENSE, grid)).numpy()
    errors = [np.square(inputs[100:] @ (k - kernel)).sum() for k in (rounded, nearest)]
    assert errors[0] < errors[1] / 3


def test_without_inputs_every_weight_is_the_nearest(kernel: np.ndarray) -> None:
    rounded = round_kernel(kernel, DENSE, WeightGrid.FULL, np.zeros((16, 16)))
    nearest = round_weights(kernel, DENSE, weight_scales(kernel, DENSE))
    np.testing.assert_allclose(rounded, nearest, atol=1e-6)


@given(
    seed=st.integers(0, 10_000),
    shape=st.sampled_from([(12, 3), (1, 1, 8, 4), (3, 3, 2, 5), (2, 1, 6, 3), (1, 3)]),
    grid=st.sampled_from(GRIDS),
    tail=st.sampled_from([0.5, 2.0, 6.0]),
)
@settings(max_examples=60, deadline=None)
def test_what_is_rounded_is_stored_as_it_is(
    seed: int, shape: tuple[int, ...], grid: WeightGrid, tail: float
) -> None:
    """The steps stay those of the file, and no pair can saturate."""
    rng = np.random.default_rng(seed)
    kernel = (np.sign(rng.normal(size=shape)) * np.abs(rng.normal(size=shape)) ** tail).astype(
        np.float32
    )
    kind = DENSE if len(shape) == 2 else CONVOLUTION
    inputs = rng.normal(size=(50, kernel[..., 0].size))
    inputs[:, -1] = inputs[:, 0]
    rounded = round_kernel(kernel, kind, grid, inputs.T @ inputs)
    steps = weight_scales(kernel, kind, grid).numpy()
    np.testing.assert_allclose(weight_scales(rounded, kind, grid), steps, rtol=1e-5)
    integers = rounded.reshape(-1, shape[-1]) / steps
    np.testing.assert_allclose(integers, np.rint(integers), atol=1e-3)
    assert np.abs(integers).max() < 127.01
    if grid is WeightGrid.PAIR_SAFE:
        orders = [integers]
        if len(shape) == 4:
            orders.append((rounded / steps).transpose(2, 0, 1, 3).reshape(-1, shape[-1]))
        for order in orders:
            if len(order) > 1:
                assert np.abs(order[:-1] + order[1:]).max() <= PAIR + 0.01


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(0, 1, (70, 4)).astype(np.float32)
    inputs = mixtures(300, 70)
    whole = round_kernel(kernel, DENSE, WeightGrid.FULL, inputs.T @ inputs)
    monkeypatch.setattr("converters.quantization.gptq.BLOCK", 8)
    blocks = round_kernel(kernel, DENSE, WeightGrid.FULL, inputs.T @ inputs)
    np.testing.assert_allclose(blocks, whole, atol=1e-6)


def test_a_depthwise_kernel_is_refused(kernel: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a depthwise kernel has other inputs for every channel"):
        round_kernel(kernel.reshape(4, 4, 5, 1), DEPTHWISE, WeightGrid.FULL, np.eye(16))
