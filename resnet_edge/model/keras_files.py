"""Loads a ``.keras`` file of anybody's without running code from it."""

from __future__ import annotations

import typing
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from converters.keras_defaults import use_keras_defaults
from resnet_edge.errors import ModelError, UsageError, first_line
from resnet_edge.model.model_file import CONFIG_FILE, MAX_CONFIG_BYTES
from resnet_edge.model.weight_files import not_finite_message
from resnet_edge.ondevice.reading import NO_ROOM, read_json_member, refusing

MAX_FILE_BYTES = 4 << 30
"""Most bytes that the archive may unpack to; ResNet50's has 0.1 GB."""

_CODE_LAYERS = frozenset(
    ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
)

JsonValue = dict[str, "JsonValue"] | list["JsonValue"] | str | int | float | bool | None


def check_file(path: Path) -> None:
    """Check that a path given by the user is a file with something in it.

    Args:
        path: The path.

    Raises:
        UsageError: There is no such file, or it is a folder.
        ModelError: It has 0 bytes.
    """
    if not path.exists():
        raise UsageError(
            f"{path}: no such file; expected a .keras model or .h5 weights; check the path"
        )
    if not path.is_file():
        raise UsageError(f"{path}: a folder; expected a .keras, .weights.h5 or .h5 file")
    if path.stat().st_size == 0:
        raise ModelError(f"{path}: 0 bytes; expected a Keras model; copy or save it again")


def read_keras_file(path: Path) -> keras.Model:
    """Load a ``.keras`` file, uncompiled, in Keras' safe mode.

    The network's description is looked through first: layers that carry code, or come from
    anywhere but Keras, are refused before Keras imports or builds anything.

    Args:
        path: A ``.keras`` file.

    Returns:
        The model with its weights, all of them finite.

    Raises:
        UsageError: No such file.
        ModelError: Not a ``.keras`` file, truncated, with code or custom layers in it, of layers
            that this Keras does not know, without a fixed graph, or with weights that are not
            finite.
    """
    use_keras_defaults()
    check_file(path)
    _check_config(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras lets through whatever a layer's constructor raises
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise  # Keras unpacks the weights into the temporary folder
        raise ModelError(
            f"{path}: Keras {keras.__version__} cannot load it ({first_line(error)}); expected a "
            "whole model written by model.save(); save it again with this version of Keras"
        ) from error
    if not isinstance(model, keras.Model) or not model.built or not hasattr(model, "inputs"):
        raise ModelError(
            f"{path}: holds a {type(model).__name__} without a fixed graph; expected a functional "
            "or sequential model with a keras.Input; build it so and save it again"
        )
    _check_finite(model, path)
    return model


def _check_config(path: Path) -> None:
    config = _read_config(path)
    for entry in _objects(config):
        kind, module = str(entry["class_name"]), entry.get("module")
        inner = entry.get("config")
        name = inner.get("name", kind) if isinstance(inner, dict) else kind
        if kind in _CODE_LAYERS:
            raise ModelError(
                f"{path}: layer {name!r} is a {kind.strip('_')} layer, which carries code; "
                "expected layers of Keras itself, since code from a file is never run; replace it "
                "by Keras layers (Rescaling, Normalization, keras.ops) and save the model again"
            )
        foreign = isinstance(module, str) and module.split(".")[0] not in ("keras", "builtins")
        if foreign or ">" in str(entry.get("registered_name")):
            raise ModelError(
                f"{path}: layer {name!r} is of the custom class {kind} ({module or 'no module'}); "
                "expected layers of Keras itself, since code of others is never run; "
                "replace it by Keras layers and save the model again"
            )


def _read_config(path: Path) -> JsonValue:

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
        return typing.cast(JsonValue, read_json_member(archive, CONFIG_FILE))


def _objects(value: JsonValue) -> Iterator[dict[str, JsonValue]]:
    """Every serialized object in a configuration, at any depth."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _check_finite(model: keras.Model, path: Path) -> None:
    bad = [
        weight.path.rpartition("/")[0] or weight.path
        for weight in model.weights
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all()
    ]
    if bad:
        raise ModelError(not_finite_message(str(path), list(dict.fromkeys(bad))))
