"""The file of ``reference --pack``: a zipapp with the model, the pixels and the sources.

Any Python with Keras, one of its backends and NumPy can run it; it writes a ``reference.npz``.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_edge.errors import ReferenceFileError, UsageError
from resnet_edge.full_precision.compute import Pixels, Questions
from resnet_edge.ondevice.array_files import hash_pixels, map_array
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.reading import read_json_member, refusing
from resnet_edge.zipapp import ON_DEVICE, Content, find_sources, write_archive

PACK_VERSION = 1

ENTRY = "resnet_edge.full_precision.runner"

SOURCES = (
    *ON_DEVICE,
    "resnet_edge/display.py",
    "resnet_edge/zipapp.py",
    "resnet_edge/full_precision/*.py",
    "resnet_edge/model/*.py",
    "converters/*.py",
)
"""Globs of the source files in a pack."""

MAX_BYTES = 4 << 30
"""Limit for model and pixels together: Python up to 3.12 runs no zip file with 64-bit sizes."""

_INFO, _MODEL, _PIXELS = "pack.json", "model.keras", "pixels.npy"

_START = f"""\
import importlib.util
import sys

if sys.version_info < (3, 11):
    sys.exit("error: Python {{}}.{{}} found; 3.11 or later is needed".format(*sys.version_info))
if importlib.util.find_spec("numpy") is None:
    sys.exit("error: numpy is not installed; run `pip install numpy keras` and one of its backends")
from {ENTRY} import main

sys.exit(main(sys.argv[1:]))
"""

_AGAIN = "copy it again, or make it again with `resnet-edge reference --pack`"


@dataclass(frozen=True)
class PackInfo:
    """The description in a pack."""

    questions: Questions
    size: tuple[int, int]
    """Height and width in pixels."""
    pixels_sha256: str
    schema: int = PACK_VERSION


@dataclass(frozen=True)
class OpenPack:
    """The content of a pack, unpacked and checked."""

    model: Path
    questions: Questions
    pixels: Pixels
    """Mapped from disk."""


def write_pack(path: Path, model: Path, questions: Questions, pixels: Path) -> PackInfo:
    """Write a pack: all of it or nothing.

    Args:
        path: The file to write.
        model: A ``.keras`` classifier.
        questions: The test pictures.
        pixels: A ``.npy`` file: uint8 ``(n, height, width, 3)``.

    Returns:
        The description in the pack.

    Raises:
        UsageError: Model and pixels are larger than ``MAX_BYTES``.
        OutputError: The file cannot be written.
    """
    total = model.stat().st_size + pixels.stat().st_size
    if total >= MAX_BYTES:
        raise UsageError(
            f"--pack: model and {len(questions.pictures)} decoded pictures have "
            f"{total / 2**30:.1f} GiB; expected less than {MAX_BYTES >> 30}, which one file that "
            "Python runs can hold; pass fewer pictures with --test"
        )
    decoded: Pixels = np.load(pixels, mmap_mode="r", allow_pickle=False)
    height, width = (int(side) for side in decoded.shape[1:3])
    info = PackInfo(questions, (height, width), hash_pixels(decoded))
    text = json.dumps(to_json(info), ensure_ascii=False).encode()
    code = find_sources(SOURCES)
    members: dict[str, Content] = {_INFO: text, _MODEL: model, _PIXELS: pixels}
    write_archive(path, {"__main__.py": _START.encode(), **code, **members})
    return info


def open_pack(path: Path, folder: Path) -> OpenPack:
    """Unpack a pack and compare everything in it with its hashes.

    Args:
        path: The pack.
        folder: An empty folder, for the model and the pixels.

    Raises:
        ReferenceFileError: The file is no pack, is damaged, or was changed.
    """

    def refusal(reason: str) -> ReferenceFileError:
        return ReferenceFileError(f"{path}: not a pack, or damaged ({reason}); {_AGAIN}")

    with refusing(refusal):
        with zipfile.ZipFile(path) as archive:
            data = read_json_member(archive, _INFO)
            for name in (_MODEL, _PIXELS):
                with archive.open(name) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        pixels: Pixels = map_array(folder / _PIXELS)
    if isinstance(data, dict) and data.get("schema") != PACK_VERSION:
        raise ReferenceFileError(
            f"{path}: schema {data.get('schema')}; expected {PACK_VERSION}; {_AGAIN}"
        )
    info = from_json(PackInfo, data, str(path), ReferenceFileError)
    if hash_path(folder / _MODEL) != info.questions.model_sha256:
        raise ReferenceFileError(f"{path}: its model is not the one that was packed; {_AGAIN}")
    shape = (len(info.questions.pictures), *info.size, 3)
    whole = pixels.shape == shape and pixels.dtype == np.uint8
    if not whole or hash_pixels(pixels) != info.pixels_sha256:
        raise ReferenceFileError(f"{path}: its pixels are not those that were packed; {_AGAIN}")
    return OpenPack(folder / _MODEL, info.questions, pixels)
