"""Reads ``.keras`` files as the zip they are: no layer is built and no code from the file runs."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from resnet_edge.errors import ArtifactError, ModelError
from resnet_edge.inspection.contents import (
    Computation,
    Contents,
    Endpoint,
    StoredTensor,
    count_names,
    deduce_quantization,
    group_weights,
    text_metadata,
)
from resnet_edge.model.model_file import (
    CONFIG_FILE,
    KERAS_FILE,
    MAX_CONFIG_BYTES,
    ModelInfo,
    read_model_info,
)
from resnet_edge.ondevice.reading import read_json_member, refusing

WEIGHTS_FILE = "model.weights.h5"

_COMPUTATIONS = {
    "float16": Computation.FLOAT16,
    "bfloat16": Computation.FLOAT16,
    "int8": Computation.WEIGHT_ONLY,
}
_SHAPE_KEEPING = frozenset(("Activation", "Softmax", "ReLU", "Dropout", "BatchNormalization"))

Json = Any  # what json.loads gives


def read_keras_model(path: Path) -> Contents:
    """Read a ``.keras`` file.

    Args:
        path: The file that ``model.save("x.keras")`` or ``resnet-edge finetune`` wrote.

    Raises:
        ArtifactError: It is empty, truncated, or no ``.keras`` file.
    """

    def refusal(reason: str) -> ArtifactError:
        return ArtifactError(
            f"{path}: truncated, damaged or no .keras file ({reason}); "
            "expected the zip that model.save('NAME.keras') writes; save or copy it again"
        )

    with refusing(refusal), zipfile.ZipFile(path) as archive:
        config: Json = read_json_member(archive, CONFIG_FILE, MAX_CONFIG_BYTES)
        about: Json = read_json_member(archive, KERAS_FILE)
        whole = WEIGHTS_FILE in archive.namelist()
        weights = tuple(_weights(archive)) if whole else ()
        info = _own_description(path)
        network = describe_network(
            config,
            weights,
            text_metadata(
                {
                    "keras": about.get("keras_version"),
                    # Our own files bear no time: the same model has the same bytes.
                    "saved": about.get("date_saved") if info is None else None,
                    "preprocessing": None if info is None else info.preprocessing,
                    "fit": None if info is None else info.fit,
                    "weights": None if info is None else info.weights,
                }
            ),
            () if whole else (f"it has no {WEIGHTS_FILE}: weights are not shown",),
        )
        if not whole:
            network = replace(network, parameters=None)
        return (
            network if info is None else replace(network, labels=info.labels, model_name=info.name)
        )


def describe_network(
    config: Json,
    weights: tuple[StoredTensor, ...],
    metadata: dict[str, str],
    notes: tuple[str, ...],
) -> Contents:
    """Put together what a description of Keras and its weights say.

    Args:
        config: The serialized model.
        weights: The layers' weights.
        metadata: Other facts in the file.
        notes: Facts that could not be found out.
    """
    return Contents(
        inputs=_endpoints(config, "input_layers"),
        outputs=_endpoints(config, "output_layers"),
        operators=count_names(_layer_names(config)),
        weights=group_weights(weights),
        computations=(),
        quantization=deduce_quantization(
            (_COMPUTATIONS.get(w.dtype, Computation.FLOAT32) for w in weights),
            integer_only=False,
        ),
        labels=None,
        model_name=config["config"]["name"],
        parameters=sum(w.values for w in weights),
        metadata=metadata,
        notes=notes,
    )


def _own_description(path: Path) -> ModelInfo | None:
    try:
        return read_model_info(path)
    except ModelError as problem:  # the message names the member
        raise ArtifactError(str(problem)) from problem


def read_endpoints(path: Path) -> tuple[tuple[Endpoint, ...], tuple[Endpoint, ...]]:
    """Return inputs and outputs as far as the file's description names them; it takes milliseconds.

    Args:
        path: A ``.keras`` file.

    Returns:
        Both empty where it is no such file, or its description is not one of Keras 3. Loading the
        file then raises the error.
    """
    try:
        with refusing(ModelError), zipfile.ZipFile(path) as archive:
            config: Json = read_json_member(archive, CONFIG_FILE, MAX_CONFIG_BYTES)
            return _endpoints(config, "input_layers"), _endpoints(config, "output_layers")
    except ModelError:
        return (), ()


def _weights(archive: zipfile.ZipFile) -> Iterator[StoredTensor]:
    """Yield the shapes of the layers' weights, without the state of optimizer and generators."""
    import h5py

    found: list[StoredTensor] = []

    def add(name: str, item: object) -> None:
        own = not name.startswith("optimizer/") and "seed_generator" not in name
        if own and isinstance(item, h5py.Dataset):
            found.append(StoredTensor(str(item.dtype), math.prod(item.shape), 0))

    with archive.open(WEIGHTS_FILE) as stream, h5py.File(stream, "r") as file:
        file.visititems(add)
    yield from found


def _layer_names(model: Json) -> Iterator[str]:
    for layer in model["config"].get("layers", ()):
        if "layers" in layer["config"]:
            yield from _layer_names(layer)
        elif layer["class_name"] != "InputLayer":
            yield layer["class_name"]


def _endpoints(model: Json, key: str) -> tuple[Endpoint, ...]:
    config = model["config"]
    layers = {layer["config"]["name"]: layer for layer in config.get("layers", ())}
    if key in config:
        names = _endpoint_names(config[key])
    else:  # Sequential
        names = [list(layers)[0 if key == "input_layers" else -1]] if layers else []
    return tuple(_endpoint(layers[name], key) for name in names)


def _endpoint_names(value: Json) -> list[str]:
    """Return layers' names out of ``[name, 0, 0]``, or a list or dict of such triples."""
    if isinstance(value, dict):
        return [name for inner in value.values() for name in _endpoint_names(inner)]
    if value and isinstance(value[0], str):
        return [value[0]]
    return [name for inner in value for name in _endpoint_names(inner)]


def _endpoint(layer: Json, key: str) -> Endpoint:
    config, name = layer["config"], layer["config"]["name"]
    if "layers" in config:
        inner = _endpoints(layer, key)
        return (
            Endpoint(name, inner[0].dtype, inner[0].shape) if inner else Endpoint(name, "?", None)
        )
    return Endpoint(name, _dtype(config.get("dtype")), _shape(layer))


def _dtype(value: Json) -> str:
    if isinstance(value, dict):
        value = value.get("config", {}).get("name")
    return str(value) if value else "float32"


def _shape(layer: Json) -> tuple[int | None, ...] | None:
    """Return a layer's output shape if its configuration names it; Keras computes the others."""
    config = layer["config"]
    built = (layer.get("build_config") or {}).get("input_shape")
    for key in ("batch_shape", "batch_input_shape"):  # of Keras 3 and 2
        if key in config and layer["class_name"] == "InputLayer":
            return tuple(config[key])
    if layer["class_name"] == "Dense" and built:
        return (*built[:-1], config["units"])
    return tuple(built) if layer["class_name"] in _SHAPE_KEEPING and built else None
