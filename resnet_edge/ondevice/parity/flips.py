"""Flips: the answers that changed, by the margin that the reference had.

A small margin flips by any noise. An answer that the reference was sure of does not: where it
flips, something broke.
"""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge.ondevice.measurements import ArtifactParity
from resnet_edge.ondevice.parity.answers import unpack_bits, unpack_shares

MARGINS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""The edges of the rows: the largest probability minus the second largest."""


@dataclass(frozen=True)
class MarginRow:
    """The pictures whose margin lies from ``low`` to ``high``."""

    low: float
    high: float
    pictures: int
    lost: int
    """Flips from right to wrong."""
    gained: int
    """Flips from wrong to right."""
    wrong_twice: int
    """Flips from one wrong answer to another."""

    @property
    def flips(self) -> int:
        """All answers that changed."""
        return self.lost + self.gained + self.wrong_twice


def flips_by_margin(parity: ArtifactParity) -> tuple[MarginRow, ...] | None:
    """Return a row for each range of margins, the smallest first; None where it is not recorded."""
    answers, kept = parity.answers, parity.probabilities
    if answers is None or kept is None:
        return None
    margin = unpack_shares(kept.reference_margin)
    right = unpack_bits(answers.right, parity.images)
    before = unpack_bits(answers.reference_right, parity.images)
    flipped = ~unpack_bits(answers.agrees, parity.images)
    rows = []
    for low, high in zip(MARGINS, MARGINS[1:]):
        inside = (margin >= low) & ((margin < high) | (high == MARGINS[-1]))
        moved = inside & flipped
        rows.append(
            MarginRow(
                low,
                high,
                int(inside.sum()),
                int((moved & before & ~right).sum()),
                int((moved & right & ~before).sum()),
                int((moved & ~right & ~before).sum()),
            )
        )
    return tuple(rows)
