"""The results of devices, checked against this build: ``results/device-*.json``."""

from __future__ import annotations

from pathlib import Path

from resnet_edge.display import Display, Silent
from resnet_edge.errors import ArtifactError, ReferenceFileError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.command.device_result import (
    DeviceResult,
    device_path,
    read_device_result,
)
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES
from resnet_edge.ondevice.formats.sidecar import Artifact, load_artifacts
from resnet_edge.ondevice.json_records import write_record
from resnet_edge.ondevice.reference_file import read_reference

AGAIN = "make the bundle again with `resnet-edge bundle` and run it on the device"

AGAIN_IN_BROWSER = "measure again with `resnet-edge browser`"

EXPORTED_ANEW = "exported anew since the bundle was made; make it again and run it on the device"
"""The reason to leave out an artifact whose file is not the one that a device measured."""


def keep_device_result(layout: Layout, path: Path, display: Display | None = None) -> Path:
    """Check the result of a device and put it where the report finds it.

    Args:
        layout: The build that the device's bundle was made from.
        path: The device's file.
        display: Shows the new place.

    Raises:
        ArtifactError: It is no device's result, of another version or of another model.
        ReferenceFileError: It was compared with another reference or on other pictures.
    """
    model_sha256 = load_artifacts(layout.artifacts)[0].sidecar.model_sha256
    result = read_own_result(layout, path, model_sha256)
    target = device_path(layout.results, result)
    write_record(target, result)
    (display or Silent()).say(f"{result.machine.host}: {target}")
    return target


def read_own_result(layout: Layout, path: Path, model_sha256: str) -> DeviceResult:
    """Read the result of a device, and refuse one that is not of this build.

    Args:
        layout: The build's.
        path: The device's file.
        model_sha256: Hash of the model that the build's artifacts were made from.

    Raises:
        ArtifactError: It is no device's result, of another version or of another model.
        ReferenceFileError: It was compared with another reference or on other pictures.
    """
    result = read_device_result(path)
    _check_whole(result, path)
    if (reason := other_build(layout, result, model_sha256)) is not None:
        of_model = result.parity.model_sha256 != model_sha256
        raise (ArtifactError if of_model else ReferenceFileError)(f"{path}: {reason}")
    return result


def _check_whole(result: DeviceResult, path: Path) -> None:
    """Refuse a result that no bundle writes: it was changed on its way."""
    again = "it was changed after the device wrote it; copy it from the device again"
    images = result.parity.images
    if images and images != len(result.pictures):
        raise ArtifactError(
            f"{path}: {images} answers for {len(result.pictures)} pictures; {again}"
        )
    parity, bench = result.parity, result.bench
    names = [each.name for each in (*parity.artifacts, *parity.elsewhere)]
    names += [each.name for each in bench.artifacts]
    if unknown := [name for name in names if name not in ARTIFACT_NAMES]:
        raise ArtifactError(f"{path}: {unknown[0]!r} is no artifact's name; {again}")


def other_build(layout: Layout, result: DeviceResult, model_sha256: str) -> str | None:
    """Return the reason why a result does not belong to this build; None if it does."""
    again = AGAIN if result.browser is None else AGAIN_IN_BROWSER
    theirs = result.parity.model_sha256
    if theirs != model_sha256:
        return f"it is of model {theirs[:16]}…, this build of {model_sha256[:16]}…; {again}"
    if not layout.reference.exists():
        return (
            f"there is no {layout.reference.name} to hold it against; run `resnet-edge reference`"
        )
    known = set(read_reference(layout.reference).info.hashes)
    if others := [picture for picture in result.pictures if picture not in known]:
        return (
            f"{len(others)} of its {len(result.pictures)} pictures are not of this build's test "
            f"split; {again}"
        )
    theirs, ours = result.parity.reference_sha256, hash_path(layout.reference)
    if theirs != ours:
        return (
            f"it was compared with reference {theirs[:16]}…, this build's is {ours[:16]}…; {again}"
        )
    return None


def exported_anew(result: DeviceResult, artifacts: tuple[Artifact, ...]) -> tuple[str, ...]:
    """Name the artifacts of a build whose file is not the one that a device measured."""
    parity, bench = result.parity, result.bench
    theirs = {(each.name, each.sha256) for each in (*parity.artifacts, *parity.elsewhere)}
    theirs |= {(each.name, each.sha256) for each in bench.artifacts}
    ours = {artifact.name: artifact.sidecar.sha256 for artifact in artifacts}
    changed = {name for name, sha256 in theirs if ours.get(name, sha256) != sha256}
    return tuple(name for name in ours if name in changed)
