"""The agreement of an artifact's answers on a device and on this machine."""

from __future__ import annotations

from resnet_edge.ondevice.measurements import ArtifactParity
from resnet_edge.reporting.content import ArtifactRow, DeviceSection


def agreement_with(device: DeviceSection, row: ArtifactRow) -> float | None:
    """Return the share of the device's pictures to which the same file gives the same answer here.

    Both were compared with one reference, and the records keep the answers that differ from it: so
    no other answers are needed.

    Args:
        device: The device with its pictures.
        row: The artifact on this machine.

    Returns:
        None if the device has no pictures, or one side was not compared or gave no valid answers.
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
    """Return the answers that differ from the reference's, by the picture's hash."""
    changed = parity.changed if parity is not None else ()
    return {picture.sha256: picture.artifact_answer for picture in changed}
