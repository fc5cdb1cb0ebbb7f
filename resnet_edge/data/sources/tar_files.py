"""Tar files of pictures: WebDataset's shards, or folders of classes. Only headers are read."""

from __future__ import annotations

import contextlib
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from resnet_edge.data.litter import is_litter_file, is_litter_folder
from resnet_edge.data.names import suffix_of
from resnet_edge.data.places import RangePlace
from resnet_edge.data.sources.archives import Archive, Contents, Entry
from resnet_edge.data.stores import opened
from resnet_edge.data.tree import is_named_like_one
from resnet_edge.errors import DataError
from resnet_edge.ondevice.picture_kinds import PICTURE_SUFFIXES
from resnet_edge.ondevice.reading import parse_json, refusing

LABEL_SUFFIXES = (".cls", ".json", ".txt")
"""Endings of members that hold a picture's label, the likeliest first."""

_LABEL_KEYS = (
    *("class_name", "label_name", "label", "class", "cls", "category", "target", "species"),
    *("class_id", "label_id", "class_idx", "y"),
)
"""Keys of a label in a member of JSON, names before numbers."""

_MOST_LABEL_BYTES = 1 << 16
_BLOCK = 512
_FIRST_DOT = re.compile(r"((?:.*/)?[^/.]+)\.([^/]*)")


@dataclass(frozen=True)
class TarMembers:
    """The files in a tar file."""

    archive: Archive
    files: Mapping[str, RangePlace]
    """By name, in the order of the file."""
    labels: Mapping[str, bytes]
    """Contents of the members that may be labels, by name."""
    problems: tuple[str, ...]

    @property
    def is_webdataset(self) -> bool:
        """True if there are members that hold the label of a picture."""
        stems = {_stem(name) for name in self.files if is_named_like_one(name)}
        keys = {_key(name) for name in self.files if is_named_like_one(name)}
        return any(_stem(name) in stems or _stem(name) in keys for name in self.labels)


def read_members(archive: Archive) -> TarMembers:
    """List the members of a tar file by their headers, and read those that may be labels.

    Raises:
        DataError: It is no tar file, is cut off, or cannot be read.
    """

    def refusal(reason: str) -> DataError:
        return DataError(
            f"{archive.source}: not a tar file, or a damaged one ({reason}); expected a whole, "
            "plain tar; copy it again"
        )

    files: dict[str, RangePlace] = {}
    labels: dict[str, bytes] = {}
    problems: list[str] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(refusing(refusal))
        stream = stack.enter_context(opened(archive.source))
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # else all headers stay in memory
                name = "/".join(part for part in member.name.split("/") if part not in ("", "."))
                if member.isdir() or _is_litter(name):
                    continue
                if not member.isreg() or member.issparse():
                    problems.append(f"{name}: a link or a special file; expected a plain file")
                elif name in files:
                    problems.append(f"{name}: in it twice; expected each once")
                else:
                    data = (member.offset_data, member.size)
                    files[name] = RangePlace(archive.source, *data, archive.version)
                    small = member.size <= _MOST_LABEL_BYTES
                    if small and suffix_of(name) in LABEL_SUFFIXES:
                        stream.seek(member.offset_data)
                        labels[name] = stream.read(member.size)
            stream.seek(tar.offset)
            if stream.read(_BLOCK) != bytes(_BLOCK):
                raise ValueError(f"it ends at byte {tar.offset:,} without a tar file's end mark")
    return TarMembers(archive, files, labels, tuple(problems))


def _is_litter(name: str) -> bool:
    *folders, last = name.split("/")
    litter = is_litter_file(last, frozenset(), PICTURE_SUFFIXES)
    return litter or any(map(is_litter_folder, folders))


def _stem(name: str) -> str:
    """A member's name without its last ending."""
    ending = len(suffix_of(name))
    return name[:-ending] if ending else name


def _key(name: str) -> str:
    """WebDataset's key: the name up to the first dot after the folders."""
    found = _FIRST_DOT.fullmatch(name)
    return found[1] if found else name


def webdataset_entries(members: TarMembers) -> Contents:
    """Give the pictures of a shard the labels that lie beside them.

    A label belongs to the picture of the same name but for its last ending (``a.b.jpg`` and
    ``a.b.cls``), or else to the only picture of WebDataset's key, the name up to its first dot.
    """
    pictures = [name for name in members.files if is_named_like_one(name)]
    labels: dict[str, dict[str, bytes]] = {}
    for name, data in members.labels.items():
        labels.setdefault(_stem(name), {})[suffix_of(name)] = data
    labelled = {_stem(name) for name in pictures if _stem(name) in labels}
    entries: list[Entry] = []
    problems, others = list(members.problems), 0
    for name in pictures:
        own, key = labels.get(_stem(name)), _key(name)
        if own is None and key in labelled:  # a mask, a second view
            others += 1
            continue
        found = own or labels.get(key)
        if found is None:
            problems.append(
                f"{name}: no label beside it; expected {_stem(name)}.cls, .txt or .json"
            )
            continue
        try:
            label = _read_label(found)
        except ValueError as problem:
            problems.append(f"{name}: its label cannot be read ({problem})")
            continue
        entries.append(Entry(members.files[name], name, label))
    notes = (f"{others} pictures beside those of the labels are not used",) if others else ()
    return Contents(tuple(entries), tuple(problems), notes=notes)


def _read_label(found: Mapping[str, bytes]) -> int | str:
    """Return the label of the likeliest member that has one."""
    for suffix in LABEL_SUFFIXES:
        if suffix not in found:
            continue
        if suffix != ".json":
            return found[suffix].decode("utf-8-sig").strip()
        value = parse_json(found[suffix])
        if isinstance(value, dict):
            value = next((value[key] for key in _LABEL_KEYS if key in value), None)
        if isinstance(value, (int, str)) and not isinstance(value, bool):
            return value
    raise ValueError(f"no {' or '.join(_LABEL_KEYS[:4])} in {', '.join(found)}")
