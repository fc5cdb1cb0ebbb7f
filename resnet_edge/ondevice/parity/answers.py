"""An artifact's answers as a bit per picture, and counts of these bits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from resnet_edge.ondevice.measurements import PictureAnswers
from resnet_edge.ondevice.parity.metrics import Booleans


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
    pictures = [f"{hashes[row]} {labels[row]}" for row in range(len(hashes))]
    order = sorted(range(len(pictures)), key=pictures.__getitem__)
    listed = "\n".join(pictures[row] for row in order)
    return PictureAnswers(
        pictures_sha256=hashlib.sha256(listed.encode()).hexdigest(),
        right=_pack(right, order),
        reference_right=_pack(reference_right, order),
        agrees=_pack(agrees, order),
    )


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
