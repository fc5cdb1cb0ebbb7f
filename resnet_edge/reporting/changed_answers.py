"""The pictures to which an artifact gives another answer than the reference, with thumbnails."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from resnet_edge import units
from resnet_edge.errors import DataError
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.measurements import ChangedPicture
from resnet_edge.ondevice.pictures import decode_bytes
from resnet_edge.reporting.content import ArtifactRow, PictureFile, ReportContent

THUMBNAIL_PIXELS = 96
MAX_SHOWN = 12
"""Pictures shown per artifact; the others are listed by name."""
MAX_LISTED = 500
"""Names listed per artifact: ten thousand would fill the page."""

_PNG_PIXELS = 32
"""Up to this size PNG is smaller than JPEG, and without its blur."""


@dataclass(frozen=True)
class Card:
    """One changed picture as it is shown."""

    picture: str
    label: str
    reference_answer: str
    artifact_answer: str
    reference_probability: str
    artifact_probability: str
    outcome: str
    """The side that is right, in words: the reference, the artifact or neither."""
    thumbnail: str | None
    """A data URI; None where the picture cannot be shown."""
    problem: str
    """The reason why there is no thumbnail; empty if there is one."""


@dataclass(frozen=True)
class ChangedSection:
    """One artifact's changed pictures."""

    artifact: str
    images: int
    total: int
    lost: int
    """The number that the reference has right and the artifact wrong."""
    gained: int
    cards: tuple[Card, ...]
    listed: tuple[str, ...]
    unlisted: int


def build_changed(content: ReportContent) -> tuple[ChangedSection, ...]:
    """Return a section per artifact that changed an answer, in the order of the artifacts."""
    thumbnails: dict[tuple[str, str], tuple[str | None, str]] = {}
    return tuple(
        _section(row, content, thumbnails)
        for row in content.artifacts
        if row.parity is not None and row.parity.changed
    )


def _section(
    row: ArtifactRow,
    content: ReportContent,
    thumbnails: dict[tuple[str, str], tuple[str | None, str]],
) -> ChangedSection:
    changed = row.parity.changed if row.parity else ()
    ordered = sorted(changed, key=_interest)
    cards = []
    for picture in ordered[:MAX_SHOWN]:
        key = (picture.sha256, row.sidecar.fit)
        if key not in thumbnails:
            thumbnails[key] = _thumbnail(picture, row, content.model.image_size, content.pictures)
        cards.append(_card(picture, *thumbnails[key]))
    names = [picture.picture for picture in ordered[MAX_SHOWN:]]
    return ChangedSection(
        artifact=row.name,
        images=row.parity.images if row.parity else 0,
        total=len(changed),
        lost=sum(p.reference_answer == p.label for p in changed),
        gained=sum(p.artifact_answer == p.label for p in changed),
        cards=tuple(cards),
        listed=tuple(names[:MAX_LISTED]),
        unlisted=max(0, len(names) - MAX_LISTED),
    )


def _interest(changed: ChangedPicture) -> tuple[bool, float, str]:
    """Order by answers lost first, then by how sure the reference was."""
    sure = changed.reference_probability
    lost = changed.reference_answer == changed.label
    return not lost, -sure if sure == sure else 0.0, changed.picture


def _card(changed: ChangedPicture, thumbnail: str | None, problem: str) -> Card:
    if changed.reference_answer == changed.label:
        outcome = "reference right"
    elif changed.artifact_answer == changed.label:
        outcome = "artifact right"
    else:
        outcome = "both wrong"
    return Card(
        picture=changed.picture,
        label=changed.label,
        reference_answer=changed.reference_answer,
        artifact_answer=changed.artifact_answer,
        reference_probability=units.percent(changed.reference_probability, 1),
        artifact_probability=units.percent(changed.artifact_probability, 1),
        outcome=outcome,
        thumbnail=thumbnail,
        problem=problem,
    )


def _thumbnail(
    changed: ChangedPicture,
    row: ArtifactRow,
    image_size: tuple[int, int],
    pictures: Mapping[str, PictureFile],
) -> tuple[str | None, str]:
    """Return a data URI of the picture as the model sees it, or the reason why there is none."""
    file = pictures.get(changed.sha256)
    if file is None:
        return None, "not at hand"
    try:
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != changed.sha256:
            return None, "changed since"
        scale = min(1.0, THUMBNAIL_PIXELS / max(image_size))
        height, width = (max(1, round(side * scale)) for side in image_size)
        pixels = decode_bytes(data, changed.picture, (height, width), Fit(row.sidecar.fit))
    except (DataError, OSError, ValueError):
        return None, "cannot be read"
    kind = "PNG" if max(image_size) <= _PNG_PIXELS else "JPEG"
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, kind, quality=82)
    encoded = base64.b64encode(stream.getvalue()).decode()
    return f"data:image/{kind.lower()};base64,{encoded}", ""
