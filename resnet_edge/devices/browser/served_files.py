"""The files that the server gives, by their addresses: there are no others."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.devices.browser.plan import Plan
from resnet_edge.errors import RuntimeMissingError
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.kinds import Format

PAGE = Path(__file__).resolve().parent / "page"

RUNTIMES = "resnet_edge_browser"
"""The package with the runtimes' files: a distribution of its own, for its size."""

BUILT_HERE = Path(__file__).resolve().parent / "distribution" / RUNTIMES
"""The place where ``make web`` puts them in a checkout."""

FOLDERS = {Format.TFLITE: "litert", Format.ONNX: "ort"}

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
}

BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Served:
    """One file, in memory or on the disk."""

    content: bytes | Path
    content_type: str
    sha256: str
    size: int
    """Bytes, when the call began: a build may be made anew meanwhile."""


def runtimes_folder() -> Path:
    """Return the folder of the browsers' runtimes.

    Raises:
        RuntimeMissingError: They are not here.
    """
    found = importlib.util.find_spec(RUNTIMES)
    places = [Path(place) for place in (found.submodule_search_locations or ())] if found else []
    for place in (*places, BUILT_HERE):
        if all((place / name).is_dir() for name in FOLDERS.values()):
            return place
    raise RuntimeMissingError(
        "the runtimes for browsers are not here; expected the package resnet-edge-browser; run "
        "`pip install 'resnet-edge[browser]'`, or `make web` in a checkout (it needs npm)",
        "'resnet-edge[browser]'",
    )


def served_files(plan: Plan, runtimes: Path) -> dict[str, Served]:
    """Return every file by its address behind the token, without the first slash.

    Args:
        plan: Gives the artifacts and the pictures.
        runtimes: From ``runtimes_folder``.
    """
    found = {f"page/{path.name}": _file(path) for path in _files(PAGE)}
    found[""] = found["page/index.html"]
    for folder in FOLDERS.values():
        for path in _files(runtimes / folder):
            found[f"runtimes/{folder}/{path.name}"] = _file(path)
    for artifact in plan.artifacts:
        found[f"artifacts/{artifact.name}"] = Served(
            artifact.path, BYTES, artifact.sidecar.sha256, artifact.sidecar.bytes
        )
    pixels = plan.pixels.tobytes()
    found["pictures"] = Served(pixels, BYTES, hashlib.sha256(pixels).hexdigest(), len(pixels))
    return found


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix in CONTENT_TYPES)


def _file(path: Path) -> Served:
    return Served(path, CONTENT_TYPES[path.suffix], hash_path(path), path.stat().st_size)
