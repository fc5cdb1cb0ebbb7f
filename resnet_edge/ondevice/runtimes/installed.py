"""Which runtime an artifact would run in here, found out without importing it.

Runs on the device too: standard library only.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.runtimes.tflite import CANDIDATES, numpy_conflict

LITERT_PYTHON = (3, 9)
"""ai-edge-litert has wheels from here on, for 64-bit systems."""

TFLITE_RUNTIME_PYTHON = (3, 11)
"""tflite-runtime's last release has wheels up to here, for 32-bit Arm too."""


@dataclass(frozen=True)
class InstalledRuntime:
    """A runtime by the name and version that it gives itself."""

    name: str
    version: str
    """Empty where the package does not say."""


@dataclass(frozen=True)
class Platform:
    """What decides which wheels there are."""

    python: tuple[int, int]
    wide: bool
    """Whether Python is a 64-bit program, which on a 64-bit kernel it need not be."""


@dataclass(frozen=True)
class _Candidate:
    name: str
    module: str
    package: str


def this_platform() -> Platform:
    """The platform that this process runs on."""
    return Platform(sys.version_info[:2], sys.maxsize > 1 << 32)


def installed_runtimes(
    kind: Format, present: Callable[[str], bool] | None = None
) -> tuple[InstalledRuntime, ...]:
    """Return the runtimes here for files of this format, the preferred one first.

    Of the packages that hold the TFLite interpreter only the first counts: it is the same engine in
    all of them.

    Args:
        kind: The format.
        present: Whether a top-level module can be imported; None looks for it.

    Returns:
        Empty where none is installed, or none that works with the NumPy here.
    """
    found = present or _present
    runtimes = (
        InstalledRuntime(candidate.name, _version(candidate.package))
        for candidate in _candidates(kind)
        if found(candidate.module) and numpy_conflict(candidate.package) is None
    )
    return tuple(itertools.islice(runtimes, 1 if kind is Format.TFLITE else None))


def installed_runtime(
    kind: Format, present: Callable[[str], bool] | None = None
) -> InstalledRuntime | None:
    """Return the runtime that ``open_runtime`` takes for files of this format if none is named.

    Args:
        kind: The format.
        present: As in ``installed_runtimes``.

    Returns:
        None where there is none.
    """
    return next(iter(installed_runtimes(kind, present)), None)


def further_runtimes(kind: Format) -> tuple[str, ...]:
    """Names of what could run files of this format here beside the preferred runtime."""
    return tuple(runtime.name for runtime in installed_runtimes(kind)[1:])


def preferred_name(kind: Format) -> str:
    """The name of the runtime to take for files of this format, also where none is installed."""
    found = installed_runtime(kind)
    return found.name if found is not None else next(_candidates(kind)).name


def install_line(kind: Format, platform: Platform | None = None) -> str:
    """The command that installs a runtime for files of this format, the preferred one if it can.

    Args:
        kind: The format.
        platform: Whose wheels; None takes this one's.
    """
    platform = platform or this_platform()
    if kind is Format.TFLITE and not (platform.wide and platform.python >= LITERT_PYTHON):
        return "pip install tflite-runtime 'numpy<2'"
    return f"pip install {next(_candidates(kind)).package}"


def missing_reason(
    kind: Format,
    present: Callable[[str], bool] | None = None,
    platform: Platform | None = None,
) -> str:
    """Say why files of this format cannot run here, and what to do.

    Args:
        kind: A format for which ``installed_runtime`` gives None.
        present: As there.
        platform: As in ``install_line``.
    """
    found, platform = present or _present, platform or this_platform()
    for candidate in _candidates(kind):
        conflict = numpy_conflict(candidate.package)
        if found(candidate.module) and conflict is not None:
            return conflict
    said = f"no runtime for {kind.value} files is installed here"
    if not platform.wide and kind is Format.ONNX:
        return f"{said}, and onnxruntime has no wheels for 32-bit systems; take .tflite files"
    if not platform.wide and platform.python > TFLITE_RUNTIME_PYTHON:
        newest = ".".join(map(str, TFLITE_RUNTIME_PYTHON))
        return (
            f"{said}, and on 32-bit systems there are wheels for Python up to {newest} only; with "
            f"such a Python run `{install_line(kind, platform)}`"
        )
    return f"{said}; run `{install_line(kind, platform)}`"


def _candidates(kind: Format) -> Iterator[_Candidate]:
    if kind is Format.TFLITE:
        for name, module, package in CANDIDATES:
            yield _Candidate(name, module.partition(".")[0], package)
    elif kind is Format.ONNX:
        yield _Candidate("onnxruntime", "onnxruntime", "onnxruntime")
        yield _Candidate("OpenVINO", "openvino", "openvino")
    else:
        yield _Candidate("TensorFlow", "tensorflow", "tensorflow")


def _present(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # installed under another name, -cpu or -gpu
        return ""
