"""Operators run with TensorFlow, against the LiteRT interpreter that runs the same file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from keras import KerasTensor, layers, ops

from converters.errors import ModelConversionError
from converters.quantization import tensorflow_execution
from converters.quantization.tensorflow_execution import (
    batches,
    centred_logits,
    check_operations,
    constant_weights,
    forget_pages,
    run,
    unknown_operations,
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


BUILDS = (
    conv, dilated, grouped, depthwise, dense, dense_by_pixel, arithmetic, joined, pools, means,
    moved, padded, symmetric, activations, sliced,
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
    # Squeezes are made by no Keras layer; a lone ReLU needs an operator that fuses none before it.
    assert set(tensorflow_execution._KNOWN) - seen <= {"SQUEEZE"}


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


def test_unknown_operators_are_named(small) -> None:
    def build(x: KerasTensor) -> KerasTensor:
        y = layers.Activation("elu")(layers.Conv2D(4, 3)(x))
        return layers.Dense(2)(layers.GlobalMaxPooling2D()(y))

    network = small(build, SHAPE).network
    assert unknown_operations(network) == ("ELU", "REDUCE_MAX")
    with pytest.raises(ModelConversionError) as caught:
        check_operations(network)
    message = str(caught.value)
    assert message.startswith(
        "quantization: cannot simulate ELU, REDUCE_MAX; expected operators out of ADD, "
        "AVERAGE_POOL_2D, CONCATENATION, CONV_2D, "
    )
    assert message.endswith("; pass --quantization fast, which needs no simulation")
    with pytest.raises(
        ModelConversionError, match=r"^quantization: cannot simulate ELU, REDUCE_MAX;"
    ):
        logits_of(network, np.zeros((1, *SHAPE), np.uint8))


def test_a_computed_kernel_is_an_error(residual) -> None:
    network = residual.network
    (head,) = [op for op in network.weighted if op.layer == "head"]
    with pytest.raises(ModelConversionError) as caught:
        tensorflow_execution.compute(network, head, {head.inputs[0]: tf.zeros((1, 8))})
    assert str(caught.value) == (
        "quantization: a kernel is computed by the graph; expected constants; "
        "pass --quantization fast, which needs no simulation"
    )


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
