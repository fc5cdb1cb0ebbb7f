"""Operators run with TensorFlow, against the LiteRT interpreter that runs the same file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import KerasTensor, layers, ops

from converters.errors import ModelConversionError
from converters.quantization import tensorflow_execution, tensorflow_operators
from converters.quantization.tensorflow_execution import (
    Weights,
    batches,
    centred_logits,
    check_operations,
    constant_weights,
    forget_pages,
    run,
    runtime_operations,
    unknown_operations,
    weighted_sum,
)
from converters.quantization.tflite_network import TfliteNetwork

SHAPE = (9, 8, 3)


def two(x: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
    return tuple(layers.Conv2D(4, 1, name=name)(x) for name in ("left", "right"))


def conv(x: KerasTensor) -> KerasTensor:
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(5, (2, 3), activation="relu6")(x)
    return layers.Conv2D(4, 3, padding="same", strides=2)(x)


def dilated(x: KerasTensor) -> KerasTensor:
    x = layers.Conv2D(4, 3, dilation_rate=2, padding="same")(x)
    return layers.Conv2D(4, 2, dilation_rate=(2, 3), activation="relu")(x)


def grouped(x: KerasTensor) -> KerasTensor:
    return layers.Conv2D(6, 3, groups=3, activation="relu")(x)


def depthwise(x: KerasTensor) -> KerasTensor:
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", strides=2)(x)
    return layers.DepthwiseConv2D(2, dilation_rate=2, padding="same")(x)


def dense(x: KerasTensor) -> KerasTensor:
    return layers.Dense(6, activation="relu")(layers.Flatten()(x))


def dense_by_pixel(x: KerasTensor) -> KerasTensor:
    return layers.Dense(5)(layers.Dense(6, activation="relu")(x))


def arithmetic(x: KerasTensor) -> KerasTensor:
    one, other = two(x)
    y = layers.Subtract()([one, other]) * layers.ReLU()(layers.Add()([one, other]))
    return layers.Maximum()([y, one]) / (3.0 + layers.Activation("sigmoid")(other))


def joined(x: KerasTensor) -> KerasTensor:
    one, other = two(x)
    rows = [layers.Concatenate()(pair) for pair in ([one, other], [other, one])]
    return layers.Concatenate(axis=1)(rows)


def pools(x: KerasTensor) -> KerasTensor:
    one = layers.MaxPooling2D(3, 2, "same")(x)
    other = layers.AveragePooling2D(3, 2, "same")(x)
    y = layers.AveragePooling2D(2, 1)(layers.Concatenate()([one, other]))
    return layers.MaxPooling2D((2, 1), 1)(y)


def means(x: KerasTensor) -> KerasTensor:
    y = ops.mean(x, axis=1, keepdims=True) + ops.mean(x, axis=-1, keepdims=True)
    return layers.GlobalAveragePooling2D()(y)


def moved(x: KerasTensor) -> KerasTensor:
    y = layers.Reshape((-1, 6))(layers.Conv2D(4, 1)(x))
    return layers.Permute((2, 1))(y)


def padded(x: KerasTensor) -> KerasTensor:
    y = layers.ZeroPadding2D(((1, 2), (0, 3)))(x)
    y = ops.pad(y, ((0, 0), (1, 1), (2, 0), (0, 0)), constant_values=-4.0)
    return ops.pad(y, ((0, 0), (1, 1), (2, 1), (0, 0)), mode="reflect")


def symmetric(x: KerasTensor) -> KerasTensor:
    return ops.pad(x, ((0, 0), (1, 1), (2, 1), (0, 0)), mode="symmetric")


def activations(x: KerasTensor) -> KerasTensor:
    one, other = two(x)
    y = layers.LeakyReLU(negative_slope=0.3)(layers.AveragePooling2D(2, 1)(one))
    z = layers.AveragePooling2D(2, 1)(other)
    return layers.Concatenate()(
        [
            y,
            layers.Activation("hard_swish")(z),
            layers.Activation("sigmoid")(z),
            layers.Activation("tanh")(z),
            layers.ReLU(6.0)(y),
            layers.ReLU()(y),
            layers.Softmax()(z),
        ]
    )


def sliced(x: KerasTensor) -> KerasTensor:
    return layers.Cropping2D(((1, 2), (0, 3)))(x[..., ::-1])[:, ::2, 1:]


def smooth_activations(x: KerasTensor) -> KerasTensor:
    one, other = two(x)
    y = layers.PReLU(shared_axes=[1, 2])(layers.Activation("elu")(ops.minimum(one, other)))
    z = layers.Activation("gelu")(other)
    return layers.Concatenate()([y, z, ops.gelu(y, approximate=True), ops.log_softmax(z)])


def numbers(x: KerasTensor) -> KerasTensor:
    one, other = two(x / 255.0)
    y = ops.square(one - other) + ops.exp(-ops.abs(one)) + ops.sqrt(ops.abs(other) + 0.1)
    z = ops.log(ops.abs(one) + 1.0) * ops.rsqrt(ops.abs(other) + 1.0)
    y = y + z + ops.power(ops.abs(one) + 0.5, ops.tanh(other)) + ops.floor(3.0 * other)
    return layers.ReLU(1.0)(layers.AveragePooling2D(2, 1)(y))


def extremes(x: KerasTensor) -> KerasTensor:
    y = layers.Conv2D(6, 3)(x)
    z = ops.max(y, axis=1, keepdims=True) - ops.min(y, axis=-1, keepdims=True)
    z = z + 0.01 * ops.sum(y, axis=2, keepdims=True) + 1e-9 * ops.prod(y, axis=1, keepdims=True)
    return layers.Concatenate()([layers.GlobalMaxPooling2D()(y), layers.Flatten()(z)])


def attention(x: KerasTensor) -> KerasTensor:
    y = layers.Reshape((-1, 8))(layers.Conv2D(8, 3, strides=2)(x))
    return layers.MultiHeadAttention(2, 4)(layers.LayerNormalization()(y), y) + y


def normalized(x: KerasTensor) -> KerasTensor:
    y = layers.GroupNormalization(2)(layers.Conv2D(6, 3)(x))
    return layers.UnitNormalization()(layers.LayerNormalization()(y))


def resized(x: KerasTensor) -> KerasTensor:
    y = layers.Resizing(5, 7)(x)
    z = layers.Resizing(5, 7, interpolation="nearest")(layers.UpSampling2D(2)(x))
    y = layers.Concatenate()([y, z])
    return layers.UpSampling2D(2, interpolation="bilinear")(layers.Conv2D(4, 3)(y))


def transposed(x: KerasTensor) -> KerasTensor:
    y = layers.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu")(x)
    return layers.Conv2DTranspose(2, 2, padding="valid", use_bias=False)(y)


def rearranged(x: KerasTensor) -> KerasTensor:
    y = layers.Conv2D(8, 2, padding="same")(x)[:, :8, :8]
    parts = ops.split(y, 4, axis=-1)
    y = ops.concatenate([*ops.split(parts[0], [3, 4], axis=1), parts[1]], axis=1)
    z = ops.stack(ops.unstack(parts[2], axis=1)[::-1], axis=2)
    z = ops.take(z, [0, 3, 3], axis=2) + ops.flip(parts[3][:, :, :3], 1)
    y = ops.tile(y[:, 1:2, :, ::-1], (1, 2, 1, 1))
    return layers.Concatenate()([layers.Flatten()(y), layers.Flatten()(z)])


def squeezed(x: KerasTensor) -> KerasTensor:
    """Squeeze and excitation as people and keras.applications write it, hard-swish too."""
    y = layers.Conv2D(8, 3, padding="same")(x)
    y = y * (layers.ReLU(6.0)(y + 3.0) / 6.0)
    s = layers.Dense(4, activation="relu")(layers.GlobalAveragePooling2D()(y))
    y = layers.Multiply()([y, layers.Reshape((1, 1, 8))(layers.Dense(8, activation="sigmoid")(s))])
    s = layers.GlobalAveragePooling2D(keepdims=True)(layers.Activation("hard_silu")(y))
    return layers.Multiply()([y, layers.Conv2D(8, 1, activation="hard_sigmoid")(s)])


def preprocessed(x: KerasTensor) -> KerasTensor:
    """``preprocess_input`` as operations in the graph."""
    y = keras.applications.resnet50.preprocess_input(x)
    return layers.Conv2D(4, 3, strides=2, activation="relu")(y)


def only_in_the_runtime(x: KerasTensor) -> KerasTensor:
    y = layers.Conv2D(4, 3)(x)
    z = ops.cumsum(y, axis=1) + ops.cast(ops.cast(3.0 * y, "int32"), "float32")
    return z * ops.sin(ops.where(y > 0.1, y, 0.5 * y))


BUILDS = (
    conv, dilated, grouped, depthwise, dense, dense_by_pixel, arithmetic, joined, pools, means,
    moved, padded, symmetric, activations, sliced, smooth_activations, numbers, extremes,
    squeezed, attention, normalized, resized, transposed, rearranged, preprocessed,
    only_in_the_runtime,
)  # fmt: skip


def logits_of(network: TfliteNetwork, pictures: np.ndarray) -> np.ndarray:
    weights = constant_weights(network)
    return np.concatenate(
        [run(network, weights, batch).numpy() for batch in batches(network, pictures)]
    )


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
def test_operators_as_litert_runs_them(
    small, classify, build: Callable[[KerasTensor], KerasTensor]
) -> None:
    made = small(lambda x: layers.Dense(4, activation="softmax")(layers.Flatten()(build(x))), SHAPE)
    assert unknown_operations(made.network) == ()
    pictures = made.pictures[::10]
    answers = tf.nn.softmax(logits_of(made.network, pictures)).numpy()
    np.testing.assert_allclose(answers, classify(made.float32, pictures), atol=2e-6)


def test_the_builds_cover_what_is_known(small) -> None:
    seen: set[str] = set()
    for build in BUILDS:
        made = small(lambda x, b=build: layers.Dense(4)(layers.Flatten()(b(x))), SHAPE)
        seen |= {operation.kind for operation in made.network.operations}
    # These are made by no Keras layer, or the converter writes them otherwise.
    unmade = {"EXPAND_DIMS", "RELU", "SLICE", "SQUEEZE"}
    assert set(tensorflow_operators._OPERATORS) - seen <= unmade


def test_a_batch_is_computed_picture_by_picture(residual) -> None:
    whole = logits_of(residual.network, residual.pictures[:5])
    single = [logits_of(residual.network, picture[np.newaxis]) for picture in residual.pictures[:5]]
    np.testing.assert_allclose(whole, np.concatenate(single), rtol=1e-4, atol=1e-5)


def test_whole_networks_answer_as_litert_does(each, classify) -> None:
    answers = tf.nn.softmax(logits_of(each.network, each.pictures)).numpy()
    np.testing.assert_allclose(answers, classify(each.float32, each.pictures), atol=2e-6)


def test_every_output_is_shown_in_order(residual) -> None:
    seen: list[int] = []

    def observe(operation, output):
        seen.append(operation.index)
        assert output.shape[1:] == residual.network.shapes[operation.output][1:]
        return output

    network = residual.network
    run(network, constant_weights(network), tf.zeros((2, 16, 16, 3)), observe)
    assert seen == list(range(network.writers[network.logits].index + 1))


def test_what_is_returned_goes_on(residual) -> None:
    network = residual.network
    answers = run(
        network, constant_weights(network), tf.ones((1, 16, 16, 3)), lambda _, y: tf.zeros_like(y)
    )
    assert not answers.numpy().any()


def test_centred_logits(residual) -> None:
    network = residual.network
    centred = centred_logits(network, tf.constant([[1.0, 2.0, 6.0]])).numpy()
    np.testing.assert_array_equal(centred, [[-2, -1, 3]])
    probabilities = replace(network, answer=network.logits)
    ends_there = centred_logits(probabilities, tf.constant([[0.25, 0.5, 1.0]])).numpy()
    np.testing.assert_allclose(ends_there, [[-np.log(2), 0, np.log(2)]], rtol=1e-6)


def test_batches_are_bounded_and_in_order(residual, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorflow_execution, "PIXELS_PER_BATCH", 3 * 16 * 16)
    found = list(batches(residual.network, residual.pictures[:7]))
    assert [len(batch) for batch in found] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(found), residual.pictures[:7])


def test_operators_that_only_the_runtime_has(small) -> None:
    network = small(
        lambda x: layers.Dense(2)(layers.Flatten()(only_in_the_runtime(x))), SHAPE
    ).network
    kinds = {op.kind for op in runtime_operations(network)}
    assert kinds == {"CAST", "CUMSUM", "GREATER", "SELECT", "SIN"}
    assert unknown_operations(network) == ()
    check_operations(network)


def test_operators_that_nothing_computes_are_named(
    residual, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = residual.network
    first, *others = network.operations
    monkeypatch.setattr(tensorflow_execution, "can_run", lambda *_: False)  # as without Flex
    wrong = replace(network, operations=(replace(first, kind="CUSTOM"), *others))
    assert unknown_operations(wrong) == ("CUSTOM",)
    with pytest.raises(ModelConversionError) as caught:
        check_operations(wrong)
    assert str(caught.value) == (
        "quantization: cannot simulate CUSTOM: LiteRT does not run them alone; "
        "pass --quantization fast, which needs no simulation"
    )


def test_a_computed_kernel_is_left_to_the_runtime(residual) -> None:
    network = residual.network
    (head,) = [op for op in network.weighted if op.layer == "head"]
    kernel, bias = (network.constants[tensor] for tensor in head.inputs[1:])
    constants = {t: v for t, v in network.constants.items() if t != head.inputs[1]}
    other = replace(network, constants=constants)
    x = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    kernels = np.stack([kernel, 2 * kernel])
    values = {head.inputs[0]: x, head.inputs[1]: tf.reshape(kernels, (-1, kernel.shape[1]))}
    (found,) = tensorflow_execution.compute(other, head, values)
    expected = np.stack([x[0] @ kernel.T, 2 * x[1] @ kernel.T]) + bias
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_first_axis_of_the_file_need_not_be_a_batch(small) -> None:
    """A transpose of (batch, channels) in the file, for two pictures."""
    made = small(lambda x: layers.Dense(2)(layers.Flatten()(ops.transpose(x, (0, 3, 1, 2)))), SHAPE)
    network = made.network
    (op,) = [op for op in network.operations if op.kind == "TRANSPOSE"]
    x, perm = op.inputs
    shapes = list(network.shapes)
    shapes[x], shapes[op.output] = (3, 4), (4, 3)
    constants = {**network.constants, perm: np.array([1, 0], np.int32)}
    other = replace(network, shapes=tuple(shapes), constants=constants)
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    (found,) = tensorflow_execution.compute(other, op, {x: tf.constant(values.reshape(6, 4))})
    np.testing.assert_array_equal(found, values.transpose(0, 2, 1).reshape(8, 3))


def test_a_slice_of_every_picture(residual) -> None:
    first = residual.network.operations[0]
    x = np.arange(24, dtype=np.float32).reshape(2, 1, 3, 4)
    arguments = (x, np.array([0, 1, 2]), np.array([1, -1, 2]))
    call = tensorflow_operators.OperatorCall(
        replace(first, kind="SLICE"), arguments, (True, False, False), ((1, 2, 2),)
    )
    (found,) = tensorflow_operators.compute_operator(call)
    np.testing.assert_array_equal(found, x[:, :, 1:, 2:])


def test_keras_agrees(residual, answers) -> None:
    logits = logits_of(residual.network, residual.pictures)
    expected = answers(residual.serving, residual.pictures)
    np.testing.assert_allclose(tf.nn.softmax(logits).numpy(), expected, atol=1e-5)


def test_pictures_come_in_the_order_wanted(residual) -> None:
    order = np.array([3, 0, 3])
    (found,) = batches(residual.network, residual.pictures, order)
    np.testing.assert_array_equal(found, residual.pictures[order])


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux' /proc")
def test_a_memory_map_does_not_stay_in_memory(residual, tmp_path: Path) -> None:
    """40 MB of pictures pass through; the process keeps none of their pages."""
    path = tmp_path / "pictures.npy"
    count = 40 * 2**20 // (16 * 16 * 3)
    np.save(path, np.zeros((count, 16, 16, 3), np.uint8))
    pictures = np.load(path, mmap_mode="r")[:count]
    assert pictures.sum() == 0
    before = mapped_bytes(path)
    forget_pages(pictures)
    assert mapped_bytes(path) < before / 10
    for _ in batches(residual.network, pictures):
        pass
    assert mapped_bytes(path) < before / 10


def mapped_bytes(path: Path) -> int:
    """The part of a mapped file that is in this process' memory."""
    maps = Path("/proc/self/smaps").read_text()
    (_, _, own) = maps.partition(str(path))
    return int(own.partition("Rss:")[2].split()[0]) * 1024


