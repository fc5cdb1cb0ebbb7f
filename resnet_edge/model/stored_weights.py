"""Builds a network from its description with no more weights than its file holds."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import h5py
import keras

from resnet_edge.errors import ModelError
from resnet_edge.model.json_values import JsonObject
from resnet_edge.model.keras_config import Origin, cause_of

SPARE_VALUES = 1 << 20
"""Values that a network may have beyond those of its file: Keras then names the layer."""


COMPRESSED = 64
"""Most values that a stored byte counts for; compression can hide bombs."""


class _TooManyWeightsError(Exception):
    """A description declares more weights than its file holds."""


def count_values(group: h5py.Group) -> int:
    """Return the number of values that an HDF5 group holds in the file itself.

    Links to elsewhere do not count.
    """
    values = 0

    def add(_: str, item: object) -> None:
        nonlocal values
        if isinstance(item, h5py.Dataset) and not item.external and not item.is_virtual:
            values += min(math.prod(item.shape or (1,)), COMPRESSED * item.id.get_storage_size())

    group.visititems(add)
    return values


def build_network(config: JsonObject, stored: int, origin: Origin) -> object:
    """Build what a description says, with weights that are yet to be read.

    Args:
        config: A checked description (see ``prepare_config``).
        stored: Number of values in the file. A description that declares more is refused before
            their memory is asked for.
        origin: The file, for messages.

    Returns:
        What Keras makes of it; hopefully a model.

    Raises:
        ModelError: It declares more weights than are stored, or Keras cannot build it.
    """
    try:
        with _at_most(stored + SPARE_VALUES):
            return keras.saving.deserialize_keras_object(config, safe_mode=True)
    except Exception as error:  # Keras lets through whatever a layer's constructor raises
        if declared := _declared(error):
            raise ModelError(
                f"{origin.path}: declares a weight of {declared}, holds {stored:,} values in all; "
                "expected the weights of every layer; it is damaged: copy or save it again"
            ) from None
        raise origin.refuse(cause_of(error)) from error


def _declared(error: BaseException | None) -> str:
    """The weight that was too large, in words; empty for another error."""
    while error is not None:
        if isinstance(error, _TooManyWeightsError):
            return str(error)
        error = error.__cause__ or error.__context__
    return ""


@contextlib.contextmanager
def _at_most(values: int) -> Iterator[None]:
    """Let layers add weights of so many values in all."""
    add_weight, left = keras.layers.Layer.add_weight, values

    def add_within(layer: keras.layers.Layer, shape: Any = None, *rest: Any, **named: Any) -> Any:  # noqa: ANN401
        nonlocal left
        sides = (shape,) if isinstance(shape, int) else tuple(shape or ())
        left -= math.prod(sides)
        if left < 0:
            raise _TooManyWeightsError(f"shape {sides} in layer {layer.name!r}")
        return add_weight(layer, shape, *rest, **named)

    keras.layers.Layer.add_weight = add_within
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = add_weight
