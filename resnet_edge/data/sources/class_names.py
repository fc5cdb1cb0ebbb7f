"""Names of classes in files beside archives, one a line: WebDataset's and TensorFlow Datasets'."""

from __future__ import annotations

from resnet_edge.data import stores
from resnet_edge.data.address import Address, Source
from resnet_edge.data.sources.archives import ArchiveKind, Archives
from resnet_edge.errors import DataError
from resnet_edge.ondevice.reading import parse_json, refusing

_FILES = {
    ArchiveKind.TAR: ("classnames.txt", "classes.txt", "labels.txt", "class_names.txt"),
    ArchiveKind.TFRECORD: (
        *("label.labels.txt", "image/class/label.labels.txt", "labels.txt", "classes.txt"),
        "features.json",
    ),
    ArchiveKind.PARQUET: ("classes.txt", "labels.txt"),
}

_AROUND = "classnames.txt"
"""The file that CLIP's benchmarks put around the folders of the sides."""


def find_class_names(archives: Archives) -> tuple[tuple[str, ...], str]:
    """Find the names of classes by number beside the archives.

    Returns:
        The names, and the file that has them in words; nothing where there is none.

    Raises:
        DataError: A file with them cannot be read.
    """
    folder = archives.root
    if len(archives.files) == 1 and archives.files[0].source == archives.root:
        folder = folder.parent
    paths = [folder / name for name in _FILES[archives.kind]]
    if not isinstance(folder, Address):
        paths.append(folder.parent / _AROUND)
    for path in paths:

        def refusal(reason: str, path: Source = path) -> DataError:
            return DataError(
                f"{path}: cannot be read as names of classes ({reason}); expected one a line"
            )

        with refusing(refusal):
            data = _read(path)
            names = () if data is None else _names(path.name, data)
        if names:
            return names, f"names of classes from {path.name}"
    return (), ""


def _read(path: Source) -> bytes | None:
    try:
        return stores.read_file(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except DataError:
        if isinstance(path, Address):  # a store may say so of what is not there
            return None
        raise


def _names(file: str, data: bytes) -> tuple[str, ...]:
    if not file.endswith(".json"):
        return tuple(line.strip() for line in data.decode("utf-8-sig").splitlines() if line.strip())
    return _find_names(parse_json(data))


def _find_names(value: object) -> tuple[str, ...]:
    """Find the names of a class label in the description that TensorFlow Datasets writes."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            names = found.get("names")
            if isinstance(names, list) and names and all(isinstance(n, str) for n in names):
                return tuple(names)
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
    return ()
