"""The runtimes that are installed here, found without importing them, and how to get others."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from resnet_edge.errors import RuntimeMissingError, UsageError
from resnet_edge.ondevice.formats.kinds import FORMATS, Format
from resnet_edge.ondevice.runtimes.kinds import (
    REQUESTABLE,
    RUNTIME_KINDS,
    Platform,
    RuntimeKind,
    Wheels,
    runtimes_for,
    this_platform,
)
from resnet_edge.ondevice.versions import installed_version, release


@dataclass(frozen=True)
class InstalledRuntime:
    """A runtime by the name and version that it gives itself."""

    name: str
    version: str
    """Empty where the package does not say."""


@dataclass(frozen=True)
class Missing:
    """The reason why files of a format cannot run here, and what helps."""

    reason: str
    """A sentence that ends with the advice."""
    install: str
    """Arguments of ``pip install``; empty where there is nothing to install."""


def is_importable(module: str) -> bool:
    """Return True if a top-level module can be found; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # whoever looks for modules here refuses this one
        return False


def installed_kinds(
    format_: Format,
    importable: Callable[[str], bool] = is_importable,
    asked: Sequence[str] = (),
) -> tuple[RuntimeKind, ...]:
    """Return the runtimes here for files of a format, the preferred one first.

    Of rows with the same engine only the first counts, and a row on request only if asked for.

    Args:
        format_: The format.
        importable: Tells of a top-level module if it can be imported.
        asked: Names of runtimes on request.

    Returns:
        Empty where none is installed, or none that works with the NumPy here.
    """
    usable = usable_kinds(format_, importable)
    wanted = tuple(kind for kind in usable if not kind.on_request or kind.name in asked)
    return tuple(_first_of_each_engine(wanted))


def usable_kinds(
    format_: Format, importable: Callable[[str], bool] = is_importable
) -> tuple[RuntimeKind, ...]:
    """Return the rows whose package is here, recent enough, and works with the NumPy here."""
    return tuple(
        kind
        for kind in runtimes_for(format_)
        if importable(kind.module.partition(".")[0]) and conflict_of(kind) is None
    )


def _first_of_each_engine(kinds: tuple[RuntimeKind, ...]) -> Iterator[RuntimeKind]:
    seen = set()
    for kind in kinds:
        if not kind.engine or kind.engine not in seen:
            yield kind
        seen.add(kind.engine)


def installed_runtimes(
    format_: Format,
    importable: Callable[[str], bool] = is_importable,
    asked: Sequence[str] = (),
) -> tuple[InstalledRuntime, ...]:
    """Return names and versions of ``installed_kinds``; the arguments are the same."""
    return tuple(
        InstalledRuntime(kind.name, installed_version(kind.package, *kind.variants) or "")
        for kind in installed_kinds(format_, importable, asked)
    )


def all_installed(
    formats: Iterable[Format], asked: Sequence[str] = ()
) -> tuple[InstalledRuntime, ...]:
    """Return every runtime here of some formats, each format once; results depend on them."""
    names = sorted({format_.name for format_ in formats})
    return tuple(found for name in names for found in installed_runtimes(Format[name], asked=asked))


def installed_runtime(
    format_: Format, importable: Callable[[str], bool] = is_importable
) -> InstalledRuntime | None:
    """Return the runtime that ``open_runtime`` takes if none is named; None without any."""
    return next(iter(installed_runtimes(format_, importable)), None)


