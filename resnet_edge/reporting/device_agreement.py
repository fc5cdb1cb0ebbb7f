"""How often an artifact answers on a device as it does on this machine."""

from __future__ import annotations

from resnet_edge.ondevice.measurements import ArtifactParity
from resnet_edge.reporting.content import ArtifactRow, DeviceSection


def agreement_with(device: DeviceSection, row: ArtifactRow) -> float | None:
    """Share of the device's pictures to which the same file gives the same answer here.

    Both were compared with one reference, and what differs from it is kept with its answer: so no
    answers need to travel.

    Args:
        device: Whose pictures.
        row: An artifact on this machine.

    Returns:
        None where the device has no pictures, or one side was not compared or answers rubbish.
    """
    there = next((each.parity for each in device.artifacts if each.name == row.name), None)
    if not device.pictures or not _has_answers(there) or not _has_answers(row.parity):
        return None
    one, other = _changed(there), _changed(row.parity)
    same = sum(one.get(picture) == other.get(picture) for picture in device.pictures)
    return same / len(device.pictures)


def _has_answers(parity: ArtifactParity | None) -> bool:
    return parity is not None and parity.answers is not None


def _changed(parity: ArtifactParity | None) -> dict[str, str]:
    """By the picture's hash, what was answered instead of the reference's answer."""
    changed = parity.changed if parity is not None else ()
    return {picture.sha256: picture.artifact_answer for picture in changed}
