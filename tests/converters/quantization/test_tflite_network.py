"""A float32 file as a graph, read and written, against a network whose weights are known."""

import keras
import numpy as np
import pytest
from keras import layers

from converters.onnx import conversion as to_onnx
from converters.quantization.answer_metrics import centred_log_probabilities
from converters.quantization.calibration import calibrate
from converters.quantization.integer_simulation import simulate
from converters.quantization.onnx import quantize_int8
from converters.quantization.settings import QuantizationSettings, Target
from converters.quantization.tensorflow_execution import batches, constant_weights, run
from converters.quantization.tflite import quantize_static
from converters.quantization.tflite_network import (
    Parameters,
    layer_of,
    read_network,
    write_parameters,
)
from converters.tflite import conversion as to_tflite


def known_layers(x: keras.KerasTensor) -> keras.KerasTensor:
    y = layers.Conv2D(4, (3, 2), activation="relu", name="conv")(x)
    y = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(y)
    y = layers.Flatten()(y)
    return layers.Dense(5, activation="softmax", name="dense")(y)


@pytest.fixture(scope="module")
def known(small):
    return small(known_layers, (7, 8, 3))


@pytest.fixture(scope="module")
def shared(small):
    """One kernel, read by two operators."""

    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        twice = layers.Conv2D(3, 1, activation="relu", name="twice")
        y = layers.GlobalAveragePooling2D()(twice(twice(x)))
        return layers.Dense(2, activation="softmax", name="dense")(y)

    return small(build, (4, 4, 3))


def test_operators_in_order(known) -> None:
    assert [(op.kind, op.activation) for op in known.network.operations] == [
        ("SUB", "NONE"),
        ("MUL", "NONE"),
        ("CONV_2D", "RELU"),
        ("DEPTHWISE_CONV_2D", "NONE"),
        ("RESHAPE", "NONE"),
        ("FULLY_CONNECTED", "NONE"),
        ("SOFTMAX", "NONE"),
    ]
    assert [op.index for op in known.network.operations] == list(range(7))
    assert known.network.shapes[known.network.image] == (1, 7, 8, 3)
    assert known.network.shapes[known.network.answer] == (1, 5)


@pytest.mark.parametrize("name", ["conv", "depthwise", "dense"])
def test_kernels_have_the_layout_of_keras(known, name: str) -> None:
    kernel, bias = known.model.get_layer(name).get_weights()
    (operation,) = [op for op in known.network.weighted if op.layer == name]
    read = known.network.parameters[operation.index]
    np.testing.assert_array_equal(read.kernel, kernel)
    np.testing.assert_array_equal(read.bias, bias)


def test_a_layer_without_a_bias_has_zeros(small) -> None:
    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        y = layers.Conv2D(4, 3, use_bias=False, name="conv")(x)
        return layers.Dense(2, use_bias=False, name="dense")(layers.Flatten()(y))

    network = small(build, (4, 4, 3)).network
    for operation in network.weighted:
        bias = network.parameters[operation.index].bias
        assert bias.shape == network.shapes[operation.output][-1:]
        assert not bias.any()


def test_readers_and_writers(known) -> None:
    network = known.network
    conv, depthwise = network.operations[2:4]
    assert network.writers[conv.output] is conv
    assert network.readers[conv.output] == (depthwise,)
    assert network.image not in network.writers
    assert network.answer not in network.readers


def test_the_head_is_the_softmax_and_its_dense_layer(known) -> None:
    assert {known.network.operations[i].kind for i in known.network.head} == {
        "FULLY_CONNECTED",
        "SOFTMAX",
    }
    assert known.network.writers[known.network.logits].layer == "dense"


def convolution_head(x: keras.KerasTensor) -> keras.KerasTensor:
    """The end of MobileNetV3: a 1x1 convolution behind a pooling that keeps its axes."""
    y = layers.Conv2D(8, 3, activation="relu")(x)
    y = layers.GlobalAveragePooling2D(keepdims=True)(y)
    y = layers.Flatten()(layers.Conv2D(4, 1, name="logits")(y))
    return layers.Softmax()(y)


