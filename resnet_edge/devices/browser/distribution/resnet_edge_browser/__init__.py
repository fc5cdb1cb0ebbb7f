"""The runtimes that browsers need: LiteRT.js and onnxruntime-web, as files to be served."""

from __future__ import annotations

from pathlib import Path

__version__ = "0.1.0"


def folder() -> Path:
    """Return the folder with ``litert/``, ``ort/`` and ``files.json``."""
    return Path(__file__).resolve().parent
