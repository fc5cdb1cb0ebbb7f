"""An artifact's answers and probabilities, picture by picture, as digits of a record."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from resnet_edge.ondevice.measurements import PictureAnswers, PictureProbabilities
from resnet_edge.ondevice.parity.metrics import (
    Booleans,
    Floats,
    Integers,
    finite_rows,
    largest_two,
    topk_hits,
)

_STEPS = 65535
"""A share is kept in 16 bits."""


def record_answers(
    hashes: Sequence[str],
    labels: Sequence[str],
    right: Booleans,
    reference_right: Booleans,
    agrees: Booleans,
) -> PictureAnswers:
    """Pack the right answers, picture by picture.

    Args:
        hashes: SHA-256 of the n pictures' files.
        labels: Names of their true classes.
        right: bool (n,), True where the artifact has the picture right.
        reference_right: bool (n,), True where the reference has it right.
        agrees: bool (n,), True where both give the same answer.

    Returns:
        The bits in an order that does not depend on the order of the arguments.
    """
    order = _order(hashes, labels)
    listed = "\n".join(f"{hashes[row]} {labels[row]}" for row in order)
    return PictureAnswers(
        pictures_sha256=hashlib.sha256(listed.encode()).hexdigest(),
        right=_pack(right, order),
        reference_right=_pack(reference_right, order),
        agrees=_pack(agrees, order),
    )


def record_probabilities(
    hashes: Sequence[str],
    labels: Sequence[str],
    classes: Integers,
    artifact: Floats,
    reference: Floats,
) -> PictureProbabilities | None:
    """Pack the probabilities that calibration, flips and top-5 come from.

    Args:
        hashes: SHA-256 of the n pictures' files.
        labels: Names of their true classes.
        classes: Their numbers, (n,).
        artifact: Its answers, (n, classes).
        reference: The reference's.

    Returns:
        In the order of ``record_answers``; None where an answer is not finite or no probability.
    """
    largest = artifact.max(axis=1)
    if not (finite_rows(artifact).all() and (largest >= 0).all() and (largest <= 1.001).all()):
        return None
    order = _order(hashes, labels)
    second, first = largest_two(reference)
    return PictureProbabilities(
        confidence=_pack_shares(largest, order),
        reference_confidence=_pack_shares(first, order),
        reference_margin=_pack_shares(first - second, order),
        top5=_pack(topk_hits(artifact, classes, 5), order),
        reference_top5=_pack(topk_hits(reference, classes, 5), order),
    )


def _order(hashes: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Return the order that a record keeps pictures in."""
    pictures = [f"{hashes[row]} {labels[row]}" for row in range(len(hashes))]
    return sorted(range(len(pictures)), key=pictures.__getitem__)


def _pack_shares(values: Floats, order: Sequence[int]) -> str:
    steps = np.rint(np.clip(values[list(order)], 0, 1) * float(_STEPS))
    digits: str = steps.astype(">u2").tobytes().hex()
    return digits


def unpack_shares(digits: str) -> npt.NDArray[np.float64]:
    """Return the shares, in [0, 1], that ``PictureProbabilities`` keeps as digits."""
    return np.frombuffer(bytes.fromhex(digits), ">u2") / float(_STEPS)


def unpack_bits(bits: str, count: int) -> Booleans:
    """Return the marks of ``count`` pictures that a record keeps as digits."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8))[:count].astype(np.bool_)


def _pack(which: Booleans, order: Sequence[int]) -> str:
    return np.packbits(which[list(order)]).tobytes().hex()


def count_ones(bits: str) -> int:
    """Return the number of pictures marked in ``bits``, hexadecimal."""
    return bin(_number(bits)).count("1")


def count_only(bits: str, others: str) -> int:
    """Return the number of pictures marked in ``bits`` and not in ``others``."""
    return bin(_number(bits) & ~_number(others)).count("1")


def _number(bits: str) -> int:
    return int(bits or "0", 16)
