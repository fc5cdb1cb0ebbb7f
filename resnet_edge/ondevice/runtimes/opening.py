"""Loads an artifact into a runtime of ``RUNTIME_KINDS``; no other runtime is imported."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path

from resnet_edge.errors import InferenceError, RuntimeMissingError
from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.reading import refusing
from resnet_edge.ondevice.runtimes.base import Loading, Runtime
from resnet_edge.ondevice.runtimes.installed import conflict_of, install_line, usable_kinds
from resnet_edge.ondevice.runtimes.kinds import RuntimeKind, runtimes_for


def open_runtime(
    artifact: Artifact,
    threads: int,
    runtime: str | None = None,
    profile_folder: str | os.PathLike[str] | None = None,
) -> Runtime:
    """Load an artifact into a runtime.

    Args:
        artifact: From ``resnet_edge.ondevice.formats.sidecar.load_artifact``.
        threads: Threads for one inference, at least 1.
        runtime: The name of one of ``installed_runtimes``; None takes the first of them.
        profile_folder: The folder that the runtime's profiler writes to; None leaves it off.

    Returns:
        A runtime that is ready to answer.

    Raises:
        RuntimeMissingError: The runtime is not installed; the message has the install line.
        InferenceError: The runtime refuses the file, or the file is not what its sidecar says.
    """
    folder = None if profile_folder is None else Path(profile_folder)
    kinds = _choose(artifact.sidecar.format, runtime)
    for kind in kinds:
        if conflict_of(kind) is not None:
            continue
        try:
            module = importlib.import_module(kind.module)
        except ImportError:
            continue
        with refusing(_refusal(artifact, kind)):
            return _opener(kind)(Loading(artifact, kind, module, threads, folder))
    raise _missing(artifact.sidecar.format, kinds)


def _refusal(artifact: Artifact, kind: RuntimeKind) -> Callable[[str], InferenceError]:
    return lambda reason: InferenceError(
        f"{artifact.path}: {kind.name} refuses the file: {reason}; it is damaged or needs a newer "
        "runtime; export it again or update the runtime"
    )


def _choose(format_: Format, name: str | None) -> tuple[RuntimeKind, ...]:
    """Return the runtime to open, then those with the same engine, which can stand in for it."""
    kinds = runtimes_for(format_)
    if name is None:
        first = next(iter(usable_kinds(format_)), kinds[0])
    else:
        named = [kind for kind in kinds if kind.name == name]
        if not named:
            known = ", ".join(kind.name for kind in kinds)
            raise InferenceError(f"{name}: no runtime of {format_.traits.files}; expected {known}")
        first = named[0]
    alike = [kind for kind in kinds if kind.engine and kind.engine == first.engine]
    return (first, *(kind for kind in alike if kind is not first))


def _opener(kind: RuntimeKind) -> Callable[[Loading], Runtime]:
    module, _, name = kind.opener.partition(":")
    opener: Callable[[Loading], Runtime] = getattr(importlib.import_module(module), name)
    return opener


def _missing(format_: Format, kinds: tuple[RuntimeKind, ...]) -> RuntimeMissingError:
    for kind in kinds:
        if (conflict := conflict_of(kind)) is not None:
            return RuntimeMissingError(conflict)
    files, line = format_.traits.files, install_line(format_)
    if len(kinds) == 1:
        (kind,) = kinds
        return RuntimeMissingError(
            f"{kind.name} is not installed; expected it for {files}; "
            f"run `pip install {kind.requirements}`",
            kind.requirements,
        )
    names = ", ".join(kind.name for kind in kinds)
    old = [k.requirements for k in kinds if k.wheels.has_32_bit and k.requirements not in line]
    boards = "".join(f", or `pip install {requirements}` on old boards" for requirements in old)
    return RuntimeMissingError(
        f"no runtime for {files} is installed; expected one of {names}; run `{line}`{boards}"
    )