def test_the_gradient_of_a_strided_1x1_kernel_ends_no_process() -> None:
    """oneDNN writes past its memory there. Values and gradients are those of the strided kernel."""
    options = SimpleNamespace(
        strideH=2, strideW=3, padding=1, dilationHFactor=1, dilationWFactor=1, keepNumDims=False
    )
    operation = SimpleNamespace(kind="CONV_2D", options=options)
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(9, 32, 31, 8)).astype(np.float32))
    kernel = tf.constant(rng.normal(size=(1, 1, 8, 8)).astype(np.float32))
    weights = Weights(kernel, tf.zeros(8))
    for _ in range(6):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            sums = weighted_sum(operation, x, weights)
            total = tf.reduce_sum(tf.square(sums))
        by_x, by_kernel = tape.gradient(total, [x, kernel])
    expected = x.numpy()[:, ::2, ::3] @ kernel.numpy()[0, 0]
    np.testing.assert_allclose(sums, expected, rtol=1e-4, atol=1e-4)
    slopes = 2 * expected.reshape(-1, 8)
    rows = x.numpy()[:, ::2, ::3].reshape(-1, 8)
    np.testing.assert_allclose(by_kernel[0, 0], rows.T @ slopes, rtol=1e-3, atol=1e-2)
    assert not by_x.numpy()[:, 1::2].any()
