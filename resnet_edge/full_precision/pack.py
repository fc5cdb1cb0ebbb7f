"""The file of ``reference --pack``: a zipapp with the model, the pixels and the sources.

Any Python with Keras, one of its backends and NumPy can run it; it writes a ``reference.npz``.

Python up to 3.12 runs no zip with 64-bit sizes, but what stands before a zip may be of any size. So
model and pixels stand there, after the first lines, and the zip holds sources and description.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from resnet_edge.errors import ReferenceFileError
from resnet_edge.full_precision.compute import Pixels, Questions
from resnet_edge.ondevice.array_files import check_header, hash_pixels
from resnet_edge.ondevice.files import hash_path, write_file
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.reading import read_json_member, refusing
from resnet_edge.zipapp import ON_DEVICE, START, Content, find_sources, write_members

PACK_VERSION = 2

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

_INFO, _MODEL = "pack.json", "model.keras"

_MAIN = f"""\
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
    model_bytes: int
    """The model's file, after the first lines."""
    pixels_bytes: int
    """The pixels' ``.npy`` file, after it."""
    schema: int = PACK_VERSION


@dataclass(frozen=True)
class OpenPack:
    """The content of a pack, checked."""

    model: Path
    questions: Questions
    pixels: Pixels
    """Mapped from the pack."""


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
        OutputError: The file cannot be written.
    """
    decoded: Pixels = np.load(pixels, mmap_mode="r", allow_pickle=False)
    height, width = (int(side) for side in decoded.shape[1:3])
    sizes = (model.stat().st_size, pixels.stat().st_size)
    info = PackInfo(questions, (height, width), hash_pixels(decoded), *sizes)
    text = json.dumps(to_json(info), ensure_ascii=False).encode()
    members: dict[str, Content] = {"__main__.py": _MAIN.encode(), **find_sources(SOURCES)}
    archive = io.BytesIO()  # so that its offsets count from its own beginning
    write_members(archive, {**members, _INFO: text})

    def write(file: BinaryIO) -> None:
        file.write(START)
        for ahead in (model, pixels):
            with ahead.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
        file.write(archive.getvalue())

    write_file(path, write, rights=0o777)
    return info


def open_pack(path: Path, folder: Path) -> OpenPack:
    """Read a pack and compare everything in it with its hashes.

    Args:
        path: The pack.
        folder: An empty folder, for the model.

    Raises:
        ReferenceFileError: The file is no pack, is damaged, or was changed.
    """

    def refusal(reason: str) -> ReferenceFileError:
        return ReferenceFileError(f"{path}: not a pack, or damaged ({reason}); {_AGAIN}")

    with refusing(refusal), zipfile.ZipFile(path) as archive:
        data = read_json_member(archive, _INFO)
    if isinstance(data, dict) and data.get("schema") != PACK_VERSION:
        raise ReferenceFileError(
            f"{path}: schema {data.get('schema')}; expected {PACK_VERSION}; {_AGAIN}"
        )
    info = from_json(PackInfo, data, str(path), ReferenceFileError)
    with refusing(refusal):
        _copy_model(path, info, folder / _MODEL)
        pixels = _map_pixels(path, info)
    if hash_path(folder / _MODEL) != info.questions.model_sha256:
        raise ReferenceFileError(f"{path}: its model is not the one that was packed; {_AGAIN}")
    shape = (len(info.questions.pictures), *info.size, 3)
    whole = pixels.shape == shape and pixels.dtype == np.uint8
    if not whole or hash_pixels(pixels) != info.pixels_sha256:
        raise ReferenceFileError(f"{path}: its pixels are not those that were packed; {_AGAIN}")
    return OpenPack(folder / _MODEL, info.questions, pixels)


def _copy_model(path: Path, info: PackInfo, target: Path) -> None:
    with path.open("rb") as source, target.open("wb") as copy:
        source.seek(len(START))
        left = info.model_bytes
        while left and (block := source.read(min(left, 1 << 20))):
            copy.write(block)
            left -= len(block)


def _map_pixels(path: Path, info: PackInfo) -> Pixels:
    """Map the pixels where they are: a copy would take as much of the disk again."""
    start = len(START) + info.model_bytes
    with path.open("rb") as file:
        file.seek(start)
        header = check_header(file, start + info.pixels_bytes)
        place = file.tell()
    return np.memmap(path, header.dtype, "r", place, header.shape)
