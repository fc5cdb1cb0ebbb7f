"""What a person should know of a model from elsewhere, said before the work begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet_edge.display import Display
from resnet_edge.errors import UsageError
from resnet_edge.full_precision.backend import set_environment
from resnet_edge.model.model_file import ModelInfo, read_model_info
from resnet_edge.ondevice.reference_file import Reference
from resnet_edge.options import Options
from resnet_edge.steps.label_order import order_warning

CHANCE_PICTURES = 30
"""Fewest test pictures that tell chance from knowledge."""

_OF_COLOURS = ("caffe", "torch")


def is_foreign(options: Options, source: Path) -> bool:
    """Return True if a model does not tell its preprocessing itself, or is told another one."""
    return options.model.preprocessing is not None or read_model_info(source) is None


def check_model(
    source: Path,
    info: ModelInfo,
    size: tuple[int, int],
    pictures: npt.NDArray[np.uint8] | None,
    display: Display,
) -> None:
    """Load a user's classifier, and say what differs in it and what looks wrong.

    Args:
        source: The model file.
        info: Its description, completed by options.
        size: Height and width of the pictures.
        pictures: Raw RGB of the kind that it was trained on; None if there are none.
        display: Shows notes and warnings.

    Raises:
        UsageError: The preprocessing is of colours and the network takes grey pictures.
        ResnetEdgeError: It is no classifier that can be exported.
    """
    set_environment()
    from resnet_edge.model.classifiers import read_classifier
    from resnet_edge.model.pixel_scaling import preprocessing_warning

    classifier = read_classifier(source, size)
    if classifier.grey and info.preprocessing in _OF_COLOURS:
        raise UsageError(
            f"--preprocessing: got {info.preprocessing}, which is of three colours; {source} takes "
            "grey pictures; pass unit, tf or none"
        )
    for note in classifier.notes:
        display.say(f"{source.name}: {note}")
    warning = preprocessing_warning(classifier.model, info.preprocessing, pictures)
    for text in (*classifier.warnings, *([warning] if warning else ())):
        display.warn(f"{source.name}: {text}")


def answers_warning(reference: Reference) -> str | None:
    """Return a warning where a model's answers to the test pictures look wrong, else None."""
    info = reference.info
    return order_warning(reference) or chance_warning(
        reference.probabilities, reference.classes, info.labels, info.preprocessing
    )


def chance_warning(
    probabilities: np.ndarray, classes: np.ndarray, labels: tuple[str, ...], preprocessing: str
) -> str | None:
    """Return a warning where a model answers no better than by chance.

    Args:
        probabilities: ``(n, classes)``.
        classes: True classes of the pictures.
        labels: Names of the classes.
        preprocessing: Name of the normalization in front of the model.
    """
    pictures, chance = len(classes), 1 / len(labels)
    if pictures < CHANCE_PICTURES:
        return None
    right = int((probabilities.argmax(axis=1) == classes).sum())
    spread = 2 * np.sqrt(pictures * chance * (1 - chance))
    if right > pictures * chance + spread:
        return None
    return (
        f"{right} of {pictures} test pictures are answered right, as by chance among "
        f"{len(labels)} classes; check --preprocessing (now {preprocessing}), and that the names "
        "of the classes are in the order of the model's outputs"
    )
