"""An artifact's answers and probabilities, picture by picture, as digits of a record."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet_edge.ondevice.measurements import PictureAnswers, PictureProbabilities
from resnet_edge.ondevice.parity.metrics import Booleans, Floats, Integers
from resnet_edge.ondevice.parity.picture_figures import PictureFigures

_STEPS = 65535
"""A share is kept in 16 bits."""


@dataclass(frozen=True)
class PictureOrder:
    """The order that a record keeps pictures in; it does not depend on the order of a list."""

    rows: Integers
    """The places of the n pictures, in that order."""
    sha256: str
    """The hash of all pictures and labels, in that order."""


def picture_order(hashes: Sequence[str], labels: Sequence[str]) -> PictureOrder:
    """Return the order of pictures in a record.

    Args:
        hashes: SHA-256 of the n pictures' files.
        labels: Names of their true classes.
    """
    pictures = [f"{sha256} {label}" for sha256, label in zip(hashes, labels)]
    rows = sorted(range(len(pictures)), key=pictures.__getitem__)
    found, separator = hashlib.sha256(), ""
    for row in rows:  # joined first, a million would take as much memory again
        found.update(f"{separator}{pictures[row]}".encode())
        separator = "\n"
    return PictureOrder(np.array(rows, np.int64), found.hexdigest())


def record_answers(
    order: PictureOrder, right: Booleans, reference_right: Booleans, agrees: Booleans
) -> PictureAnswers:
    """Pack the right answers, picture by picture.

    Args:
        order: Of the n pictures.
        right: bool (n,), True where the artifact has the picture right.
        reference_right: bool (n,), True where the reference has it right.
        agrees: bool (n,), True where both give the same answer.

    Returns:
        The bits in that order.
    """
    return PictureAnswers(
        pictures_sha256=order.sha256,
        right=_pack(right, order),
        reference_right=_pack(reference_right, order),
        agrees=_pack(agrees, order),
    )


def record_probabilities(
    order: PictureOrder, artifact: PictureFigures, reference: PictureFigures
) -> PictureProbabilities | None:
    """Pack the probabilities that calibration, flips and top-5 come from.

    Args:
        order: Of the n pictures.
        artifact: Its answers.
        reference: The reference's.

    Returns:
        In that order; None where an answer is not finite or no probability.
    """
    largest = artifact.largest
    if not (artifact.finite.all() and (largest >= 0).all() and (largest <= 1.001).all()):
        return None
    return PictureProbabilities(
        confidence=_pack_shares(largest, order),
        reference_confidence=_pack_shares(reference.largest, order),
        reference_margin=_pack_shares(reference.largest - reference.second, order),
        top5=_pack(artifact.top5, order),
        reference_top5=_pack(reference.top5, order),
    )


def _pack_shares(values: Floats, order: PictureOrder) -> str:
    steps = np.rint(np.clip(values[order.rows], 0, 1) * float(_STEPS))
    digits: str = steps.astype(">u2").tobytes().hex()
    return digits


def unpack_shares(digits: str) -> npt.NDArray[np.float64]:
    """Return the shares, in [0, 1], that ``PictureProbabilities`` keeps as digits."""
    return np.frombuffer(bytes.fromhex(digits), ">u2") / float(_STEPS)


def unpack_bits(bits: str, count: int) -> Booleans:
    """Return the marks of ``count`` pictures that a record keeps as digits."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8))[:count].astype(np.bool_)


def _pack(which: Booleans, order: PictureOrder) -> str:
    return np.packbits(which[order.rows]).tobytes().hex()


def count_ones(bits: str) -> int:
    """Return the number of pictures marked in ``bits``, hexadecimal."""
    return bin(_number(bits)).count("1")


def count_only(bits: str, others: str) -> int:
    """Return the number of pictures marked in ``bits`` and not in ``others``."""
    return bin(_number(bits) & ~_number(others)).count("1")


def _number(bits: str) -> int:
    return int(bits or "0", 16)
