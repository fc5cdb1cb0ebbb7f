"""The sides of a split, and the names that people give to their folders."""

from __future__ import annotations

import enum
import re
import unicodedata
from dataclasses import dataclass


class Side(enum.Enum):
    """A side of a split that was made before: by folders, or by a column of a table."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    UNLABELLED = "unlabelled"
    """Pictures to predict, which come without classes."""


@dataclass(frozen=True)
class SideName:
    """A folder's name that contains the word of a side."""

    side: Side
    rest: str
    """The other words of the name: ``flowers`` of ``flowers_train``. Words like ``set`` and
    numbers do not count."""


_WORDS = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), Side.TRAIN),
    **dict.fromkeys(
        ("val", "valid", "validation", "validate", "validating", "dev", "development"),
        Side.VALIDATION,
    ),
    **dict.fromkeys(
        ("test", "tests", "testing", "tst", "holdout", "heldout", "eval", "evaluation"), Side.TEST
    ),
    **dict.fromkeys(
        ("pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled", "submission"),
        Side.UNLABELLED,
    ),
}
_FILLERS = frozenset(
    {
        *("set", "sets", "data", "dataset", "datasets", "image", "images", "img", "imgs", "pic"),
        *("pics", "picture", "pictures", "photo", "photos", "sample", "samples", "split"),
        *("folder", "dir", "file", "files"),
    }
)
_TWO_WORDS = (("hold out", "holdout"), ("held out", "heldout"), ("train val", "trainval"))


def side_name(name: str) -> SideName | None:
    """Return the side that a name speaks of, or None where it names none, or several.

    ``Train``, ``training_set``, ``seg_train``, ``TestData``, ``val2017`` and ``hold-out`` name a
    side; ``trainer``, ``invalid`` and ``latest`` do not.
    """
    text = unicodedata.normalize("NFKC", name)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).casefold()
    text = " ".join(re.findall(r"[^\W\d_]+", text))
    for two, one in _TWO_WORDS:
        text = re.sub(rf"\b{two}\b", one, text)
    words = text.split()
    found = {side for word in words if (side := _side_of(word)) is not None}
    if len(found) != 1:
        return None
    rest = [word for word in words if _side_of(word) is None and word not in _FILLERS]
    return SideName(found.pop(), " ".join(rest))


def _side_of(word: str) -> Side | None:
    """The side of one word, also with a filler grown onto it: ``traindata``, ``testset``."""
    if word in _WORDS:
        return _WORDS[word]
    for filler in _FILLERS:
        for core in (word.removesuffix(filler), word.removeprefix(filler)):
            if core != word and core in _WORDS:
                return _WORDS[core]
    return None
