"""Judge the files of a build: whole or broken, the same as another's or not."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

TIMED = frozenset(
    (
        *("seconds", "resumed_after"),  # training.json
        *("latency", "throughput", "reference_sha256"),  # reference.npz, and its hash
    )
)
"""Keys that hold a time that was measured, or the hash of a file with such times."""

MEASURED = re.compile(
    r"results/bench-.*|report\.(html|json|md)|cache/(step-times|.*\.stamp)\.json"
    r"|unpacked/checked-.*\.tsv"
)
"""Files about the times of a run, or of its files: not compared."""


def names_below(folder: Path) -> set[str]:
    """Return the names of all files in a folder, relative to it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def broken_files(out: Path) -> list[str]:
    """Return the files of a build that cannot be read; parts that were being written are none."""
    return [
        name
        for name in sorted(names_below(out))
        if not name.endswith(".part") and ".part/" not in name and not _is_whole(out / name)
    ]


def _is_whole(path: Path) -> bool:
    try:
        match path.suffix:
            case ".json":
                json.loads(path.read_text())
            case ".keras" | ".npz" | ".pyz" | ".zip":
                with zipfile.ZipFile(path) as archive:
                    return archive.testzip() is None
            case ".npy":
                np.load(path, mmap_mode="r")
            case ".html":
                return path.read_text().rstrip().endswith("</html>")
            case ".tflite" | ".onnx":
                return _matches_sidecar(path)
            case _:
                return path.stat().st_size > 0
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return True


def _matches_sidecar(path: Path) -> bool:
    """Return True if there is no sidecar yet or its hash is the file's."""
    import hashlib

    sidecar = path.with_name(f"{path.name}.json")
    if not sidecar.exists():
        return path.stat().st_size > 0
    expected: str = json.loads(sidecar.read_text())["sha256"]
    return hashlib.sha256(path.read_bytes()).hexdigest() == expected


def difference(one: Path, other: Path) -> str:
    """Return the difference of two files of a build, beyond times; empty if there is none."""
    name = "/".join(one.parts[-2:])
    if MEASURED.fullmatch(name) or MEASURED.fullmatch(one.name):
        return ""
    if one.suffix == ".json":
        same = strip_times(json.loads(one.read_text())) == strip_times(
            json.loads(other.read_text())
        )
        return "" if same else "other values"
    if one.suffix in (".npz", ".pyz"):
        return _zip_difference(one.read_bytes(), other.read_bytes())
    return "other bytes"


def _zip_difference(one: bytes, other: bytes) -> str:
    with (
        zipfile.ZipFile(io.BytesIO(one)) as first,
        zipfile.ZipFile(io.BytesIO(other)) as second,
    ):
        if first.namelist() != second.namelist():
            return "other members"
        return ", ".join(
            name
            for name in first.namelist()
            if not _same_member(name, first.read(name), second.read(name))
        )


def _same_member(name: str, one: bytes, other: bytes) -> bool:
    if one == other:
        return True
    if name == "info.npy":
        texts = (bytes(np.load(io.BytesIO(data))) for data in (one, other))
        first, second = (strip_times(json.loads(text)) for text in texts)
        return bool(first == second)
    if name == "reference.npz":
        return not _zip_difference(one, other)
    if name == "bundle.json":
        first, second = (strip_hash(json.loads(data)) for data in (one, other))
        return bool(first == second)
    return False


def strip_hash(manifest: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON is any
    """Return a bundle's manifest without the hash of the reference, which holds times."""
    manifest["members"].pop("reference.npz")
    return strip_times(manifest)


def strip_times(value: Any) -> Any:  # noqa: ANN401 - JSON is any
    """Return JSON without what was measured by the clock."""
    if isinstance(value, dict):
        return {key: strip_times(item) for key, item in value.items() if key not in TIMED}
    if isinstance(value, list):
        return [strip_times(item) for item in value]
    return value
