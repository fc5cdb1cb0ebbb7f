"""Networks in ``.h5`` files and in the SavedModel folders of Keras 2: descriptions and weights.

Of a SavedModel only numbers and texts are read: its graph, which may hold operators that write
files, is never run.
"""

from __future__ import annotations

import math
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from resnet_edge.errors import ModelError
from resnet_edge.model.json_values import JsonValue
from resnet_edge.model.keras_config import Origin
from resnet_edge.model.model_file import MAX_CONFIG_BYTES, ModelKind, model_kind
from resnet_edge.ondevice.reading import parse_json, refusing

METADATA_FILE = "keras_metadata.pb"
"""Keras 2's description of a model, beside the graph of a SavedModel."""

_CHECKPOINT = Path("variables") / "variables"
_OPERATORS = tuple(f"keras.src.ops.{name}" for name in ("numpy", "nn", "core", "math", "image"))
_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
_OTHER_NAMES = {("DepthwiseConv2D", "kernel"): "depthwise_kernel"}
"""Keras 2's names of weights that have others in Keras 3."""


def read_h5_description(path: Path) -> tuple[Origin, JsonValue]:
    """Read the description of a whole model in an ``.h5`` file.

    Raises:
        ModelError: It is no HDF5 file, or holds weights alone.
    """

    def refusal(reason: str) -> ModelError:
        return ModelError(
            f"{path}: not a readable HDF5 file, or truncated ({reason}); "
            "expected what model.save('NAME.h5') writes; copy or save it again"
        )

    with refusing(refusal), h5py.File(path) as file:
        version, text = _text(file.attrs.get("keras_version")), file.attrs.get("model_config")
    if text is None:
        raise ModelError(
            f"{path}: holds weights without the network that they belong to; expected a whole "
            "model, as model.save('NAME.keras') writes it; in the program that builds the network: "
            "model.load_weights(...), then model.save('NAME.keras')"
        )
    origin, description = Origin(path, version), _parse(_text(text), path)
    return origin, description if origin.is_keras2 else _with_modules(description)


def holds_network(path: Path) -> bool:
    """Return True for a file of a whole network, False for weights alone.

    Args:
        path: An existing file or folder.

    Raises:
        UsageError: It is a folder of something else.
    """
    if model_kind(path) is not ModelKind.HDF5:
        return path.suffix not in (".h5", ".hdf5")
    try:
        with h5py.File(path) as file:
            return "model_config" in file.attrs
    except (OSError, RuntimeError, ValueError):  # damaged: reading its weights says so
        return False