def test_a_convolution_of_one_position_is_a_dense_head(small, classify) -> None:
    made = small(convolution_head, (8, 8, 3))
    network = made.network
    kinds = [network.operations[i].kind for i in sorted(network.head)]
    assert kinds == ["CONV_2D", "RESHAPE", "SOFTMAX"]
    assert [op.kind for op in network.weighted if network.is_dense(op)] == ["CONV_2D"]
    found = calibrate(made.float32, made.pictures, QuantizationSettings(), made.layers)
    data = quantize_static(made.float32, network, found.scheme, integer_only=False)
    answers = centred_log_probabilities(classify(data, made.pictures))
    simulated = simulate(network, found.scheme, made.pictures)
    simulated -= simulated.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(answers, simulated, atol=0.02)
    steps = np.unique(np.round(np.diff(np.sort(answers[:, 0])), 5))
    assert len(steps) > 20  # the logits are not rounded to 8 bits
    made_onnx = quantize_int8(
        to_onnx.convert_float32(made.serving), found, made.pictures, Target.VNNI
    )
    assert not made_onnx.own_ranges
    kinds = [node.op_type for node in made_onnx.model.graph.node]
    assert kinds.count("MatMulInteger") == kinds.count("Conv") == 1


def test_a_network_without_a_dense_layer_has_a_head_of_a_softmax(small) -> None:
    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        y = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1, name="classes")(x))
        return layers.Softmax()(y)

    network = small(build, (4, 4, 3)).network
    assert [network.operations[i].kind for i in network.head] == ["SOFTMAX"]
    assert network.writers[network.logits].kind == "MEAN"


def test_an_answer_without_a_softmax_is_its_own_logits() -> None:
    x = keras.Input((4, 4, 3))
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1)(x))
    serving = keras.Model(x, layers.Dense(3)(y), name="serving")
    network = read_network(to_tflite.convert_float32(serving))
    assert network.logits == network.answer
    assert [network.operations[i].kind for i in network.head] == ["FULLY_CONNECTED"]


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("serving_1/resnet50_1/conv1_relu_1/Relu;serving_1/resnet50_1/conv1_1/BiasAdd", "conv1"),
        ("serving_1/resnet50_1/res2a_1/Add", "res2a"),
        ("serving/resnet50/conv2d_1/BiasAdd", "conv2d_1"),
        # Keras numbers all layers of a model that is called a second time.
        ("serving_1/model_1/conv2d_1/BiasAdd", "conv2d"),
        ("serving_1/model_1/conv2d_1_2/BiasAdd", "conv2d_1"),
        ("serving_1/model_1/conv2d_2_1/BiasAdd", "conv2d_2"),
        ("serving_1/model_1/unheard_of_1/Add", "unheard_of_1"),
        ("PartitionedCall:0", "PartitionedCall"),
    ],
)
def test_layer_names(tensor: str, layer: str) -> None:
    names = {"conv1", "conv1_relu", "res2a", "conv2d", "conv2d_1", "conv2d_2"}
    assert layer_of(tensor, frozenset(names)) == layer


def test_without_names_the_converter_s_own_is_taken() -> None:
    assert layer_of("serving_1/resnet50_1/res2a_1/Add") == "res2a_1"


def test_layers_with_numbers_of_their_own_keep_them(small) -> None:
    """``conv2d`` and ``conv2d_1`` become ``conv2d_1`` and ``conv2d_1_2`` on conversion."""

    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        for name in ("conv2d", "conv2d_1", "conv2d_2"):
            x = layers.Conv2D(4, 1, activation="relu", name=name)(x)
        return layers.Dense(2, activation="softmax", name="dense")(layers.Flatten()(x))

    network = small(build, (4, 4, 3)).network
    found = [op.layer for op in network.weighted]
    assert found == ["conv2d", "conv2d_1", "conv2d_2", "dense"]


def test_operators_with_one_kernel_have_their_layer_s_name(shared) -> None:
    assert [op.layer for op in shared.network.weighted] == ["twice", "twice", "dense"]


