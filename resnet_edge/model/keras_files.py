"""Loads a model file of anybody's without running code from it."""

from __future__ import annotations

import tempfile
import typing
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np

from converters.keras_defaults import use_keras_defaults
from resnet_edge.errors import ModelError, UsageError
from resnet_edge.model.json_values import JsonValue
from resnet_edge.model.keras2_config import from_keras2
from resnet_edge.model.keras_config import (
    NetworkConfig,
    Origin,
    prepare_config,
)
from resnet_edge.model.legacy_files import (
    count_checkpoint,
    read_checkpoint,
    read_h5_description,
    read_saved_model_description,
)
from resnet_edge.model.model_file import CONFIG_FILE, MAX_CONFIG_BYTES, ModelKind, model_kind
from resnet_edge.model.stored_weights import build_network, count_values
from resnet_edge.model.weight_files import not_finite_message
from resnet_edge.ondevice.reading import read_json_member, refusing

MAX_FILE_BYTES = 4 << 30
"""Most bytes that the archive may unpack to; ResNet50's has 0.1 GB."""

_UNREAD = 113.0
"""The value of all weights until they are read; no layer starts with it."""

_METADATA_FILE = "metadata.json"
_WEIGHTS_FILE = "model.weights.h5"


@dataclass(frozen=True)
class LoadedNetwork:
    """A network as its file has it.

    Attributes:
        model: Uncompiled, in float32, with finite weights.
        config: Its description.
    """

    model: keras.Model
    config: NetworkConfig


def check_file(path: Path) -> ModelKind:
    """Return the kind of a file given by the user, which has something in it.

    Args:
        path: The path.

    Raises:
        UsageError: There is no such file, or it is a folder of something else.
        ModelError: It has 0 bytes.
    """
    if not path.exists():
        raise UsageError(
            f"{path}: no such file; expected a .keras model or .h5 weights; check the path"
        )
    if path.is_file() and path.stat().st_size == 0:
        raise ModelError(f"{path}: 0 bytes; expected a Keras model; copy or save it again")
    return model_kind(path)


def read_keras_file(path: Path) -> keras.Model:
    """Load the network of a ``.keras`` file (see ``load_network``)."""
    return load_network(path).model


def load_network(path: Path) -> LoadedNetwork:
    """Load a model file, uncompiled, in float32.

    The network's description is looked through first (see ``prepare_config``). Its weights have to
    be in the file before a layer asks for their memory.

    Args:
        path: A ``.keras`` or ``.h5`` file of Keras 3 or 2, or the folder of a SavedModel that Keras
            2 wrote.

    Returns:
        The network with its weights, all of them finite.

    Raises:
        UsageError: No such file.
        ModelError: No model file, truncated, with code or custom layers in it, of layers that this
            Keras does not know, without a fixed graph, or with weights that are not finite.
    """
    use_keras_defaults()
    kind = check_file(path)
    match kind:
        case ModelKind.KERAS:
            origin, description = _read_description(path)
        case ModelKind.HDF5:
            origin, description = read_h5_description(path)
        case ModelKind.SAVED_MODEL:
            origin, description = read_saved_model_description(path)
    if origin.is_keras2:
        description = from_keras2(description, origin)
    config = prepare_config(description, origin)
    if origin.is_keras2 and config.in_training:
        raise ModelError(
            f"{path}: {', '.join(config.in_training)}: called with training=True, so Keras 2 "
            "answers at random or by the other pictures of a batch; expected a network that "
            "answers a picture always alike; build it without training=True and save it again"
        )
    with refusing(origin.refuse), tempfile.TemporaryDirectory() as scratch:
        model = _build(path, kind, config, origin, Path(scratch))
    check_finite(model, path)
    return LoadedNetwork(model, config)


def _build(
    path: Path, kind: ModelKind, config: NetworkConfig, origin: Origin, scratch: Path
) -> keras.Model:
    """Build a network and read its weights."""
    if kind is ModelKind.SAVED_MODEL:
        stored = count_checkpoint(path)
        model = check_graph(build_network(config.config, stored, origin), path)
        read_checkpoint(model, path)
        return model
    if kind is ModelKind.KERAS:
        with zipfile.ZipFile(path) as archive:
            weights = Path(archive.extract(_WEIGHTS_FILE, scratch))
    else:  # Keras tells by the ending, which may be another
        weights = scratch / "whole.h5"
        weights.symlink_to(path.resolve())
    with h5py.File(weights) as file:
        stored = count_values(file)
    model = check_graph(build_network(config.config, stored, origin), path)
    for weight in model.weights:
        weight.assign(keras.ops.full(weight.shape, _UNREAD, weight.dtype))
    model.load_weights(str(weights))
    unread = [w.path for w in model.weights if _is_unread(keras.ops.convert_to_numpy(w))]
    if unread:  # Keras warns of them, and leaves them at random
        raise origin.refuse(f"it holds no weights for {', '.join(unread[:10])}")
    return model


def _is_unread(weight: np.ndarray) -> bool:
    return weight.size > 0 and bool((weight == np.asarray(_UNREAD, weight.dtype)).all())


def _read_description(path: Path) -> tuple[Origin, JsonValue]:
    def refusal(reason: str) -> ModelError:
        return ModelError(
            f"{path}: not a .keras file, or truncated ({reason}); expected the zip "
            "that model.save('NAME.keras') writes; copy or save it again"
        )

    with refusing(refusal), zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        too_large = archive.getinfo(CONFIG_FILE).file_size > MAX_CONFIG_BYTES
        if too_large or unpacked > MAX_FILE_BYTES:
            raise ModelError(
                f"{path}: unpacks to {unpacked} bytes; expected at most {MAX_FILE_BYTES}, and "
                f"{MAX_CONFIG_BYTES} for {CONFIG_FILE}; this is no network for a device"
            )
        about = read_json_member(archive, _METADATA_FILE)
        version = about.get("keras_version") if isinstance(about, dict) else None
        description = typing.cast(JsonValue, read_json_member(archive, CONFIG_FILE))
        return Origin(path, str(version or "")), description


def check_graph(model: object, path: Path) -> keras.Model:
    """Return a model that has a graph of layers.

    Args:
        model: What Keras built.
        path: Its file, for messages.

    Raises:
        ModelError: It is a layer, or a model without a fixed graph.
    """
    if isinstance(model, keras.Model) and model.built and getattr(model, "inputs", None):
        return model
    raise ModelError(
        f"{path}: holds a {type(model).__name__} without a fixed graph; expected a functional "
        "or sequential model with a keras.Input; build it so and save it again"
    )


def check_finite(model: keras.Model, path: Path) -> None:
    """Check that no weight is NaN or infinite.

    Raises:
        ModelError: Some are; their layers are named.
    """
    bad = [
        weight.path.rpartition("/")[0] or weight.path
        for weight in model.weights
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all()
    ]
    if bad:
        raise ModelError(not_finite_message(str(path), list(dict.fromkeys(bad))))
