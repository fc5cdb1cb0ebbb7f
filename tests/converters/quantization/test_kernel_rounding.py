"""Kernels that round otherwise than to the nearest integer, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from converters.quantization.kernel_rounding import coarse, kernel_of
from converters.quantization.rounding import fake_quantize
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import Operation, TfliteNetwork

SPAN = Range(-100.0, 155.0)
"""A step of 1 and the zero point -28, so the integer 0 stands for 28."""


def network_of(kind: str, inputs: int = 1, **options: object) -> TfliteNetwork:
    """A network of one operator on tensors with three channels. The last tensor is its output."""
    operation = Operation(
        0, kind, tuple(range(inputs)), (inputs,), "NONE", SimpleNamespace(**options), "layer"
    )
    parts = ((1, 2, 2, 3),) * inputs
    shapes = (*parts, (1, 2, 2, 3 * inputs))
    return TfliteNetwork((operation,), ("",) * (inputs + 1), shapes, {}, 0, inputs)


def rounded(network: TfliteNetwork, ranges: dict[int, Range], values: list[float]) -> np.ndarray:
    """The values as the operator writes them."""
    (operation,) = network.operations
    kernel, span = kernel_of(network, operation, ranges), ranges[operation.output]
    assert kernel is not None
    return fake_quantize(kernel(tf.constant(values)), span.low, span.high).numpy()


def test_an_average_goes_away_from_the_integer_0() -> None:
    """2.5 is the integer -25.5, 30.5 is 2.5; whole numbers stay, 0.49 is no half."""
    found = rounded(
        network_of("AVERAGE_POOL_2D"), dict.fromkeys((0, 1), SPAN), [2.5, 30.5, 7, -3, 2.51, 30.49]
    )
    np.testing.assert_array_equal(found, [2, 31, 7, -3, 3, 30])


def test_a_resized_half_goes_up() -> None:
    found = rounded(
        network_of("RESIZE_BILINEAR"), dict.fromkeys((0, 1), SPAN), [2.5, 30.5, -2.5, 2.49]
    )
    np.testing.assert_array_equal(found, [3, 31, -2, 2])


@pytest.mark.parametrize(("quotient", "multiplier"), [(0.3, 77), (0.5, 128), (1 / 3, 85)])
def test_multipliers_have_8_bits(quotient: float, multiplier: int) -> None:
    """0.3 * 256 is 76.8."""
    assert coarse(quotient) * quotient == pytest.approx(multiplier / 256)


def test_a_leaky_relu_has_a_multiplier_for_each_sign() -> None:
    """Both steps are 1. The slope 0.3 becomes 77/256: -95 times it is -28.57 instead of -28.5."""
    network = network_of("LEAKY_RELU", alpha=0.3)
    found = rounded(network, dict.fromkeys((0, 1), SPAN), [120.0, 0.3 * -95, 0.3 * -10])
    np.testing.assert_array_equal(found, [120, -29, -3])


def test_only_the_part_with_another_step_is_converted() -> None:
    """Steps of 0.3 and 1 are joined in steps of 1: 100 * 0.3 is 100 * 77 / 256 = 30.08."""
    network = network_of("CONCATENATION", 2, axis=-1)
    ranges = {0: Range(0.0, 0.3 * 255), 1: SPAN, 2: SPAN}
    kernel = kernel_of(network, network.operations[0], ranges)
    assert kernel is not None
    found = kernel(tf.constant([[30.0, 30.0, 30.0, 30.0, 7.5, 8.0]])).numpy()
    np.testing.assert_allclose(found, [[30.08, 30.08, 30.08, 30.0, 7.5, 8.0]], atol=2e-3)
    assert found[0, 3:].tolist() == [30.0, 7.5, 8.0]


def test_parts_with_the_step_of_the_whole_are_only_joined() -> None:
    network = network_of("CONCATENATION", 2, axis=3)
    assert kernel_of(network, network.operations[0], dict.fromkeys((0, 1, 2), SPAN)) is None


def test_other_operators_round_to_the_nearest() -> None:
    network = network_of("CONV_2D")
    assert kernel_of(network, network.operations[0], dict.fromkeys((0, 1), SPAN)) is None
