"""Models to start from: random, ImageNet's, or whatever a user's file holds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers, regularizers

from resnet_edge.errors import ModelError, UsageError
from resnet_edge.model.answers import fit_head
from resnet_edge.model.classifiers import (
    check_endpoints,
    reduced_note,
)
from resnet_edge.model.head import strip_head
from resnet_edge.model.imagenet import fetch_imagenet, is_imagenet_file
from resnet_edge.model.keras_files import LoadedNetwork, check_file, load_network
from resnet_edge.model.layer_names import APPLICATION_NAMES
from resnet_edge.model.legacy_files import holds_network
from resnet_edge.model.matching import (
    ResnetWeights,
    assign_weights,
    layers_of,
    sort_layers,
)
from resnet_edge.model.model_file import read_model_info
from resnet_edge.model.picture_input import take_pictures
from resnet_edge.model.pixel_scaling import own_scaling
from resnet_edge.model.resnet50 import Padding, resnet50, start_as_shortcuts
from resnet_edge.model.weight_files import read_weight_file

_WEIGHT_SUFFIXES = (".h5", ".hdf5")

_RESNET_LAYERS = (
    layers.InputLayer,
    layers.ZeroPadding2D,
    layers.Conv2D,
    layers.BatchNormalization,
    layers.Activation,
    layers.ReLU,
    layers.MaxPooling2D,
    layers.Add,
    layers.GlobalAveragePooling2D,
    layers.Dropout,
    layers.Dense,
)


@dataclass(frozen=True)
class LoadedModel:
    """A model to start from and what is known of it.

    Attributes:
        model: Normalized float32 pictures ``(batch, height, width, channels)`` in, probabilities
            ``(batch, classes)`` in [0, 1] out; not compiled.
        weights: Origin of the weights, in words for the report.
        preprocessing: Name of the preprocessing the weights expect outside the model, such as
            ``caffe``; None where nothing tells.
        notes: A sentence for each part that was replaced or is not as asked.
    """

    model: keras.Model
    weights: str
    preprocessing: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Wanted:
    """The network that the caller of ``build_model`` asks for."""

    input_shape: tuple[int, int, int]
    classes: int
    padding: Padding
    width: float
    dropout: float
    weight_decay: float

    def resnet50(self, padding: Padding | None = None, width: float | None = None) -> keras.Model:
        """Random ResNet50 of these settings."""
        try:
            return resnet50(
                self.input_shape,
                self.classes,
                padding=padding or self.padding,
                width=width or self.width,
                weight_decay=self.weight_decay,
                dropout=self.dropout,
            )
        except ValueError as error:
            raise UsageError(str(error)) from error


def build_model(
    weights: str | Path,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    padding: Padding = "pretrained",
    width: float = 1.0,
    dropout: float = 0.0,
    weight_decay: float = 0.0,
) -> LoadedModel:
    """Build a classifier with the weights asked for.

    Args:
        weights: ``none``, ``imagenet``, or a file. Weight files (``.weights.h5``, legacy ``.h5``,
            in classic or keras.applications' names, with or without top) give a ResNet50 of the
            file's width. A ``.keras`` file that is a ResNet50 gives the same at the size asked
            for; any other ``.keras`` classifier is kept as it is, but for its head.
        input_shape: Height, width and channels of one picture.
        classes: Number of classes. A head of another number is replaced and noted.
        padding: Padding of a ResNet50 (see ``resnet50``); a ``.keras`` file's own one wins.
        width: Width factor of a random ResNet50; a file's own one wins.
        dropout: Share of the features dropped before a new head, or a ResNet50's, in training.
        weight_decay: L2 factor on the convolution kernels.

    Returns:
        The model, its origin in words, and notes.

    Raises:
        UsageError: No such file, or settings that make no network.
        ModelError: ImageNet's weights cannot be had, or a file is damaged, carries code, has
            weights that are not finite, or does not fit; layers and shapes are listed.
    """
    wanted = _Wanted(input_shape, classes, padding, width, dropout, weight_decay)
    if weights == "none":
        model = wanted.resnet50()
        start_as_shortcuts(model)
        return LoadedModel(model, "random (no pretrained weights)", None, ())
    if weights == "imagenet":
        if width != 1 or input_shape[2] != 3:
            raise UsageError(
                f"imagenet: got width {width} and {input_shape[2]} channels; expected width 1 and "
                "3 channels, which the weights have; pass --weights none"
            )
        return _from_weight_file(fetch_imagenet(classes), wanted)
    path = Path(weights)
    check_file(path)
    if path.suffix in _WEIGHT_SUFFIXES and path.is_file():
        try:
            return _from_weight_file(path, wanted)
        except ModelError:
            if not holds_network(path):
                raise
    elif path.is_file() and path.suffix != ".keras":
        raise UsageError(
            f"{path}: unknown kind of weights {path.suffix or 'without a suffix'}; "
            "expected none, imagenet, or a .keras, .weights.h5 or .h5 file"
        )
    loaded = _from_network(path, wanted)
    info = read_model_info(path)
    return dataclasses.replace(loaded, preprocessing=info.preprocessing) if info else loaded


def _from_weight_file(path: Path, wanted: _Wanted) -> LoadedModel:
    stored = sort_layers(read_weight_file(path))
    model = wanted.resnet50(width=stored.width)
    note = assign_weights(model, stored, path.name)
    notes = [note] if note else []
    if stored.width not in (None, wanted.width):
        notes.append(f"{path.name} is a ResNet50 of width {stored.width:g}; built so")
    if not is_imagenet_file(path):
        return LoadedModel(model, path.name, None, tuple(notes))
    if wanted.padding != "pretrained":
        notes.append("ImageNet weights were trained with padding 'pretrained'; built with another")
    return LoadedModel(model, "ImageNet (keras.applications)", "caffe", tuple(notes))


def _from_network(path: Path, wanted: _Wanted) -> LoadedModel:
    network = load_network(path)
    model = network.model
    recognised = _as_resnet50(model, wanted)
    if recognised is None:
        return _keep_network(network, path, wanted)
    stored, padding = recognised
    rebuilt = wanted.resnet50(padding, stored.width)
    note = assign_weights(rebuilt, stored, path.name)
    notes = [note] if note else []
    size = tuple(model.inputs[0].shape[1:])
    if None not in size and size != wanted.input_shape:
        notes.append(f"{path.name} is of input {size}; built with {wanted.input_shape}")
    if padding != wanted.padding:
        notes.append(f"{path.name} has padding {padding!r}; built so")
    return LoadedModel(rebuilt, path.name, None, tuple(notes))


def _as_resnet50(model: keras.Model, wanted: _Wanted) -> tuple[ResnetWeights, Padding] | None:
    """A network's weights and padding if it is a ResNet50: by its layers, then by its answers.

    The answers tell what names do not: other strides, epsilons, activations or connections.
    """
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
        return None
    stored = sort_layers(layers_of(model))
    plain = all(isinstance(layer, _RESNET_LAYERS) for layer in model.layers)
    if not plain or stored.unknown or set(stored.backbone) != set(APPLICATION_NAMES):
        return None
    own = model.inputs[0].shape[1:]
    height, width, channels = (a or b for a, b in zip(own, wanted.input_shape, strict=True))
    shape = (height, width, channels)
    first = next(layer for layer in model.layers if layer.name in ("conv1", "conv1_conv"))
    padding: Padding = "textbook" if first.padding == "same" else "pretrained"
    classes = stored.head.shapes[1][0] if stored.head else 1
    try:
        probe = resnet50(shape, classes, padding=padding, width=stored.width or 1.0)
        assign_weights(probe, stored, model.name)
    except (ValueError, ModelError):
        return None
    theirs = strip_head(model) if stored.head else model
    return (stored, padding) if _same_features(theirs, strip_head(probe), shape) else None


def _same_features(theirs: keras.Model, ours: keras.Model, shape: tuple[int, ...]) -> bool:
    picture = np.random.default_rng(0).uniform(-128, 128, (1, *shape)).astype(np.float32)
    got = keras.ops.convert_to_numpy(theirs(picture, training=False))
    got = got.mean((1, 2)) if got.ndim == 4 else got
    expected = keras.ops.convert_to_numpy(ours(picture, training=False))
    return got.shape == expected.shape and np.allclose(
        got, expected, rtol=1e-3, atol=1e-4 * max(1e-6, float(np.abs(expected).max()))
    )


def _keep_network(network: LoadedNetwork, path: Path, wanted: _Wanted) -> LoadedModel:
    """A user's network as it is, with a head of the classes asked for."""
    check_endpoints(network.model, path)
    notes = [f"{path.name} is a network of its own ({network.model.name}); kept as it is"]
    notes += reduced_note(network)
    headed = fit_head(network, wanted.classes, wanted.dropout, str(path))
    pictures = take_pictures(headed.model, str(path), wanted.input_shape[:2])
    if wanted.weight_decay:
        _decay_kernels(pictures.model, wanted.weight_decay)
    notes += (*headed.notes, *pictures.notes)
    scaling = own_scaling(pictures.model)
    if scaling is not None and scaling.is_sane:
        notes.append(f"it scales pixels itself (layer {scaling.layer}); nothing is put before it")
    expected = "none" if scaling is not None and scaling.is_sane else None
    return LoadedModel(pictures.model, path.name, expected, tuple(notes))


def _decay_kernels(model: keras.Model, weight_decay: float) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _decay_kernels(layer, weight_decay)
        elif isinstance(layer, layers.Conv2D):
            layer.kernel.regularizer = regularizers.L2(weight_decay)