def _with_modules(value: JsonValue) -> JsonValue:
    """Name the modules of layers and operators, which Keras 3 leaves out in an ``.h5`` file."""
    if isinstance(value, list):
        return [_with_modules(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = {key: _with_modules(inner) for key, inner in value.items()}
    kind, config = value.get("class_name"), value.get("config")
    if not isinstance(kind, str) or not isinstance(config, dict) or value.get("module"):
        return named
    if place := _module_of(kind, is_layer="trainable" in config or "batch_shape" in config):
        named["module"] = place
    return named


def _module_of(kind: str, *, is_layer: bool) -> str | None:
    if kind in ("Functional", "Model"):
        return "keras.src.models.functional"
    if kind == "Sequential":
        return "keras"
    for place in ("keras.layers",) if is_layer else _OPERATORS:
        found = getattr(sys.modules[place], kind, None)
        if isinstance(found, type) and issubclass(found, keras.Operation):
            return place
    return None


def read_saved_model_description(path: Path) -> tuple[Origin, JsonValue]:
    """Read Keras 2's description of the model in a SavedModel folder.

    Raises:
        ModelError: There is none, or it is damaged.
    """
    metadata = path / METADATA_FILE
    if not metadata.exists():
        raise ModelError(
            f"{path}: a SavedModel without {METADATA_FILE}: a graph alone, as model.export() and "
            "resnet-edge write it; expected the network's layers; in the program that has the "
            "model: model.save('NAME.keras'), and give that file"
        )

    def refusal(reason: str) -> ModelError:
        return ModelError(f"{path}: {METADATA_FILE} is damaged ({reason}); copy or save it again")

    with refusing(refusal):
        check_size(metadata.stat().st_size)
        texts = dict(_nodes(metadata.read_bytes()))
        root = typing.cast(JsonValue, parse_json(texts["root"]))
    return Origin(path, "2.x"), _lists(root)


def _lists(value: JsonValue) -> JsonValue:
    """Write tuples and shapes, which have classes in a SavedModel, as lists."""
    if isinstance(value, dict) and value.get("class_name") in ("__tuple__", "TensorShape"):
        return _lists(value.get("items"))
    if isinstance(value, dict):
        return {key: _lists(inner) for key, inner in value.items()}
    return [_lists(inner) for inner in value] if isinstance(value, list) else value


def _nodes(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield path and description of each node of a ``SavedMetadata`` message."""
    for number, node in _fields(data):
        if number == 1:
            fields = dict(_fields(node))
            yield fields.get(3, b"").decode(), fields.get(5, b"{}")


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of a protocol buffer's fields of variable length."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                _, at = _varint(data, at)
            case 2:
                length, at = _varint(data, at)
                if at + length > len(data):
                    raise ValueError("truncated")
                yield key >> 3, data[at : at + length]
                at += length
            case kind:
                raise ValueError(f"a field of kind {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = data[at]  # IndexError where it is truncated
        value, at = value | (byte & 127) << shift, at + 1
        if byte < 128:
            return value, at
    raise ValueError("a number of over 64 bits")


def count_checkpoint(path: Path) -> int:
    """Return the number of values in a SavedModel's checkpoint."""
    import tensorflow as tf  # late: this format alone needs it

    shapes = tf.train.load_checkpoint(str(path / _CHECKPOINT)).get_variable_to_shape_map()
    held = sum(file.stat().st_size for file in (path / "variables").iterdir())
    return min(held, sum(math.prod(map(int, shape)) for shape in shapes.values()))


def read_checkpoint(model: keras.Model, path: Path) -> None:
    """Read a network's weights from the checkpoint of Keras 2's SavedModel.

    Args:
        model: The network, changed in place.
        path: The SavedModel folder.

    Raises:
        ModelError: A weight is missing, or has another shape.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    reader = tf.train.load_checkpoint(str(path / _CHECKPOINT))
    objects = TrackableObjectGraph()
    objects.ParseFromString(reader.get_tensor(_OBJECTS))
    shapes = reader.get_variable_to_shape_map()
    for place, variable in _model_weights(model):
        key = _find_key(objects, place)
        if tuple(shapes.get(key, ("missing",))) != tuple(variable.shape):
            raise ModelError(
                f"{path}: weight {'/'.join(place)}: got {shapes.get(key, 'none')} in the "
                f"checkpoint; expected {tuple(variable.shape)}; save the model as .keras or .h5 "
                "and give that file"
            )
        variable.assign(np.asarray(reader.get_tensor(key)))
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def _find_key(objects: Any, place: tuple[str, ...]) -> str:  # noqa: ANN401 - TensorFlow's message
    """Return a checkpoint's name for a weight; empty where there is none.

    Args:
        objects: The objects of the checkpoint, each with its children by name.
        place: Names on the way from the model to the weight.
    """
    node = objects.nodes[0]
    for name in place:
        number = next((c.node_id for c in node.children if c.local_name == name), None)
        if number is None:
            return ""
        node = objects.nodes[number]
    return str(node.attributes[0].checkpoint_key) if node.attributes else ""


_Weights = Iterator[tuple[tuple[str, ...], keras.Variable]]


def _model_weights(model: keras.Model) -> _Weights:
    """Yield each weight with the names on Keras 2's way to it."""
    weighted = [layer for layer in model.layers if layer.weights]
    for number, layer in enumerate(weighted):
        inner = _model_weights if isinstance(layer, keras.Model) else _layer_weights
        for place, variable in inner(layer):
            yield (f"layer_with_weights-{number}", *place), variable


def _layer_weights(layer: keras.layers.Layer) -> _Weights:
    parts = {name: part for name, part in vars(layer).items() if _is_layer(part)}
    theirs = {id(variable) for part in parts.values() for variable in part.weights}
    for variable in layer.weights:
        if id(variable) not in theirs:
            name = _OTHER_NAMES.get((type(layer).__name__, variable.name), variable.name)
            yield (name,), variable
    for name, part in parts.items():
        for place, variable in _layer_weights(part):
            yield (name, *place), variable


def _is_layer(part: object) -> bool:
    return isinstance(part, keras.layers.Layer)


def _parse(text: str, path: Path) -> JsonValue:
    def refusal(reason: str) -> ModelError:
        return ModelError(f"{path}: its description is damaged ({reason}); copy or save it again")

    with refusing(refusal):
        check_size(len(text))
        return typing.cast(JsonValue, parse_json(text))


def check_size(size: int) -> None:
    """Refuse a description that no network needs.

    Raises:
        ValueError: It has more than ``MAX_CONFIG_BYTES``.
    """
    if size > MAX_CONFIG_BYTES:
        raise ValueError(f"{size:,} bytes; expected at most {MAX_CONFIG_BYTES:,}")


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)