def test_a_convolution_in_groups_has_its_layer_s_name(small) -> None:
    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        y = layers.Conv2D(6, 3, groups=3, name="grouped")(x)
        return layers.Dense(2, activation="softmax", name="dense")(layers.Flatten()(y))

    assert [op.layer for op in small(build, (4, 4, 3)).network.weighted] == ["grouped", "dense"]


def test_writing_what_was_read_changes_no_answer(known, classify) -> None:
    data = write_parameters(known.float32, known.network.parameters).data
    pictures = known.pictures[:3]
    np.testing.assert_array_equal(classify(data, pictures), classify(known.float32, pictures))


def test_written_weights_are_read_and_used(known, classify) -> None:
    rng = np.random.default_rng(0)
    wanted = {
        index: Parameters(
            rng.normal(0, 0.1, p.kernel.shape).astype(np.float32),
            rng.normal(0, 1, p.bias.shape).astype(np.float32),
        )
        for index, p in known.network.parameters.items()
    }
    data = write_parameters(known.float32, wanted).data
    network = read_network(data, known.layers)
    for index, p in wanted.items():
        np.testing.assert_array_equal(network.parameters[index].kernel, p.kernel)
        np.testing.assert_array_equal(network.parameters[index].bias, p.bias)
    logits = np.concatenate(
        [
            run(network, constant_weights(network), batch).numpy()
            for batch in batches(network, known.pictures[:3])
        ]
    )
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = exponents / exponents.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classify(data, known.pictures[:3]), expected, atol=1e-5)


def test_one_of_two_readers_of_a_kernel_is_changed_alone(shared, classify) -> None:
    first, second = (op for op in shared.network.weighted if op.layer == "twice")
    before = shared.network.parameters[second.index]
    assert first.inputs[1] == second.inputs[1]
    doubled = Parameters(2 * before.kernel, 3 * before.bias + 1)
    data = write_parameters(shared.float32, {first.index: doubled}).data
    after = read_network(data, shared.layers).parameters
    np.testing.assert_array_equal(after[first.index].kernel, doubled.kernel)
    np.testing.assert_array_equal(after[first.index].bias, doubled.bias)
    np.testing.assert_array_equal(after[second.index].kernel, before.kernel)
    np.testing.assert_array_equal(after[second.index].bias, before.bias)
    assert np.isfinite(classify(data, shared.pictures[:2])).all()


def test_both_readers_of_a_kernel_get_their_own(shared, classify) -> None:
    first, second = (op for op in shared.network.weighted if op.layer == "twice")
    p = shared.network.parameters[first.index]
    wanted = {
        first.index: Parameters(2 * p.kernel, p.bias),
        second.index: Parameters(0.5 * p.kernel, p.bias),
    }
    after = read_network(write_parameters(shared.float32, wanted).data, shared.layers).parameters
    for index, parameters in wanted.items():
        np.testing.assert_array_equal(after[index].kernel, parameters.kernel)


def test_the_same_weights_give_the_same_bytes(known) -> None:
    once, twice = (write_parameters(known.float32, known.network.parameters).data for _ in range(2))
    assert once == twice


def test_a_head_without_a_bias_gets_one(small, classify) -> None:
    """The correction of its output's mean would be lost."""

    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        y = layers.Conv2D(4, 3, use_bias=False, name="conv")(x)
        y = layers.GlobalAveragePooling2D()(y)
        return layers.Dense(3, activation="softmax", use_bias=False, name="head")(y)

    made = small(build, (8, 8, 3))
    bias = np.array([0.5, -1.0, 2.0], np.float32)
    (head,) = [op for op in made.network.weighted if op.layer == "head"]
    kernel = made.network.parameters[head.index].kernel
    changed = write_parameters(made.float32, {head.index: Parameters(kernel, bias)})
    again = read_network(changed.data, made.layers)
    np.testing.assert_array_equal(again.parameters[head.index].bias, bias)
    expected = classify(made.float32, made.pictures) * np.exp(bias)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classify(changed.data, made.pictures), expected, atol=1e-6)
