"""What a build knows of its model: later steps expect what ``export`` was told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from resnet_edge.data.address import Source
from resnet_edge.data.dataset import find_labels
from resnet_edge.display import Display
from resnet_edge.errors import ArtifactError, UsageError
from resnet_edge.inspection.model_description import (
    UNKNOWN,
    Expected,
    are_placeholders,
    describe_model,
    input_size,
    square,
)
from resnet_edge.layout import Layout
from resnet_edge.model.model_file import ModelInfo, read_model_info
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES
from resnet_edge.ondevice.formats.sidecar import Sidecar, load_artifact, sidecar_path
from resnet_edge.options import Options

NAMING = "pass --labels FILE, one name a line in output order"


def describe_for_export(options: Options, source: Path, display: Display) -> ModelInfo:
    """Describe a model: by the options, else its own file, else an earlier export of it.

    Classes without names take those of the calibration's class folders where that is plain.

    Raises:
        UsageError: Nothing says what the model expects, or earlier exports contradict each other.
        ModelError: The file is no ``.keras`` classifier.
    """
    silent = source.exists() and read_model_info(source) is None
    known = _exported(options, source) if silent else UNKNOWN
    info = _describe(options, source, known)
    return _named(info, options, options.calibration.calibration, display)


def describe_for_reference(options: Options, source: Path, display: Display) -> ModelInfo:
    """Describe a model: by the options, else as its artifacts were exported, else its own file.

    Raises:
        UsageError: Nothing says what the model expects, or its artifacts contradict each other.
        ModelError: The file is no ``.keras`` classifier.
    """
    if not source.exists() and (names := sorted({s.model_name for s in _sidecars(options.layout)})):
        raise UsageError(
            f"{source}: no such model; the artifacts in {options.layout.artifacts} were exported "
            f"from {', '.join(names)}; pass that .keras file: `resnet-edge reference MODEL`"
        )
    known = _exported(options, source) if source.exists() else UNKNOWN
    info, test = _describe(options, source, known), options.data.test
    folders = _class_folders(options, test)
    if known.labels and are_placeholders(info.labels) and not set(folders) <= set(info.labels):
        raise UsageError(
            f"{test}: folders {_shown(folders)}; the artifacts were exported without class names "
            f"({info.labels[0]}, {info.labels[1]}, …); export them again with --labels FILE, one "
            "name a line in output order"
        )
    return _named(info, options, test, display)


def _describe(options: Options, source: Path, known: Expected) -> ModelInfo:
    """Describe a model; options overrule what is known, and that overrules the file."""
    known = replace(known, size=square(options.data.image_size) or known.size)
    fit = options.data.fit or known.fit
    preprocessing = options.model.preprocessing or known.preprocessing
    info = describe_model(source, fit, preprocessing, options.model.labels, known)
    if options.model.labels is None and known.labels is not None:
        return replace(info, labels=known.labels)
    return info


def _named(info: ModelInfo, options: Options, folder: Source | None, display: Display) -> ModelInfo:
    """Give classes without names those of class folders, and say so either way."""
    if not are_placeholders(info.labels):
        return info
    names = _class_folders(options, folder)
    if len(names) == len(info.labels) and list(names) == sorted(names):
        display.warn(
            f"the model's classes have no names; those of the folders in {folder} are taken, in "
            f"alphabetical order: {_shown(names)}; {NAMING} if that is not the order of its outputs"
        )
        return replace(info, labels=names)
    display.warn(
        f"the model's classes have no names; they are called {info.labels[0]} to "
        f"{info.labels[-1]}; {NAMING}"
    )
    return info


def _class_folders(options: Options, source: Source | None) -> tuple[str, ...]:
    """Return the names of the classes that pictures lie in, in natural order."""
    if source is None:
        return ()
    cache = options.layout.cache
    return find_labels(source, cache / "unpacked", cache.parent)


def _shown(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _exported(options: Options, source: Path) -> Expected:
    """Return what the artifacts of a model were exported with; nothing where there are none.

    Raises:
        UsageError: They were exported with different things, and no option says which counts.
    """
    sha256 = hash_path(source)
    found = [sidecar for sidecar in _sidecars(options.layout) if sidecar.model_sha256 == sha256]
    if not found:
        return UNKNOWN
    first = found[0]
    if options.model.preprocessing is None:
        _check_agreed("--preprocessing", {s.name: s.preprocessing for s in found})
    if options.data.fit is None:
        _check_agreed("--fit", {s.name: s.fit for s in found})
    if options.model.labels is None:
        _check_agreed("--labels", {s.name: _shown(s.labels) for s in found})
    return Expected(first.preprocessing, Fit(first.fit), first.labels, _size_of(first))


def size_for_reference(options: Options, source: Path) -> tuple[int, int]:
    """Return height and width of the pictures: as asked for, else as the artifacts have them.

    Raises:
        UsageError: The model takes pictures of any size, and nothing says which.
        ModelError: The file is no classifier of pictures.
    """
    asked = square(options.data.image_size)
    return input_size(source, asked or _exported(options, source).size)


def _size_of(sidecar: Sidecar) -> tuple[int, int]:
    height, width = (int(side) for side in sidecar.input_shape[1:3] if side is not None)
    return height, width


def _check_agreed(option: str, values: Mapping[str, str]) -> None:
    first = next(iter(values))
    for name, value in values.items():
        if value != values[first]:
            raise UsageError(
                f"{option}: {first} was exported with {values[first]}, {name} with {value}; "
                f"expected one for all artifacts; export them again with {option}"
            )


def _sidecars(layout: Layout) -> Iterator[Sidecar]:
    """Yield the sidecars of a build that can be read."""
    for name in ARTIFACT_NAMES:
        path = layout.artifacts / name
        if sidecar_path(path).exists():
            with contextlib.suppress(ArtifactError):  # damaged: export makes it again
                yield load_artifact(path, verify=False).sidecar
