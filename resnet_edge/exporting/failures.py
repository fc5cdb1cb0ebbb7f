"""The artifacts that could not be made, between ``export`` and ``report``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.errors import ArtifactError, ResnetEdgeError
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES, artifact_kind
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.measurements import SCHEMA_VERSION


@dataclass(frozen=True)
class Failure:
    """An artifact that could not be made, or that no runtime could run."""

    name: str
    reason: str


@dataclass(frozen=True)
class ExportFailures:
    """``results/export-failures.json``, which is there only if an artifact failed."""

    model_sha256: str
    failed: tuple[Failure, ...]
    schema: int = SCHEMA_VERSION


def list_failures(lost: Mapping[str, ResnetEdgeError]) -> tuple[Failure, ...]:
    """Return the artifacts that could not be made, in the order of the tables."""
    reasons = {name: reason for reason, names in _by_reason(lost).items() for name in names}
    return tuple(Failure(name, reasons[name]) for name in ARTIFACT_NAMES if name in reasons)


def _by_reason(lost: Mapping[str, ResnetEdgeError]) -> dict[str, list[str]]:
    """Return the artifacts that failed by the reasons, each reason with an advice."""
    groups: dict[str, list[str]] = {}
    for name in ARTIFACT_NAMES:
        if name in lost:
            groups.setdefault(" ".join(str(lost[name]).split()), []).append(name)
    told = {}
    for names in groups.values():
        reason = str(lost[names[0]])
        has_advice = " --" in reason or "`" in reason
        told[reason if has_advice else f"{reason}; {way_out(names)}"] = names
    return told


def way_out(names: Sequence[str]) -> str:
    """Return the advice where artifacts cannot be made or run."""
    it = "it" if len(names) == 1 else "them"
    leave = f"leave {it} out with --formats"
    if all(artifact_kind(name).calibrated for name in names):
        return (
            "run `resnet-edge export` with --quantization fast, keep layers in float with "
            f"--keep-float, or {leave}"
        )
    return leave


def keep_failures(
    path: Path, model_sha256: str, asked: Iterable[str], failed: tuple[Failure, ...]
) -> None:
    """Write the failures down, with those of earlier exports of the same model.

    Args:
        path: ``Layout.failures``.
        model_sha256: The model that was exported.
        asked: The artifacts that were to be made: what was known of them no longer holds.
        failed: Those of them that could not be made.
    """
    others = [each for each in read_failures(path, model_sha256) if each.name not in set(asked)]
    by_name = {each.name: each for each in (*others, *failed)}
    if not by_name:
        path.unlink(missing_ok=True)
        return
    ordered = tuple(by_name[name] for name in ARTIFACT_NAMES if name in by_name)
    write_record(path, ExportFailures(model_sha256, ordered))


def read_failures(path: Path, model_sha256: str) -> tuple[Failure, ...]:
    """Return the failures of a model's exports; none where they are of another model."""
    if not path.exists():
        return ()
    found = read_record(ExportFailures, path, ArtifactError)
    return found.failed if found.model_sha256 == model_sha256 else ()


def one_error(lost: Mapping[str, ResnetEdgeError]) -> ResnetEdgeError:
    """Return one error for all artifacts that could not be made; at least one.

    The message has a line for each reason, with the artifacts that it concerns.
    """
    groups = _by_reason(lost)
    errors = [lost[names[0]] for names in groups.values()]
    kinds = {type(error) for error in errors}
    kind = kinds.pop() if len(kinds) == 1 else ArtifactError
    error = kind("\n".join(f"{', '.join(names)}: {reason}" for reason, names in groups.items()))
    error.__cause__ = errors[0].__cause__
    return error
