"""The simulation of integers, against the integers that LiteRT computes; corrected biases."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from converters.quantization.activation_extremes import measure_activations
from converters.quantization.answer_metrics import sqnr_db
from converters.quantization.bias_correction import (
    correct_biases,
    measure_float_outputs,
    measure_rounded_outputs,
)
from converters.quantization.calibration import calibrate
from converters.quantization.equalization import equalize, find_channels, strength_scales
from converters.quantization.integer_simulation import (
    round_parameters,
    simulate,
    with_rounded_constants,
)
from converters.quantization.rounding import round_weights, weight_scales
from converters.quantization.scheme import Scheme, rounded_tensors
from converters.quantization.settings import Level, QuantizationSettings, WeightGrid
from converters.quantization.tensor_range import Range
from converters.quantization.tensorflow_execution import constant_weights
from converters.quantization.tflite import quantize_static
from converters.quantization.tflite_network import Parameters, read_network, write_parameters


@pytest.mark.parametrize("level", [Level.FAST, Level.EQUALIZED])
def test_the_simulation_is_what_litert_computes(each, classify, level: Level) -> None:
    found = calibrate(each.float32, each.pictures, QuantizationSettings(level), each.layers)
    data = quantize_static(each.float32, found.network, found.scheme, integer_only=False)
    actual = classify(data, each.pictures)
    simulated = tf.nn.softmax(simulate(found.network, found.scheme, each.pictures)).numpy()
    # A value between two levels may go either way, which is a last bit of some tensor.
    np.testing.assert_allclose(simulated, actual, atol=4e-3)
    exact = classify(each.float32, each.pictures)
    assert sqnr_db(actual, simulated) > sqnr_db(actual, exact) + 3


def test_every_level_of_integer_only_outputs_is_near(residual, classify) -> None:
    """All operators are integer, so the answers are levels: two of them apart at most."""
    found = calibrate(residual.float32, residual.pictures, QuantizationSettings(), residual.layers)
    scheme = replace(found.scheme, float_operations=frozenset())
    data = quantize_static(residual.float32, found.network, scheme, integer_only=True)
    actual = classify(data, residual.pictures)
    simulated = tf.nn.softmax(simulate(found.network, scheme, residual.pictures)).numpy()
    assert np.abs(simulated - actual).max() <= 3 / 256


@pytest.fixture(scope="module")
def single(small):
    """One convolution and the mean of its channels."""

    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        y = layers.Conv2D(4, 1, name="conv")(x)
        return layers.Softmax()(layers.GlobalAveragePooling2D()(y))

    return small(build, (4, 4, 3), "none")


def one_layer_scheme(single, span: Range) -> Scheme:
    network = single.network
    ranges = dict.fromkeys(network.writers, span)
    ranges[network.image] = Range(0.0, 255.0)
    head = network.head | {op.index for op in network.operations if op.kind == "MEAN"}
    return Scheme(network.parameters, ranges, head)


def test_by_hand(single) -> None:
    """A range of [-255, 255] with the step 2, so the zero point is 127 or 128."""
    network, (operation,) = single.network, single.network.weighted
    scheme = one_layer_scheme(single, Range(-254.0, 256.0))
    p = network.parameters[operation.index]
    kernel = round_weights(
        p.kernel, operation.kind, weight_scales(p.kernel, operation.kind)
    ).numpy()
    x = single.pictures[:3].astype(np.float64)
    sums = x @ kernel[0, 0].astype(np.float64) + p.bias
    expected = np.clip(2 * np.rint(sums / 2), -254, 256).mean(axis=(1, 2))
    found = simulate(network, scheme, single.pictures[:3])
    np.testing.assert_allclose(found, expected, atol=2 / 16 + 1e-3)  # one pixel of 16 may differ
    assert np.abs(found - expected).mean() < 0.02


def test_corrected_biases_restore_the_means_of_channels(single) -> None:
    """A range that clips moves the means, weights that are far off move them more."""
    network, (operation,) = single.network, single.network.weighted
    reference = network.parameters
    wrong = Parameters(
        reference[operation.index].kernel + np.float32(0.1), reference[operation.index].bias
    )
    wide = one_layer_scheme(single, Range(-1000.0, 1000.0))
    scheme = replace(wide, parameters={operation.index: wrong})
    float_outputs = measure_float_outputs(network, single.pictures)
    corrected = correct_biases(network, scheme, float_outputs, single.pictures)
    exact, rounded = float_outputs.logits, simulate(network, corrected, single.pictures)
    np.testing.assert_allclose(rounded.mean(axis=0), exact.mean(axis=0), atol=0.5)
    before = simulate(network, scheme, single.pictures)
    assert np.abs(before - exact).mean() > 20
    # By hand: a tenth of the pixels' sum was added, and the rounding of the kernel on top.
    after = corrected.parameters[operation.index]
    x = single.pictures.reshape(-1, 3).astype(np.float64)
    rounded_kernel = round_weights(
        wrong.kernel, operation.kind, weight_scales(wrong.kernel, operation.kind)
    ).numpy()
    shift = (x @ (reference[operation.index].kernel[0, 0] - rounded_kernel[0, 0])).mean(axis=0)
    np.testing.assert_allclose(after.bias, wrong.bias + shift, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(after.kernel, wrong.kernel)


def test_biases_are_whole_numbers_of_the_steps_of_sums(single) -> None:
    """By hand: pixels have the step 1 in 8 bits, and 255 / 32767 in 16."""
    network, (operation,) = single.network, single.network.weighted
    p = network.parameters[operation.index]
    scheme = one_layer_scheme(single, Range(-254.0, 256.0))
    scheme = replace(
        scheme, parameters={operation.index: Parameters(p.kernel, np.full(4, 0.7, np.float32))}
    )
    steps = weight_scales(p.kernel, operation.kind).numpy()
    for bits, step in ((8, 1.0), (16, 255 / 32767)):
        bias = round_parameters(network, scheme, bits)[operation.index].bias.numpy()
        np.testing.assert_allclose(bias, np.rint(0.7 / (steps * step)) * steps * step, rtol=1e-6)
        assert np.abs(bias - 0.7).max() > 0
    everything = replace(scheme, float_operations=scheme.float_operations | {operation.index})
    bias = round_parameters(network, everything)[operation.index].bias.numpy()
    np.testing.assert_array_equal(bias, np.float32(0.7))


def test_corrected_networks_have_the_means_of_the_float_one(each) -> None:
    """Every channel, up to the step of its bias."""
    method = QuantizationSettings(Level.FAST, grid=WeightGrid.PAIR_SAFE)
    found = calibrate(each.float32, each.pictures, method, each.layers)
    assert found.scheme.grid is WeightGrid.PAIR_SAFE
    float_outputs = measure_float_outputs(each.network, each.pictures)
    scheme = correct_biases(each.network, found.scheme, float_outputs, each.pictures)
    rounded = measure_rounded_outputs(each.network, scheme, each.pictures)
    for operation in each.network.weighted:
        if operation.index not in found.scheme.float_operations:
            expected, actual = (
                outputs.means[operation.index].mean(axis=0) for outputs in (float_outputs, rounded)
            )
            np.testing.assert_allclose(actual, expected, atol=0.02 * np.abs(expected).max())


def test_float_operations_are_left_alone(residual) -> None:
    """With all of them in float nothing but the head's weights is rounded."""
    network = residual.network
    everything = frozenset(operation.index for operation in network.operations)
    scheme = Scheme(network.parameters, {}, everything)
    assert rounded_tensors(network, everything) == frozenset()
    weights = round_parameters(network, scheme)
    for operation in network.weighted:
        same = np.array_equal(
            weights[operation.index].kernel.numpy(), network.parameters[operation.index].kernel
        )
        assert same is (operation.layer != "head")
    constants = with_rounded_constants(network, everything).constants
    for tensor, values in network.constants.items():
        assert constants[tensor] is values


