"""ImageNet's own files: the labels of its flat validation folder, and the words of its synsets.

    train/n01440764/n01440764_10026.JPEG     synsets as classes
    val/ILSVRC2012_val_00000001.JPEG         flat; a file beside or above has the labels

Read are Kaggle's files (``LOC_…``), those of the development kit, and those of Tiny ImageNet.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from resnet_edge.data.address import Source
from resnet_edge.data.names import natural_key
from resnet_edge.errors import DataError
from resnet_edge.ondevice.reading import refusing
from resnet_edge.ondevice.text_files import decode_text

ReadFile = Callable[[PurePath], bytes | None]
"""Reads a small file; None where there is none."""

SOLUTION = "LOC_val_solution.csv"
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
ANNOTATIONS = "val_annotations.txt"
META, MAP = "meta.mat", "map_clsloc.txt"
_WORDS = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt", MAP)
_KIT_FOLDERS = ("", "ILSVRC2012_devkit_t12/data", "devkit/data")

_SYNSET = re.compile(r"n\d{8}")
_PICTURE = re.compile(r"(?:ILSVRC20\d\d_)?val_(\d+)", re.IGNORECASE)


def is_synset(name: str) -> bool:
    """Return True for a name like ``n01440764``."""
    return bool(_SYNSET.fullmatch(name))


def is_validation(names: Sequence[str]) -> bool:
    """Return True if files are named like the pictures of ImageNet's validation folder."""
    return bool(names) and all(_PICTURE.match(name) for name in names)


@dataclass(frozen=True)
class KitFiles:
    """The files that ImageNet comes with, in the folders where people keep them."""

    folders: tuple[PurePath, ...]
    """Folders that are looked into, the likeliest first."""
    read: ReadFile
    source: Source
    """Named in messages."""

    def find(self, name: str) -> tuple[str, bytes] | None:
        """Return the path and the content of the first file of a name."""
        for folder in self.folders:
            for inner in _KIT_FOLDERS:
                path = folder / inner / name
                if (data := self.read(path)) is not None:
                    return path.as_posix(), data
        return None

    def rows(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Return the lines of a file, divided at spaces and commas; nothing where it is not there.

        Raises:
            DataError: It is no text.
        """
        found = self.find(name)
        if found is None:
            return ()
        path, data = found
        with refusing(
            lambda reason: DataError(f"{path}: cannot be read ({reason}); copy it again")
        ):
            text = decode_text(data)
            if name.endswith(".csv"):
                return tuple(tuple(row) for row in csv.reader(io.StringIO(text)) if row)
            return tuple(tuple(line.split()) for line in text.splitlines() if line.strip())

    def words(self) -> dict[str, str]:
        """Return the words of each synset, ``tench, Tinca tinca``, by its number."""
        for name in _WORDS:
            first = 2 if name == MAP else 1
            rows = [row for row in self.rows(name) if is_synset(row[0]) and len(row) > first]
            if rows:
                return {row[0]: " ".join(row[first:]).replace("_", " ") for row in rows}
        return {}

    def validation_labels(self, names: Iterable[str]) -> tuple[dict[str, str], str] | None:
        """Return the synset of each picture of the validation folder.

        Args:
            names: Names of the pictures' files.

        Returns:
            Synsets by name without ending, and the file that has them; None where there is none.

        Raises:
            DataError: A file that has them is damaged, or lacks another one.
        """
        stems = {name.rpartition(".")[0] for name in names}
        for file in (SOLUTION, ANNOTATIONS):
            if rows := self.rows(file):
                told = (
                    (row[0], row[1].split()[0]) for row in rows if len(row) > 1 and row[1].strip()
                )
                found = {name.removesuffix(".JPEG"): synset for name, synset in told}
                return {n: s for n, s in found.items() if n in stems and is_synset(s)}, file
        if not (rows := self.rows(GROUND_TRUTH)):
            return None
        synsets = self._numbers()
        by_name = {}
        for name in stems:
            picture = _PICTURE.match(name)
            number = int(picture[1]) if picture else 0
            if 1 <= number <= len(rows) and (synset := synsets.get(rows[number - 1][0])):
                by_name[name] = synset
        return by_name, GROUND_TRUTH

    def _numbers(self) -> dict[str, str]:
        """Return the synsets by the numbers of the ground truth, which are of no known order."""
        rows = self.rows(MAP)
        if rows:
            return {row[1]: row[0] for row in rows if len(row) > 1}
        found = self.find(META)
        if found is None:
            raise DataError(
                f"{self.source}: {GROUND_TRUTH} has numbers; expected {META} or {MAP} of the "
                f"development kit beside it, which say their synsets; looked in {self.looked}"
            )
        path, data = found

        def refusal(reason: str) -> DataError:
            return DataError(f"{path}: cannot be read ({reason}); copy it again")

        with refusing(refusal):
            from scipy.io import loadmat  # late: most data sets are others

            synsets = loadmat(io.BytesIO(data), squeeze_me=True)["synsets"]
            ids, names = synsets["ILSVRC2012_ID"], synsets["WNID"]
            return {str(int(i)): str(name) for i, name in zip(ids, names, strict=True)}

    @property
    def looked(self) -> str:
        """The folders that were looked into, for messages."""
        return ", ".join(folder.as_posix() for folder in self.folders)

    def missing(self, folder: str, count: int) -> DataError:
        """The error for a validation folder without labels."""
        return DataError(
            f"{self.source}: {count} pictures in {folder} without class folders, as ImageNet has "
            f"them; expected {SOLUTION}, {GROUND_TRUTH} with {META} or {MAP}, or {ANNOTATIONS}; "
            f"looked in {self.looked}; put one there, or pass the training folder alone"
        )


def labels_in_words(
    synsets: Iterable[str], words: Mapping[str, str], known: Sequence[str] | None
) -> dict[str, str]:
    """Return a label of each synset: its first word, where no other one has it.

    Two synsets of ImageNet are called ``crane``. Such ones get all their words, or else their
    number: ``crane (n02012849)``.

    Args:
        synsets: The synsets in use.
        words: Words by synset.
        known: Labels of a model that exists: of a synset's names the one among them is taken.
    """
    used = sorted(set(synsets), key=natural_key)
    first = {synset: words.get(synset, synset).partition(",")[0].strip() for synset in used}
    counts = Counter(first.values())
    wholes = Counter(words.get(synset, synset) for synset in used)
    chosen: dict[str, str] = {}
    for synset in used:
        whole, numbered = words.get(synset, synset), f"{first[synset]} ({synset})"
        names = [numbered]
        if wholes[whole] == 1:
            names.insert(0, whole)
        if counts[first[synset]] == 1:
            names.insert(0, first[synset])
        fitting = (name for name in (synset, *names) if known is not None and name in known)
        chosen[synset] = next(fitting, names[0])
    return chosen
