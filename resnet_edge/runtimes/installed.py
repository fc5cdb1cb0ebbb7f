"""Which runtime an artifact would run in here, found out without importing it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from resnet_edge.artifacts import Format
from resnet_edge.runtimes.tflite import CANDIDATES


@dataclass(frozen=True)
class InstalledRuntime:
    """A runtime by the name and version that it gives itself."""

    name: str
    version: str
    """Empty where the package does not say."""


@dataclass(frozen=True)
class _Candidate:
    name: str
    module: str
    package: str


def installed_runtime(
    kind: Format, present: Callable[[str], bool] | None = None
) -> InstalledRuntime | None:
    """Return the runtime that ``open_runtime`` takes for files of this format.

    Args:
        kind: The format.
        present: Whether a top-level module can be imported; None looks for it.

    Returns:
        None where no runtime for it is installed.
    """
    found = present or _present
    for candidate in _candidates(kind):
        if found(candidate.module):
            return InstalledRuntime(candidate.name, _version(candidate.package))
    return None


def install_line(kind: Format) -> str:
    """The command that installs the preferred runtime for files of this format."""
    return f"pip install {next(_candidates(kind)).package}"


def _candidates(kind: Format) -> Iterator[_Candidate]:
    match kind:
        case Format.TFLITE:
            for name, module, package in CANDIDATES:
                yield _Candidate(name, module.partition(".")[0], package)
        case Format.ONNX:
            yield _Candidate("onnxruntime", "onnxruntime", "onnxruntime")
        case Format.SAVED_MODEL:
            yield _Candidate("TensorFlow", "tensorflow", "tensorflow")


def _present(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # installed under another name, -cpu or -gpu
        return ""