def test_a_float_layer_keeps_its_kernel_and_its_neighbours_their_tensors(residual) -> None:
    network = residual.network
    index = residual.operation("b_reduce")
    found = calibrate(residual.float32, residual.pictures, QuantizationSettings(), residual.layers)
    scheme = replace(found.scheme, float_operations=network.head | {index})
    kernel = round_parameters(network, scheme)[index].kernel.numpy()
    np.testing.assert_array_equal(kernel, scheme.parameters[index].kernel)
    operation = network.operations[index]
    # The integer layers beside it read and write both of its tensors.
    assert {operation.inputs[0], operation.output} <= rounded_tensors(network, {index})


def test_constants_of_integer_operators_are_rounded(residual) -> None:
    network = residual.network
    subtraction, *_ = network.operations
    (constant,) = [t for t in subtraction.inputs if t in network.constants]
    mean = network.constants[constant]
    rounded = with_rounded_constants(network, network.head).constants[constant]
    step = (max(mean.max(), 0) - min(mean.min(), 0)) / 255
    assert 0 < np.abs(rounded - mean).max() <= step / 2 * 1.001


def test_the_aim_of_an_equalised_network_is_the_scaled_one(residual) -> None:
    network = residual.network
    (statistics,) = measure_activations(network, constant_weights(network), residual.pictures)
    scales = strength_scales(find_channels(network), statistics, 0.5)
    equalized = equalize(network, statistics, scales)
    float_outputs = measure_float_outputs(network, residual.pictures)
    scaled = float_outputs.scaled(equalized.output_scales)
    data = write_parameters(residual.float32, equalized.parameters).data
    measured = measure_float_outputs(read_network(data, residual.layers), residual.pictures)
    assert equalized.output_scales
    for index, means in measured.means.items():
        np.testing.assert_allclose(scaled.means[index], means, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(scaled.logits, measured.logits, atol=1e-4)


def test_16_bit_activations_have_constants_that_are_not_rounded(residual) -> None:
    """A mean of preprocessing in 8 bits is wrong by up to a quarter of a level, in 16 it is not."""
    network = residual.network
    sample = residual.pictures[:8]
    float_outputs = measure_float_outputs(network, sample)
    ranges = {op.output: Range(-1e3, 1e3) for op in network.operations}
    scheme = Scheme(network.parameters, ranges, frozenset(op.index for op in network.weighted))
    corrected = correct_biases(network, scheme, float_outputs, sample, activation_bits=16)
    for index, p in network.parameters.items():
        if index not in network.head:
            np.testing.assert_allclose(corrected.parameters[index].bias, p.bias, atol=1e-4)
    rounded = correct_biases(network, scheme, float_outputs, sample)
    (first, *_) = network.weighted
    moved = rounded.parameters[first.index].bias - network.parameters[first.index].bias
    assert np.abs(moved).max() > 1e-3
