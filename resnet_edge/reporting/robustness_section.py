"""The files on corrupted test pictures, beside the reference."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from resnet_edge import units
from resnet_edge.errors import DataError
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.pictures import Pixels, decode_bytes
from resnet_edge.reporting.content import ArtifactRow, ReportContent
from resnet_edge.robustness.corrupting import corrupt
from resnet_edge.robustness.record import CorruptedParity, CorruptedReference

CLEAN = "clean"
"""The test pictures as they are."""

LEAD = (
    "Top-1 on the test pictures as they are and on the same pictures corrupted, in the size that "
    "the network sees. The second figure is the difference to the reference's top-1 on the same "
    "pictures, in points."
)

RULE = (
    "A file fails under a corruption if its top-1 is proven to lie below the gate of integer "
    "files. With so many comparisons one falls below by chance, so the intervals that prove it are "
    "wider (Bonferroni's correction). A file that fails under a corruption fails as a whole. An "
    "inconclusive comparison here fails nothing."
)

FIGURE_HEADINGS = ("artifact", "corruption", "agreement", "SQNR", "verdict", "reason")
TEXT_COLUMNS = 2

_SHOWN_PIXELS = 224
"""Largest side of the example pictures."""


@dataclass(frozen=True)
class Cell:
    """An artifact under one corruption, or on clean pictures."""

    top1: str
    difference: str
    """To the reference; empty where that was not compared."""
    verdict: str
    """A ``Verdict`` value, or empty on clean pictures: their verdict stands elsewhere."""

    @property
    def words(self) -> str:
        """All of it in one line."""
        difference = f" ({self.difference})" if self.difference else ""
        verdict = f" {self.verdict}" if self.verdict else ""
        return f"{self.top1}{difference}{verdict}"


@dataclass(frozen=True)
class Example:
    """One test picture under a corruption."""

    name: str
    words: str
    picture: str
    """A data URI."""


@dataclass(frozen=True)
class RobustnessSection:
    """The section; ``headings`` are those of the cells."""

    headings: tuple[str, ...]
    strengths: tuple[tuple[str, str], ...]
    """Each corruption with its strength in words."""
    reference: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    figures: tuple[tuple[str, ...], ...]
    """Rows under ``FIGURE_HEADINGS``."""
    examples: tuple[Example, ...]
    """One picture, clean and corrupted; empty where none is at hand."""


def build_robustness(content: ReportContent) -> RobustnessSection | None:
    """Return the section; None where nothing was compared on corrupted pictures."""
    references = content.corrupted
    rows = [row for row in content.artifacts if row.corrupted]
    if not rows:
        return None
    clean = content.reference.top1 if content.reference else None
    return RobustnessSection(
        headings=(CLEAN, *(each.corruption.value for each in references)),
        strengths=tuple((each.corruption.value, each.corruption.words) for each in references),
        reference=tuple(units.percent(top1) for top1 in (clean, *(r.top1 for r in references))),
        rows=tuple((row.name, tuple(_cells(row, references, clean))) for row in rows),
        figures=tuple(_figures(each) for row in rows for each in row.corrupted),
        examples=tuple(_examples(content, references)),
    )


def _cells(
    row: ArtifactRow, references: tuple[CorruptedReference, ...], clean: float | None
) -> Iterator[Cell]:
    parity = row.parity
    yield Cell(
        units.percent(parity.top1 if parity else None),
        units.points(parity.top1 - clean) if parity and clean is not None else "",
        "",
    )
    found = {each.corruption: each for each in row.corrupted}
    for reference in references:
        if (each := found.get(reference.corruption)) is None:
            yield Cell(units.NOTHING, "", "")
        else:
            difference = units.points(each.top1 - reference.top1)
            yield Cell(units.percent(each.top1), difference, each.gate.verdict.value)


def _figures(each: CorruptedParity) -> tuple[str, ...]:
    verdict = each.gate.verdict.value
    return (
        each.name,
        each.corruption.value,
        units.percent(each.agreement),
        units.decibels(each.sqnr_db),
        verdict,
        each.gate.reason.removeprefix(f"{verdict}: "),
    )


def _examples(
    content: ReportContent, references: tuple[CorruptedReference, ...]
) -> Iterator[Example]:
    fit = Fit(content.artifacts[0].sidecar.fit)
    height, width = content.model.image_size
    for sha256 in sorted(content.pictures):
        try:
            data = content.pictures[sha256].read_bytes()
            if hashlib.sha256(data).hexdigest() != sha256:
                continue
            pixels = decode_bytes(data, sha256, (height, width), fit)
        except (DataError, OSError, ValueError):  # the next one will do
            continue
        yield Example(CLEAN, "", _data_uri(pixels))
        for each in references:
            found = corrupt(pixels, sha256, each.corruption)
            yield Example(each.corruption.value, each.corruption.words, _data_uri(found))
        return


def _data_uri(pixels: Pixels) -> str:
    stream = BytesIO()
    picture = Image.fromarray(pixels)
    picture.thumbnail((_SHOWN_PIXELS, _SHOWN_PIXELS))
    picture.save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
