"""What the command line says, as the records that the steps take; wrong values are wrong usage."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable
from pathlib import Path

from converters.quantization.settings import Level, RangeMethod, Target
from resnet_edge.errors import UsageError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES
from resnet_edge.ondevice.formats.sidecar import load_artifacts, sidecar_path
from resnet_edge.options import QuantizationOptions, parse_formats
from resnet_edge.training.settings import TrainingSettings


def training_settings(
    *,
    epochs: int | None,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    label_smoothing: float,
    dropout: float,
    patience: int,
    views: int,
    augment: bool,
    unfreeze: int,
    seed: int,
    mixed_precision: bool,
    class_weights: bool,
) -> TrainingSettings:
    """Build the settings of the training.

    Raises:
        UsageError: A value is out of its range; the message begins with the option.
    """
    try:
        return TrainingSettings(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            dropout=dropout,
            patience=patience,
            views=views,
            augment=augment,
            unfreeze=unfreeze,
            seed=seed,
            mixed_precision=mixed_precision,
            class_weights=class_weights,
        )
    except ValueError as problem:
        name, _, reason = str(problem).partition(":")
        raise UsageError(f"--{name.replace('_', '-')}:{reason}") from problem


def quantization_options(
    *,
    level: Level,
    range_method: RangeMethod,
    keep_float: str,
    budget_minutes: float,
    onnx_target: Target,
    few_pictures: bool,
) -> QuantizationOptions:
    """Build the options of the quantization; layers' names come separated by commas."""
    names = tuple(name.strip() for name in keep_float.split(",") if name.strip())
    return QuantizationOptions(
        level, range_method, names, budget_minutes, onnx_target, few_pictures
    )


def parse_size(text: str) -> int:
    """Parse ``--max-bytes 64MB``: bytes, kB, MB or GB, each 1000 of the one before.

    Raises:
        UsageError: This is no size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?)b?\s*", text, re.IGNORECASE)
    if found is None:
        raise UsageError(f"--max-bytes: got {text!r}; expected a size, for instance 64MB or 500kB")
    return int(float(found[1]) * 1000 ** " kmg".index(found[2].lower() or " "))


def present_formats(out: Path, formats: str) -> tuple[str, ...]:
    """Parse ``--formats``; where it is empty, take the artifacts that are in ``out``.

    Raises:
        UsageError: A name is unknown.
        ArtifactError: There are no artifacts, or one does not match its sidecar.
    """
    if formats:
        return parse_formats(formats)
    return tuple(artifact.name for artifact in load_artifacts(Layout(out).artifacts))


def only_saved_answers(out: Path, formats: str) -> bool:
    """Whether ``out`` has the answers of artifacts and no artifact; asking for some wants files."""
    layout = Layout(out)
    present = any(sidecar_path(layout.artifacts / name).exists() for name in ARTIFACT_NAMES)
    return layout.parity.exists() and not present and not formats


def option_types(command: Callable[..., object]) -> dict[str, type]:
    """Types of a command's options by name, without ``None`` where that is allowed."""
    hints = typing.get_type_hints(command)
    return {name: _plain(hint) for name, hint in hints.items() if name != "return"}


def _plain(hint: object) -> type:
    if isinstance(hint, types.UnionType):
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return typing.cast(type, hint)
