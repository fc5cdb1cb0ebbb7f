"""``model.keras``: a Keras model that knows its labels and what it expects of a picture.

What Keras does not keep travels as one more member, ``resnet_edge.json``, inside the ``.keras``
zip, so the file stays a plain Keras model for everyone else.
"""

from __future__ import annotations

import enum
import json
import re
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from converters.preprocessing import PREPROCESSINGS
from resnet_edge.errors import ModelError, UsageError
from resnet_edge.ondevice.files import write_file
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.reading import read_json_member, refusing

if TYPE_CHECKING:  # reading a description must not take the seconds that importing Keras takes
    import keras

MEMBER = "resnet_edge.json"

CONFIG_FILE = "config.json"
"""Keras' own member: the description of the network."""

KERAS_FILE = "metadata.json"
"""Keras' own member: its version and the time of saving."""

_DATE = (1980, 1, 1, 0, 0, 0)
"""The zip format's oldest: the time of writing would change the bytes."""

_SAVED = "1980-01-01@00:00:00"

_SHARED = re.compile(r'("shared_object_id": )(\d+)')
"""A key of Keras; within a text its quotation marks would follow backslashes."""

MAX_CONFIG_BYTES = 64 << 20
"""The largest description of a network that is read, in bytes; ResNet50's has 0.2 MB."""


class ModelKind(enum.Enum):
    """The kinds of files that hold a whole network."""

    KERAS = ".keras file"
    HDF5 = ".h5 file"
    SAVED_MODEL = "SavedModel folder"


def model_kind(path: Path) -> ModelKind:
    """Return the kind of a model file, by its content; ``KERAS`` for anything unknown.

    Args:
        path: A file or folder.

    Raises:
        UsageError: There is nothing of that name, or a folder of something else.
    """
    if path.is_dir():
        if (path / SAVED_MODEL_FILE).exists():
            return ModelKind.SAVED_MODEL
        raise UsageError(
            f"{path}: a folder; expected a .keras, .weights.h5 or .h5 file, or the folder of a "
            f"SavedModel, which holds {SAVED_MODEL_FILE}"
        )
    if not path.exists():
        raise UsageError(f"{path}: no such file; expected a Keras model; check the path")
    with path.open("rb") as file:
        return ModelKind.HDF5 if file.read(len(_HDF5)) == _HDF5 else ModelKind.KERAS


SAVED_MODEL_FILE = "saved_model.pb"

_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class ModelInfo:
    """Facts that a model file holds beside the network."""

    name: str
    labels: tuple[str, ...]
    preprocessing: str
    """The network's preprocessing: a name in ``converters.preprocessing.PREPROCESSINGS``."""
    fit: str
    """Way to bring pictures to the input size: a value of ``resnet_edge.ondevice.fit.Fit``."""
    weights: str
    """Origin of the weights, in words."""

    def __post_init__(self) -> None:
        for name, got, known in (
            ("preprocessing", self.preprocessing, tuple(PREPROCESSINGS)),
            ("fit", self.fit, tuple(fit.value for fit in Fit)),
        ):
            if got not in known:
                raise ValueError(f"{name} is {got!r}; expected one of {', '.join(known)}")


def write_model(path: Path, model: keras.Model, info: ModelInfo) -> None:
    """Write a model and its description into one ``.keras`` file: all of it or nothing.

    The same model gives the same bytes: Keras' time of saving is replaced by ``_SAVED``, and the
    addresses in memory that it numbers shared objects by are replaced by 1, 2, and so on.

    Raises:
        OutputError: The file cannot be written.
    """
    with tempfile.TemporaryDirectory() as scratch:
        temporary = Path(scratch) / "model.keras"
        model.save(temporary)
        with zipfile.ZipFile(temporary) as saved:
            write_file(path, lambda file: _write_members(file, saved, info))


def _write_members(file: BinaryIO, saved: zipfile.ZipFile, info: ModelInfo) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name in saved.namelist():
            content = saved.read(name)
            if name == KERAS_FILE:
                about: dict[str, str] = json.loads(content)
                content = json.dumps({**about, "date_saved": _SAVED}).encode()
            elif name == CONFIG_FILE:
                content = _renumbered(content.decode()).encode()
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)
        text = json.dumps(to_json(info), ensure_ascii=False)
        archive.writestr(zipfile.ZipInfo(MEMBER, _DATE), text)


def _renumbered(config: str) -> str:
    """Return a network's description with the numbers of shared objects in order."""
    numbers: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        return f"{found[1]}{numbers.setdefault(found[2], len(numbers) + 1)}"

    return _SHARED.sub(number, config)


def read_model_info(path: Path) -> ModelInfo | None:
    """Return a ``.keras`` file's description of itself, or None for a file of anybody else's.

    Raises:
        ModelError: The file is missing, is not a ``.keras`` zip, or its description is damaged.
    """
    if not path.exists():
        raise ModelError(f"{path}: no such file; expected a .keras model")
    if model_kind(path) is not ModelKind.KERAS:
        return None

    def refusal(reason: str) -> ModelError:
        return ModelError(
            f"{path}: not a .keras file ({reason}); expected what `model.save('x.keras')` writes"
        )

    with refusing(refusal), zipfile.ZipFile(path) as archive:
        if MEMBER not in archive.namelist():
            return None
        data = read_json_member(archive, MEMBER)
    return from_json(ModelInfo, data, f"{path}: {MEMBER}", ModelError)
