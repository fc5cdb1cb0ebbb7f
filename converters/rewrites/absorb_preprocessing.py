"""Normalization inside the model, recognised as preprocessing.

A model may begin with ``Rescaling``, ``Normalization``, or the operations of ``preprocess_input``.
They are computed for noisy pictures. If every channel is a multiple of one channel of the picture
plus a constant, they are a ``Preprocessing``, whose scale and channel order fold into the first
convolution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import layers

from converters.preprocessing import Preprocessing
from converters.rewrites.drop_inference_no_ops import gives_back
from converters.rewrites.keras_graph import (
    Call,
    Change,
    KerasGraph,
    Rewritten,
    read_graph,
    rewrite_graphs,
)

NAME = "absorb_preprocessing"

_TOLERANCE = 1e-6  # of the largest value; float32 has 6e-8
_DECIMALS = 4  # of an offset in levels: float32 has no more
_LAYERS = (layers.Rescaling, layers.Normalization)


@dataclass(frozen=True)
class _Beginning:
    """The calls between a model's picture and the first tensor that all others depend on."""

    calls: tuple[Call, ...]
    function: keras.Model


def absorb_preprocessing(
    model: keras.Model, preprocessing: Preprocessing
) -> tuple[Rewritten, Preprocessing]:
    """Take the normalization out of the model and into its preprocessing.

    Args:
        model: A functional or Sequential classifier of pictures ``(batch, height, width, 3)``, also
            with models inside. It is not changed.
        preprocessing: The normalization that it expects and does not do itself.

    Returns:
        A model and the preprocessing that it expects. Together they are the same function. Both are
        returned unchanged if the model does not begin with a normalization of channels.
    """
    unchanged = Rewritten(model, 0), preprocessing
    begin = _beginning(model)
    if begin is None:
        return unchanged
    found = _fit(begin.function, preprocessing)
    if found is None:
        return unchanged
    taken = {id(call.layer) for call in begin.calls}

    def find(graph: KerasGraph) -> Change:
        skipped = frozenset(call for call in graph.calls if id(call.layer) in taken)
        return Change(count=min(1, len(skipped)), skipped=skipped)

    return rewrite_graphs(model, find), found


def _beginning(model: keras.Model) -> _Beginning | None:
    """Return what a model, or the model nested in it that alone reads the picture, begins with."""
    if not (isinstance(model, keras.Sequential) or hasattr(model, "_nodes_by_depth")):
        return None
    graph = read_graph(model)
    if len(graph.model.inputs) != 1:
        return None
    picture = graph.model.inputs[0]
    first = graph.only_reader(picture)
    if first is not None and isinstance(first.layer, keras.Model) and not first.training:
        return _beginning(first.layer) if graph.called_once(first) else None
    done: list[Call] = []
    best: tuple[int, keras.KerasTensor] | None = None
    for call in graph.calls:
        if not _may_normalize(graph, call):
            break
        done.append(call)
        live = _live(graph, picture, done)
        if len(live) == 1 and live[0].shape[1:] == picture.shape[1:]:
            best = len(done), live[0]
    if best is None:
        return None
    count, tensor = best
    return _Beginning(tuple(done[:count]), keras.Model(picture, tensor))


def _may_normalize(graph: KerasGraph, call: Call) -> bool:
    """True for functions of ``keras.ops`` and layers that only normalize, called once."""
    layer = call.layer
    is_function = not isinstance(layer, layers.Layer)
    return graph.called_once(call) and (is_function or type(layer) in _LAYERS or gives_back(call))


def _live(
    graph: KerasGraph, picture: keras.KerasTensor, done: list[Call]
) -> list[keras.KerasTensor]:
    """Return the tensors that are there after some calls and that others read."""
    tensors = [picture, *(tensor for call in done for tensor in call.outputs)]
    return [
        tensor
        for tensor in tensors
        if id(tensor) in graph.outputs
        or any(call not in done for call in graph.readers.get(id(tensor), ()))
    ]


def _fit(function: keras.Model, before: Preprocessing) -> Preprocessing | None:
    """Return the preprocessing that a function computes behind another one, or None."""
    shape = [side or 8 for side in function.inputs[0].shape[1:]]
    raw = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(np.float32)
    raw[1] *= 0.6  # a function of a picture's extremes differs between the two
    try:
        answers = function(before.apply(raw), training=False)
    except (TypeError, ValueError):  # a function of a fixed batch size
        return None
    actual = np.asarray(keras.ops.convert_to_numpy(answers), np.float64)
    for reverse in (False, True):
        x = (raw[..., ::-1] if reverse else raw).astype(np.float64)
        found = _affine_channels(x, actual)
        if found is not None:
            factors, shifts = found
            offsets = np.round(-shifts / factors, _DECIMALS)
            return replace(
                before,
                reverse_channels=reverse,
                offset=_triple(offsets),
                scale=_triple(factors),
                picture_size=None,
            )
    return None


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _affine_channels(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return factor and shift of every channel if ``y`` is an affine function of ``x``."""
    axes = (0, 1, 2)
    x_mean, y_mean = x.mean(axes), y.mean(axes)
    factors = ((x - x_mean) * (y - y_mean)).sum(axes) / np.square(x - x_mean).sum(axes)
    shifts = y_mean - factors * x_mean
    error = np.abs(factors * x + shifts - y).max()
    if not np.isfinite(error) or error > _TOLERANCE * np.abs(y).max() or not factors.all():
        return None
    return factors, shifts
