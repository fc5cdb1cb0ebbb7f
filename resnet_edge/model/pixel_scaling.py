"""The scaling of pixels that a network does itself, and the one that it was trained with.

A network that begins with ``Rescaling``, ``Normalization`` or ``preprocess_input`` takes raw
levels. Another normalization in front of it would scale them twice. Of other networks the first
batch normalization remembers what pictures looked like in training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
from keras import KerasTensor, layers

from converters.preprocessing import PREPROCESSINGS, Preprocessing
from converters.rewrites.keras_graph import Call, KerasGraph, read_graph
from resnet_edge.model.picture_input import GREY_LAYER

Pixels = npt.NDArray[np.uint8]

LEVELS = (0.0, 255.0)
SANE_SPAN = (0.2, 20.0)
"""Least and largest span of normalized pixels, between black and white."""

USUAL_SPAN = 2.0
"""The span of pixels in [-1, 1]."""

FAR, NEAR = 2.5, 1.0
"""Distances of activations from those of the training: no longer alike, and alike."""

PICTURES = 16
"""Most pictures that are asked."""

_SCALING = (layers.Normalization, layers.Rescaling)
_LEVELS_KEPT = (
    layers.CenterCrop,
    layers.Dropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.Resizing,
)
_AUGMENTATIONS = ("Random", "RandAugment", "AugMix")
"""Beginnings of the names of layers that change pictures in training alone."""

_OPERATORS = frozenset(
    ("Add", "Cast", "Divide", "Flip", "GetItem", "Multiply", "Stack", "Subtract", "TrueDivide")
)


@dataclass(frozen=True)
class OwnScaling:
    """The values that a network's first layers make of black and of white.

    Attributes:
        layer: Name of the last of these layers.
        black: Least value of a channel for a picture of level 0.
        white: Largest value of a channel for a picture of level 255.
    """

    layer: str
    black: float
    white: float

    @property
    def span(self) -> float:
        """Distance between black and white."""
        return abs(self.white - self.black)

    @property
    def words(self) -> str:
        """The values, for people."""
        return f"{self.black:.3g} to {self.white:.3g}"

    @property
    def is_sane(self) -> bool:
        """True if values of this span are what networks compute with."""
        return SANE_SPAN[0] <= self.span <= SANE_SPAN[1]


def own_scaling(model: keras.Model, before: Preprocessing | None = None) -> OwnScaling | None:
    """Compute what a network's first layers make of black and white pictures.

    Args:
        model: A functional or Sequential network of pictures of a fixed size.
        before: A normalization in front of it; None for raw levels.

    Returns:
        None where the first layers do not scale pixels.
    """
    shape = tuple(model.inputs[0].shape[1:])
    pictures = np.stack([np.full(shape, level, np.float32) for level in LEVELS])
    values = before.apply(pictures) if before is not None else pictures
    found, last = _through_first_layers(model, np.asarray(values, np.float32))
    if last is None or (before is None and np.array_equal(found, values)):
        return None
    middle = found[:, found.shape[1] // 2, found.shape[2] // 2].reshape(2, -1)
    return OwnScaling(last, float(middle[0].min()), float(middle[1].max()))


def preprocessing_warning(
    model: keras.Model, preprocessing: str, pictures: Pixels | None = None
) -> str | None:
    """Return a warning where a network was probably not trained with a preprocessing.

    Args:
        model: A network of RGB pictures of a fixed size.
        preprocessing: Name of the normalization in front of it.
        pictures: Raw RGB ``(n, height, width, 3)``, of the kind that it was trained on; None if
            there are none.

    Returns:
        None where nothing speaks against it.
    """
    distances = {} if pictures is None else statistics_distances(model, pictures)
    best = min(distances, key=lambda name: distances[name], default=preprocessing)
    if distances and best == preprocessing:  # as it was trained, twice or not
        return None
    if warning := scaling_warning(model, preprocessing):
        return warning
    if not distances or distances[preprocessing] < FAR or distances[best] > NEAR:
        return None
    return (
        f"behind --preprocessing {preprocessing} the first batch normalization gets values from "
        f"the pictures that are unlike those of its training; behind {best} they are like them; "
        f"pass --preprocessing {best} if the model was trained so"
    )


def scaling_warning(model: keras.Model, preprocessing: str) -> str | None:
    """Return a warning where a network's own scaling and a preprocessing do not go together.

    Args:
        model: A network of RGB pictures of a fixed size.
        preprocessing: Name of the normalization in front of it.
    """
    raw = own_scaling(model)
    if raw is None:
        return None
    given = own_scaling(model, PREPROCESSINGS[preprocessing]) or raw
    own = (
        f"the model scales pixels itself: layer {raw.layer!r} makes {raw.words} of levels 0 to 255"
    )
    if preprocessing != "none" and raw.is_sane:
        return (
            f"{own}; with --preprocessing {preprocessing} before it {given.words}: normalized "
            "twice; pass --preprocessing none if the model was trained on raw levels"
        )
    if given.is_sane:
        return None
    fitting = {
        name: abs(math.log(after.span / USUAL_SPAN))
        for name, before in PREPROCESSINGS.items()
        if (after := own_scaling(model, before)) is not None and after.is_sane
    }
    if not fitting:
        return None
    best = min(fitting, key=lambda name: fitting[name])
    return (
        f"{own}, and {given.words} behind --preprocessing {preprocessing}; expected values "
        f"{SANE_SPAN[0]:g} to {SANE_SPAN[1]:g} apart; pass --preprocessing {best} if the "
        "model was trained so"
    )


def statistics_distances(model: keras.Model, pictures: Pixels) -> dict[str, float]:
    """Compute how far each preprocessing is from the first batch normalization's training.

    Args:
        model: A network of RGB pictures of a fixed size.
        pictures: Raw RGB ``(n, height, width, 3)``.

    Returns:
        Distances by the names of preprocessings (see ``_distance``); none where the network has
        no batch normalization that was trained.
    """
    found = _first_batch_norm(model)
    if found is None or not len(pictures):
        return {}
    before, norm = found
    chosen = pictures[:: -(-len(pictures) // PICTURES)].astype(np.float32)
    return {
        name: _distance(norm, _ask(before, normal.apply(chosen)))
        for name, normal in PREPROCESSINGS.items()
    }


def _ask(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
    answers = model(np.asarray(pictures, np.float32), training=False)
    return np.asarray(keras.ops.convert_to_numpy(answers))


def _distance(norm: layers.BatchNormalization, values: np.ndarray) -> float:
    """Distance of values from a layer's moving statistics, in its standard deviations.

    Returns:
        The median over channels of the difference of means, plus that of the logarithms of the
        variances.
    """
    flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
    mean, variance = (
        np.asarray(keras.ops.convert_to_numpy(weight), np.float64)
        for weight in (norm.moving_mean, norm.moving_variance)
    )
    variance = variance + norm.epsilon
    shift = np.abs(flat.mean(0) - mean) / np.sqrt(variance)
    spread = np.abs(np.log((flat.var(0) + norm.epsilon) / variance))
    return float(np.median(shift) + np.median(spread))


def _first_batch_norm(
    model: keras.Model,
) -> tuple[keras.Model, layers.BatchNormalization] | None:
    """Return the first trained batch normalization and the network in front of it."""
    graph = read_graph(model)
    for call in graph.calls:
        layer = call.layer
        if isinstance(layer, keras.Model):
            inner = _first_batch_norm(layer) if len(layer.inputs) == 1 else None
            if inner is None:
                return None
            outer = keras.Model(graph.model.inputs[0], call.inputs[0])
            image = keras.Input(tuple(graph.model.inputs[0].shape[1:]))
            return keras.Model(image, inner[0](outer(image))), inner[1]
        if isinstance(layer, layers.BatchNormalization):
            trained = np.any(keras.ops.convert_to_numpy(layer.moving_mean)) and layer.axis in (
                -1,
                3,
            )
            front = keras.Model(graph.model.inputs[0], call.inputs[0])
            return (front, layer) if trained else None
    return None


def _through_first_layers(
    model: keras.Model, pictures: np.ndarray
) -> tuple[np.ndarray, str | None]:
    """Return the pictures behind a network's pixel-wise first layers, and the last one's name."""
    graph = read_graph(model)
    reached: dict[int, KerasTensor] = {id(graph.model.inputs[0]): graph.model.inputs[0]}
    last: str | None = None
    for call in graph.calls:
        if all(id(tensor) in reached for tensor in call.inputs) and _is_pixelwise(call):
            reached |= {id(tensor): tensor for tensor in call.outputs}
            last = last if _keeps_levels(call.layer) else call.name
    front, reader = _frontier(graph, reached)
    if front is None:
        return pictures, None
    if front is not graph.model.inputs[0]:
        pictures = _ask(keras.Model(graph.model.inputs[0], front), pictures)
    if reader is not None and isinstance(reader.layer, keras.Model) and len(reader.inputs) == 1:
        pictures, inner = _through_first_layers(reader.layer, pictures)
        return pictures, inner or last
    return pictures, last


def _frontier(
    graph: KerasGraph, reached: dict[int, KerasTensor]
) -> tuple[KerasTensor | None, Call | None]:
    """Return the one picture that the other layers read, and its first reader."""
    read = {
        tensor: call
        for call in graph.calls
        if any(id(output) not in reached for output in call.outputs)
        for tensor in map(id, call.inputs)
        if tensor in reached
    }
    if len(read) != 1:
        return None, None
    ((tensor, call),) = read.items()
    return (reached[tensor], call) if len(reached[tensor].shape) == 4 else (None, None)


def _is_pixelwise(call: Call) -> bool:
    layer = call.layer
    if isinstance(
        layer, keras.Model
    ):  # scaling and augmentation that stand in a model of their own
        return len(layer.inputs) == 1 and all(map(_is_pixelwise, read_graph(layer).calls))
    if not call.inputs:
        return False
    if _keeps_levels(layer) or isinstance(layer, _SCALING):
        return True
    return type(layer).__name__ in _OPERATORS and type(layer).__module__.startswith("keras.src.ops")


def _keeps_levels(layer: keras.Operation) -> bool:
    """Return True for a layer behind which black stays black, and white white."""
    kept = isinstance(layer, _LEVELS_KEPT) or layer.name == GREY_LAYER
    return kept or type(layer).__name__.startswith(_AUGMENTATIONS)
