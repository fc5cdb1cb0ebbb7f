"""Puts the layers of a weight file onto a ResNet50, or says exactly what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from resnet_edge.errors import ModelError
from resnet_edge.model.layer_names import (
    CLASSIC_NAMES,
    CONVOLUTIONS,
    batch_norm_of,
    classic_name,
    shortcut_last,
)
from resnet_edge.model.weight_files import StoredLayer

LISTED = 10
"""Mismatches that an error spells out before it only counts."""

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ResnetWeights:
    """A file's layers under ResNet50's classic names.

    Attributes:
        backbone: Layers by classic name; not yet checked against a model.
        head: The classifier's Dense layer, or None for a file without top.
        unknown: Layers that no ResNet50 has.
    """

    backbone: dict[str, StoredLayer]
    head: StoredLayer | None
    unknown: tuple[StoredLayer, ...]

    @property
    def width(self) -> float | None:
        """Width factor by the first convolution's filters, None where it is missing or odd."""
        first = self.backbone.get("conv1")
        if first is None or not first.shapes or len(first.shapes[0]) != 4:
            return None
        return first.shapes[0][3] / 64


def sort_layers(stored: Iterable[StoredLayer]) -> ResnetWeights:
    """Find ResNet50's layers, in classic or keras.applications' names or without names.

    Args:
        stored: Layers of a weight file.

    Returns:
        The layers by classic name.
    """
    backbone: dict[str, StoredLayer] = {}
    rest: list[StoredLayer] = []
    for layer in _name_unnamed(list(stored)):
        name = classic_name(layer.name)
        if name in CLASSIC_NAMES.values() and name not in backbone:
            backbone[name] = layer
        else:
            rest.append(layer)
    heads = [layer for layer in rest if _is_dense(layer.shapes)]
    head = heads[0] if len(heads) == 1 else None
    return ResnetWeights(backbone, head, tuple(layer for layer in rest if layer is not head))


def _is_dense(shapes: Shapes) -> bool:
    return len(shapes) == 2 and len(shapes[0]) == 2 and shapes[1] == shapes[0][1:]


def _name_unnamed(stored: list[StoredLayer]) -> list[StoredLayer]:
    """Name the layers of a file that only numbers them: they lie in the order of the network."""
    convolutions = [s for s in stored if not s.named and s.name.startswith("conv2d")]
    norms = [s for s in stored if not s.named and s.name.startswith("batch_normalization")]
    if len(convolutions) != len(CONVOLUTIONS) or len(norms) != len(CONVOLUTIONS):
        return stored
    names = CONVOLUTIONS if _shortcuts_first(convolutions) else shortcut_last(CONVOLUTIONS)
    named = {id(layer): name for layer, name in zip(convolutions, names, strict=True)}
    named |= {id(layer): batch_norm_of(name) for layer, name in zip(norms, names, strict=True)}
    return [StoredLayer(named.get(id(layer), layer.name), layer.arrays) for layer in stored]


def _shortcuts_first(convolutions: list[StoredLayer]) -> bool:
    """Return True if stage 3's shortcut, which reads wide features, lies before its branch2c."""
    at = CONVOLUTIONS.index("res3a_branch1")
    shortcut, branch2c = (convolutions[i].arrays[0].shape[-2:] for i in (at, at + 1))
    return shortcut >= branch2c


def assign_weights(model: keras.Model, weights: ResnetWeights, source: str) -> str | None:
    """Set a ResNet50's weights; a head of another number of classes stays as it is.

    Args:
        model: A ``resnet50`` with top, changed in place.
        weights: The arrays of a file.
        source: The file, for messages.

    Returns:
        Words about the head where it was not taken, else None.

    Raises:
        ModelError: A layer is missing, unknown, or has other shapes; all are listed.
    """
    targets = [layer for layer in model.layers if layer.weights]
    head = next(layer for layer in targets if isinstance(layer, layers.Dense))
    problems = list(_mismatches([t for t in targets if t is not head], weights))
    note, take_head = _judge_head(head, weights.head, source)
    if (
        weights.head is not None
        and not take_head
        and weights.head.shapes[0][0] != _shapes(head)[0][0]
    ):
        problems.append(_line(weights.head.name, weights.head.shapes, _shapes(head)))
    if problems:
        raise ModelError(mismatch_message(source, problems))
    for layer in targets:
        if layer is not head:
            layer.set_weights(list(weights.backbone[layer.name].arrays))
    if take_head and weights.head is not None:
        head.set_weights(list(weights.head.arrays))
    return note


def _mismatches(targets: list[layers.Layer], weights: ResnetWeights) -> Iterator[str]:
    for layer in targets:
        stored = weights.backbone.get(layer.name)
        if stored is None:
            yield f"{layer.name}: not in the file; expected {_words(_shapes(layer))}"
        elif stored.shapes != _shapes(layer):
            yield _line(stored.name, stored.shapes, _shapes(layer))
    for unknown in weights.unknown:
        yield f"{unknown.name}: {_words(unknown.shapes)}; ResNet50 has no such layer"


def _judge_head(
    head: layers.Dense, stored: StoredLayer | None, source: str
) -> tuple[str | None, bool]:
    classes = _shapes(head)[1][0]
    if stored is None:
        return f"{source} has no head; a new one of {classes} classes starts at random", False
    if stored.shapes == _shapes(head):
        return None, True
    return head_note(stored.name, stored.shapes[1][0], classes), False


def head_note(name: str, old_classes: int, classes: int) -> str:
    """Say that a head was replaced.

    Args:
        name: Name of the old head.
        old_classes: Its number of classes.
        classes: The new one's.
    """
    return (
        f"the head {name} has {old_classes} classes; replaced by a new one of {classes}, "
        "which starts at random"
    )


def mismatch_message(source: str, problems: list[str]) -> str:
    """List mismatches, the first ten in full.

    Args:
        source: The file.
        problems: One line for each layer.
    """
    listed = "".join(f"\n  {problem}" for problem in problems[:LISTED])
    more = f"\n  and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
    count = "1 layer does" if len(problems) == 1 else f"{len(problems)} layers do"
    return (
        f"{source}: {count} not fit ResNet50 (v1, classic or keras.applications' names):"
        f"{listed}{more}\nUse weights of a ResNet50, or give your whole network as a .keras file"
    )


def _line(name: str, got: Shapes, expected: Shapes) -> str:
    return f"{name}: {_words(got)} in the file; expected {_words(expected)}"


def _words(shapes: Shapes) -> str:
    return ", ".join(str(shape) for shape in shapes) or "no arrays"


def _shapes(layer: layers.Layer) -> Shapes:
    return tuple(tuple(int(side) for side in weight.shape) for weight in layer.weights)


def layers_of(model: keras.Model) -> tuple[StoredLayer, ...]:
    """The weights of a model in memory, as if read from a file; not into nested models.

    Args:
        model: Any Keras model.
    """
    return tuple(
        StoredLayer(layer.name, tuple(np.asarray(w, np.float32) for w in layer.get_weights()))
        for layer in model.layers
        if layer.weights
    )
