"""The description of a ``.keras`` classifier: its own, completed and overruled by options."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

from resnet_edge.errors import UsageError
from resnet_edge.inspection.keras_model import read_endpoints
from resnet_edge.model.model_file import ModelInfo, read_model_info
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.text_files import read_text


@dataclass(frozen=True)
class Expected:
    """A model's expectations of pictures, and its classes, as far as they are known elsewhere."""

    preprocessing: str | None = None
    fit: Fit | None = None
    labels: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None
    """Height and width, which a network may leave free."""


UNKNOWN = Expected()


def describe_model(
    source: Path,
    fit: Fit | None = None,
    preprocessing: str | None = None,
    labels: Path | None = None,
    known: Expected = UNKNOWN,
) -> ModelInfo:
    """Return a model's description, completed and overruled by the options.

    Args:
        source: A ``.keras`` classifier.
        fit: ``--fit``; None takes the file's own.
        preprocessing: ``--preprocessing``; None takes the file's own.
        labels: ``--labels``, a file; None takes the file's own.
        known: What is known where neither the options nor the file say it.

    Raises:
        UsageError: Nothing says what the model expects.
        ModelError: The file is no ``.keras`` classifier.
    """
    if not source.exists():
        raise UsageError(f"{source}: no such model; make it with `resnet-edge finetune`")
    info = read_model_info(source)
    if info is None:
        preprocessing = preprocessing or known.preprocessing
        if preprocessing is None:
            raise UsageError(
                f"{source} does not say what it expects of pictures; pass --preprocessing "
                "caffe|torch|tf|unit, or none where the model normalizes pictures itself"
            )
        names = known.labels or placeholder_labels(_count_classes(source, known.size))
        expected = fit or known.fit or Fit.CROP
        info = ModelInfo(source.stem, names, preprocessing, expected.value, source.name)
    if fit is not None:
        info = replace(info, fit=fit.value)
    if preprocessing is not None:
        info = replace(info, preprocessing=preprocessing)
    if labels is not None:
        info = replace(info, labels=read_labels(labels, len(info.labels)))
    return info


def placeholder_labels(classes: int) -> tuple[str, ...]:
    """Return the names of classes that have none: ``class 0``, ``class 1`` and so on."""
    return tuple(f"class {index}" for index in range(classes))


def are_placeholders(labels: tuple[str, ...]) -> bool:
    """Return True if a model's classes have no names of their own."""
    return labels == placeholder_labels(len(labels))


def read_labels(path: Path, classes: int) -> tuple[str, ...]:
    """Read a labels file: one class name a line, in output order. A byte order mark is no name.

    Names are brought into Unicode's composed form (NFC).

    Raises:
        UsageError: The file is missing, or has another number of lines than the model has classes.
    """
    try:
        lines = unicodedata.normalize("NFC", read_text(path)).splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(
            f"--labels: {path} cannot be read ({problem}); expected UTF-8 text; save it as UTF-8"
        ) from problem
    names = tuple(line.strip() for line in lines if line.strip())
    if len(names) != classes or len(set(names)) != classes:
        raise UsageError(
            f"--labels: {path} has {len(names)} names ({len(set(names))} different); "
            f"the model has {classes} classes; expected one name a line in output order"
        )
    return names


def input_size(source: Path, asked: tuple[int, int] | None = None) -> tuple[int, int]:
    """Return height and width that a classifier takes, in pixels.

    Args:
        source: The user's model file.
        asked: Height and width of the pictures where the network takes any.

    Raises:
        UsageError: The network takes any size and none is asked for, or takes another one.
        ModelError: The file is no classifier of pictures.
    """
    inputs, _ = read_endpoints(source)
    shape = inputs[0].shape if len(inputs) == 1 else None
    fixed = shape is not None and len(shape) == 4 and None not in shape[1:3]
    if shape is None or not fixed or asked not in (None, shape[1:3]):
        from resnet_edge.model.classifiers import load_classifier

        shape = tuple(load_classifier(source, asked).inputs[0].shape)
    height, width = (int(side) for side in shape[1:3] if side is not None)
    return height, width


def square(side: int | None) -> tuple[int, int] | None:
    """Return height and width of ``--image-size``; None where it is not given."""
    return None if side is None else (side, side)


def _count_classes(source: Path, size: tuple[int, int] | None) -> int:
    """Return a classifier's number of classes; loads it only where its description is silent."""
    _, outputs = read_endpoints(source)
    shape = outputs[0].shape if len(outputs) == 1 else None
    if shape is None or len(shape) != 2 or shape[1] is None or shape[1] < 2:
        from resnet_edge.model.classifiers import load_classifier

        return int(load_classifier(source, size).outputs[0].shape[-1])
    return int(shape[1])
