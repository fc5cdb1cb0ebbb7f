"""Reads the weights out of HDF5 files: Keras 3's ``.weights.h5`` and the legacy ``.h5``.

Only numbers are read: no configuration is deserialized, no link is followed, so nothing in a file
can run or reach outside it. The layouts are those of Keras' own ``saving_lib`` (3.x) and
``legacy_h5_format`` (1.x and 2.x).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from resnet_edge.errors import ModelError
from resnet_edge.ondevice.reading import refusing

MAX_LAYER_BYTES = 1 << 30
"""Most bytes one array may claim. ResNet50's largest has 9.4 MB; compression can hide bombs."""

_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""Groups that hold a model's layers in a Keras 3 file; the second was written by Keras 2.13."""


@dataclass(frozen=True)
class StoredLayer:
    """The arrays of one layer in a file.

    Attributes:
        name: The layer's name; where the file has none, a class and a running number
            (``conv2d_7``), with ``named`` False.
        arrays: Float32 arrays in Keras' order: kernel, bias; or gamma, beta, mean, variance.
        named: True if ``name`` is the name the layer had in its model.
    """

    name: str
    arrays: tuple[np.ndarray, ...]
    named: bool = True

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the arrays."""
        return tuple(array.shape for array in self.arrays)


def read_weight_file(path: Path) -> tuple[StoredLayer, ...]:
    """Read every layer that has weights.

    Args:
        path: A ``.weights.h5`` of Keras 3, or a legacy ``.h5`` of ``save_weights`` or ``save``.

    Returns:
        The layers in the file's order.

    Raises:
        ModelError: The file is empty, damaged, not HDF5, not of Keras, or holds links, non-numbers
            or values that are not finite.
    """
    if path.stat().st_size == 0:
        raise ModelError(f"{path}: 0 bytes; expected a Keras weight file; copy it again")

    def refusal(reason: str) -> ModelError:
        return ModelError(
            f"{path}: not a readable HDF5 file, or truncated ({reason}); expected Keras weights "
            "(.weights.h5 or legacy .h5); copy or save it again"
        )

    with refusing(refusal), h5py.File(path, "r") as file:
        layers = tuple(_read_layers(file, path))
    if not layers:
        raise ModelError(
            f"{path}: no layer with weights in it; expected the weights of a ResNet50; "
            "save them with model.save_weights()"
        )
    _check_finite(layers, path)
    return layers


def _read_layers(file: h5py.File, path: Path) -> Iterator[StoredLayer]:
    legacy = _member(file, "model_weights", path) if "model_weights" in file else file
    if "layer_names" in legacy.attrs or "layer_names0" in legacy.attrs:
        return _read_legacy(legacy, path)
    if any(container in file for container in _CONTAINERS):
        return _read_keras3(file, path)
    raise ModelError(
        f"{path}: HDF5 without Keras layers (it holds {', '.join(sorted(file)[:5]) or 'nothing'}); "
        "expected a .weights.h5 or a legacy .h5 of Keras"
    )


def _read_keras3(group: h5py.Group, path: Path) -> Iterator[StoredLayer]:
    """Walk ``layers/<class>_<n>/vars/<i>``, also through nested models."""
    for container in _CONTAINERS:
        if container not in group:
            continue
        layers = _member(group, container, path)
        for key in sorted(layers, key=_running_number):
            layer = _member(layers, key, path)
            variables = _member(layer, "vars", path) if "vars" in layer else None
            if variables is not None and len(variables):
                name = _text(variables.attrs.get("name", ""))
                keys = sorted(variables, key=int)
                arrays = tuple(_array(variables, index, path) for index in keys)
                yield StoredLayer(name or key, arrays, named=bool(name))
            yield from _read_keras3(layer, path)


def _running_number(key: str) -> tuple[str, int]:
    match = re.fullmatch(r"(.*?)_(\d+)", key)
    return (match[1], int(match[2])) if match else (key, 0)


def _read_legacy(group: h5py.Group, path: Path) -> Iterator[StoredLayer]:
    """Walk the names in the attributes; a nested model's layers lie together in its one group."""
    for name in _names(group, "layer_names"):
        layer = _member(group, name, path)
        by_layer: dict[str, list[np.ndarray]] = {}
        for weight in _names(layer, "weight_names"):
            inner = weight.rsplit("/", 2)[-2] if "/" in weight else name
            by_layer.setdefault(inner, []).append(_array(layer, weight, path))
        if len(by_layer) == 1:
            by_layer = {name: next(iter(by_layer.values()))}
        for inner, arrays in by_layer.items():
            yield StoredLayer(inner, tuple(arrays))


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names from an attribute that Keras splits in pieces where it is over 64 KB."""
    pieces = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(pieces)}" in group.attrs:
        pieces.append(f"{attribute}{len(pieces)}")
    return [_text(name) for piece in pieces for name in group.attrs[piece]]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _member(group: h5py.Group, name: str, path: Path) -> h5py.Group | h5py.Dataset:
    """A member that lies in this very file."""
    for part in name.split("/"):
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise ModelError(
                f"{path}: {group.name}/{part} is missing or a link to elsewhere; "
                "expected weights inside the file; save it again with Keras"
            )
        group = group[part]
    return group


def _array(group: h5py.Group, name: str, path: Path) -> np.ndarray:
    dataset = _member(group, name, path)
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise ModelError(
            f"{path}: {dataset.name} does not hold its numbers in the file; "
            "expected plain arrays; save it again with Keras"
        )
    if dataset.dtype.kind != "f" or dataset.dtype.itemsize > 8:
        raise ModelError(
            f"{path}: {dataset.name} is {dataset.dtype}; expected float16, float32 or float64"
        )
    if dataset.nbytes > MAX_LAYER_BYTES:
        raise ModelError(
            f"{path}: {dataset.name} claims {dataset.nbytes} bytes; "
            f"expected at most {MAX_LAYER_BYTES} for one array"
        )
    return np.asarray(dataset[()], np.float32)


def _check_finite(layers: tuple[StoredLayer, ...], path: Path) -> None:
    bad = [
        layer.name
        for layer in layers
        if not all(bool(np.isfinite(array).all()) for array in layer.arrays)
    ]
    if bad:
        raise ModelError(not_finite_message(str(path), bad))


def not_finite_message(source: str, layers: list[str]) -> str:
    """Say which layers hold NaN or infinity.

    Args:
        source: The file or model.
        layers: Names of the layers, at least one.
    """
    more = f" and {len(layers) - 10} more" if len(layers) > 10 else ""
    return (
        f"{source}: NaN or infinity in the weights of {', '.join(layers[:10])}{more}; "
        "expected finite numbers; the training diverged or the file is damaged: use another one"
    )
