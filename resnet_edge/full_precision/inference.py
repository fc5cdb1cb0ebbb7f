"""Calls a Keras network the fastest way that its backend has, and waits for the answers.

GPUs compute while Python already goes on, but an answer that is timed must have arrived. So every
call takes pixels from the host's memory and returns answers in the host's memory.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import keras

    from resnet_edge.full_precision.float32_proof import Floats, Pair

Infer = Callable[[npt.NDArray[np.generic]], npt.NDArray[np.float32]]


def compile_answers(model: keras.Model) -> Infer:
    """Prepare a network for answering.

    Args:
        model: The network; later changes of its weights have no effect.

    Returns:
        A function from a batch to its answers, both float32 in the host's memory. The first batch
        of each size takes seconds, because it is compiled.
    """
    import keras

    match keras.backend.backend():
        case "jax":
            return _compile_jax(model)
        case "torch":
            return _record_torch(model)
        case _:
            return _predict_on_batch(model)


def _predict_on_batch(model: keras.Model) -> Infer:
    """Call one graph of TensorFlow, compiled by XLA where possible; NumPy's copy waits for it."""

    def infer(batch: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        return np.asarray(model.predict_on_batch(batch), np.float32)

    return infer


def _compile_jax(model: keras.Model) -> Infer:
    # predict_on_batch collects all variables for each call: milliseconds for a ResNet50.
    jax = importlib.import_module("jax")
    trainable = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]
    run = jax.jit(lambda a, b, batch: model.stateless_call(a, b, batch, training=False)[0])

    def infer(batch: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        return np.asarray(jax.block_until_ready(run(trainable, others, batch)), np.float32)

    return infer


def _record_torch(model: keras.Model) -> Infer:
    """Record the PyTorch operators that Keras calls, once for each batch size.

    Going through Keras' layers in every call makes a small network 1.5 times slower. The operators
    are the same, and so are the answers, to the bit.
    """
    torch = importlib.import_module("torch")
    tracer = importlib.import_module("torch.fx.experimental.proxy_tensor")
    device = next(model.parameters()).device  # a Keras model is a PyTorch module here
    recorded: dict[tuple[int, ...], Callable[[object], object]] = {}

    def infer(batch: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        pixels = torch.from_numpy(np.array(batch, np.float32)).to(device)
        if batch.shape not in recorded:
            with torch.no_grad():
                run = tracer.make_fx(lambda tensor: model(tensor, training=False))(pixels)
            recorded[batch.shape] = run
        with torch.inference_mode():
            answers = recorded[batch.shape](pixels)
            if device.type == "cuda":
                torch.cuda.synchronize()
            return np.asarray(answers.cpu().numpy(), np.float32)  # type: ignore[attr-defined]

    return infer


class KerasProducts:
    """Products in Keras' layers, called in the same way as the network."""

    def matrices(self, pairs: Sequence[Pair]) -> Sequence[Floats]:
        """Multiply by a ``Dense`` layer without bias."""
        from keras import layers

        right = pairs[0][1]
        return _answers(layers.Dense(right.shape[1], use_bias=False), pairs)

    def convolutions(self, pairs: Sequence[Pair], stride: int) -> Sequence[Floats]:
        """Convolve by a ``Conv2D`` layer without bias and padding."""
        from keras import layers

        side, _, _, filters = pairs[0][1].shape
        return _answers(layers.Conv2D(filters, side, strides=stride, use_bias=False), pairs)


def _answers(layer: keras.layers.Layer, pairs: Sequence[Pair]) -> Sequence[Floats]:
    import keras

    image = keras.Input(pairs[0][0].shape[1:], dtype="float32")
    model = keras.Model(image, layer(image))
    answers = []
    for left, right in pairs:
        layer.set_weights([right])
        answers.append(compile_answers(model)(left))
    return answers


def is_out_of_memory(problem: BaseException) -> bool:
    """Return True if an error of any backend means that device or host memory ran out."""
    words = str(problem)
    return (
        isinstance(problem, MemoryError)
        # torch.OutOfMemoryError and tf.errors.ResourceExhaustedError, without importing either
        or type(problem).__name__ in ("OutOfMemoryError", "ResourceExhaustedError")
        or "RESOURCE_EXHAUSTED" in words  # JAX
        or "can't allocate memory" in words  # PyTorch on a CPU
    )
