"""Stamps: a step whose inputs and outputs have not changed is not run again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnet_edge.errors import ResnetEdgeError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.json_records import read_record, write_record


@dataclass(frozen=True)
class Stamp:
    """Inputs and outputs of a step that has run."""

    inputs: dict[str, str]
    outputs: dict[str, str]
    """SHA-256 by path relative to the build folder."""


def is_current(out: Path, step: str, inputs: dict[str, str]) -> bool:
    """Return True if ``step`` ran with these inputs and its outputs have not changed."""
    try:
        stamp = read_record(Stamp, _path(out, step), ResnetEdgeError)
    except ResnetEdgeError:  # it never ran or was cut short
        return False
    return stamp.inputs == inputs and all(
        (out / name).exists() and hash_path(out / name) == sha256
        for name, sha256 in stamp.outputs.items()
    )


def write_stamp(out: Path, step: str, inputs: dict[str, str], outputs: tuple[Path, ...]) -> None:
    """Record that ``step`` made ``outputs`` from ``inputs``."""
    hashes = {path.relative_to(out).as_posix(): hash_path(path) for path in outputs}
    write_record(_path(out, step), Stamp(inputs, hashes))


def _path(out: Path, step: str) -> Path:
    return Layout(out).cache / f"{step}.stamp.json"
