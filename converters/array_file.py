"""Arrays with a record in one file."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converters.atomic_file import write_atomically


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], record: Mapping[str, Any]) -> None:
    """Write arrays to an ``.npz`` file, completely or not at all, with a record in JSON."""
    buffer = io.BytesIO()
    told = np.frombuffer(json.dumps(record).encode(), np.uint8)
    np.savez(buffer, allow_pickle=False, **arrays, record=told)
    write_atomically(path, buffer.getbuffer())


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return what ``write_arrays`` wrote. A damaged file raises any kind of exception."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
        arrays = {name: found[name] for name in found.files}
    record: dict[str, Any] = json.loads(bytes(arrays.pop("record")))
    return arrays, record