def further_runtimes(format_: Format, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of the runtimes here beside the preferred one."""
    return tuple(kind.name for kind in installed_kinds(format_, asked=asked)[1:])


def check_asked(asked: Sequence[str], importable: Callable[[str], bool] = is_importable) -> None:
    """Check that runtimes on request can be used here.

    Raises:
        UsageError: There is none of that name.
        RuntimeMissingError: One cannot; the message says why and what helps.
    """
    for name in asked:
        if name not in REQUESTABLE:
            raise UsageError(f"--also-in: got {name}; expected one of {', '.join(REQUESTABLE)}")
    for kind in (kind for kind in RUNTIME_KINDS if kind.name in asked):
        wanted = ".".join(map(str, kind.first_release))
        needed = f"{kind.package}>={wanted}" if wanted else kind.package
        reason = conflict_of(kind)
        if reason is None and not importable(kind.module.partition(".")[0]):
            reason = f"{kind.name} is not installed; run `pip install '{needed}'`"
        if reason is not None:
            raise RuntimeMissingError(f"--also-in: {reason}", f"'{needed}'")


def conflict_of(kind: RuntimeKind) -> str | None:
    """Say why a package that is here cannot be used, without importing it; None if it can."""
    return numpy_conflict(kind) or _too_old(kind)


def _too_old(kind: RuntimeKind) -> str | None:
    version = installed_version(kind.package, *kind.variants)
    if version is None or release(version) >= kind.first_release:
        return None
    wanted = ".".join(map(str, kind.first_release))
    return (
        f"{kind.name}: {kind.package} {version} is here; expected {wanted} or later; "
        f"run `pip install '{kind.package}>={wanted}'`"
    )


def numpy_conflict(kind: RuntimeKind) -> str | None:
    """Say that a package crashes with the NumPy here, without importing it; None if it does not."""
    version, numpy = installed_version(kind.package, *kind.variants), installed_version("numpy")
    if kind.numpy_below is None or version is None or numpy is None:
        return None
    if release(numpy) < (kind.numpy_below,):
        return None
    return (
        f"{kind.package} {version} crashes with numpy {numpy}; expected numpy below "
        f"{kind.numpy_below}; run `pip install '{_old_numpy(kind)}'`"
    )


def _old_numpy(kind: RuntimeKind) -> str:
    return f"numpy<{kind.numpy_below}"


def install_line(format_: Format, platform: Platform | None = None) -> str:
    """Return the command that installs a runtime for files of a format.

    Args:
        format_: The format.
        platform: The platform that needs wheels; None takes this one.

    Returns:
        For the preferred runtime that has wheels for the platform.
    """
    return f"pip install {_recommended(format_, platform or this_platform()).requirements}"


def _recommended(format_: Format, platform: Platform) -> RuntimeKind:
    """Prefer wheels for this Python, then wheels for this width with another Python."""
    kinds = runtimes_for(format_)
    fitting = [kind for kind in kinds if kind.wheels.fit(platform)]
    width = [kind for kind in kinds if platform.is_64_bit or kind.wheels.has_32_bit]
    return (fitting or width or list(kinds))[0]


def missing_runtime(
    format_: Format,
    importable: Callable[[str], bool] = is_importable,
    platform: Platform | None = None,
) -> Missing:
    """Say why files of this format cannot run here, and what to do.

    Args:
        format_: A format for which ``installed_runtime`` gives None.
        importable: Tells of a top-level module if it can be imported.
        platform: The platform that needs wheels; None takes this one.
    """
    platform = platform or this_platform()
    for kind in runtimes_for(format_):
        conflict = numpy_conflict(kind)
        if conflict is not None and importable(kind.module.partition(".")[0]):
            return Missing(conflict, f"'{_old_numpy(kind)}'")
    said = f"no runtime for {format_.value} files is installed here"
    best = _recommended(format_, platform)
    if best.wheels.fit(platform):
        return Missing(f"{said}; run `{install_line(format_, platform)}`", best.requirements)
    if not platform.is_64_bit and not best.wheels.has_32_bit:
        others = " or ".join(_files_for_32_bit())
        return Missing(
            f"{said}, and {best.package} has no wheels for 32-bit systems; take {others}", ""
        )
    bits = "" if platform.is_64_bit else "on 32-bit systems "
    return Missing(
        f"{said}, and {bits}there are wheels for {_python_words(best.wheels)} only; with "
        f"such a Python run `{install_line(format_, platform)}`",
        best.requirements,
    )


def missing_error(lacks: Iterable[Missing], before: str = "") -> RuntimeMissingError:
    """Return the error that names every reason once.

    Args:
        lacks: From ``missing_runtime``, at least one.
        before: Stands before the reasons.
    """
    once = list(dict.fromkeys(lacks))
    install = next((lack.install for lack in once if lack.install), "")
    return RuntimeMissingError(before + "; ".join(lack.reason for lack in once), install)


def _files_for_32_bit() -> list[str]:
    """Name the files that have a runtime on 32-bit systems."""
    return [
        traits.files
        for format_, traits in FORMATS.items()
        if any(kind.wheels.has_32_bit for kind in runtimes_for(format_))
    ]


def _python_words(wheels: Wheels) -> str:
    if wheels.newest is not None:
        return f"Python up to {wheels.newest[0]}.{wheels.newest[1]}"
    return f"Python {wheels.oldest[0]}.{wheels.oldest[1]} and later"
