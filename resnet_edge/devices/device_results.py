"""What devices found out, checked against this build: ``results/device-*.json``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from resnet_edge.display import Display, Silent
from resnet_edge.errors import ArtifactError, ReferenceFileError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.command.device_result import (
    DeviceResult,
    Unmeasured,
    device_path,
    read_device_result,
)
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES
from resnet_edge.ondevice.formats.sidecar import Artifact, load_artifacts
from resnet_edge.ondevice.json_records import write_record
from resnet_edge.ondevice.option import Changes
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.parity.judging import (
    AS_JUDGED,
    judge_bench_by,
    judge_parity_by,
)
from resnet_edge.ondevice.reference_file import read_reference
from resnet_edge.reporting.content import ArtifactRow, DeviceSection


@dataclass(frozen=True)
class Devices:
    """The devices of a report, and what is not in it."""

    sections: tuple[DeviceSection, ...]
    left_out: tuple[str, ...]
    """Results, and single artifacts of them, that are not this build's, each with its reason."""


def keep_device_result(layout: Layout, path: Path, display: Display | None = None) -> Path:
    """Check what a device wrote and put it where the report finds it.

    Args:
        layout: The build that the device's bundle was made from.
        path: The device's file.
        display: Where the new place is shown.

    Raises:
        ArtifactError: It is no device's result, of another version or of another model.
        ReferenceFileError: It was compared with another reference or on other pictures.
    """
    result = read_device_result(path)
    _check_whole(result, path)
    model_sha256 = load_artifacts(layout.artifacts)[0].sidecar.model_sha256
    if (reason := _other_build(layout, result, model_sha256)) is not None:
        of_model = result.parity.model_sha256 != model_sha256
        raise (ArtifactError if of_model else ReferenceFileError)(f"{path}: {reason}")
    target = device_path(layout.results, result)
    write_record(target, result)
    (display or Silent()).say(f"{result.machine.host}: {target}")
    return target


def _check_whole(result: DeviceResult, path: Path) -> None:
    """Refuse what no bundle writes: it was changed on its way."""
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


def read_devices(
    layout: Layout, artifacts: tuple[Artifact, ...], changes: Changes[Gates] = AS_JUDGED
) -> Devices:
    """Read every device's result.

    Args:
        layout: Where the build is.
        artifacts: Those that the report is about.
        changes: Gates to judge the results by; the devices' own where none is given.

    Raises:
        ArtifactError: A file is damaged or of a newer version.
    """
    sections, left_out = [], []
    for path in sorted(layout.results.glob("device-*.json")):
        result = read_device_result(path)
        reason = _other_build(layout, result, artifacts[0].sidecar.model_sha256)
        if reason is not None:
            left_out.append(f"{path.name} is left out: {reason}")
            continue
        section, changed = _section(_judged(result, changes, path), artifacts)
        sections.append(section)
        if changed:
            left_out.append(
                f"{path.name}: {', '.join(changed)} left out: exported anew since the bundle was "
                "made; make it again and run it on the device"
            )
    return Devices(tuple(sections), tuple(left_out))


def _other_build(layout: Layout, result: DeviceResult, model_sha256: str) -> str | None:
    """Why a result does not belong to this build; None where it does."""
    again = "make the bundle again with `resnet-edge bundle` and run it on the device"
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


def _judged(result: DeviceResult, changes: Changes[Gates], path: Path) -> DeviceResult:
    """By other gates, where some are given; an emulated device's latencies never are."""
    parity = judge_parity_by(result.parity, changes, str(path))
    bench = result.bench if result.emulated else judge_bench_by(result.bench, changes)
    return replace(result, parity=parity, bench=bench)


def _section(
    result: DeviceResult, artifacts: tuple[Artifact, ...]
) -> tuple[DeviceSection, tuple[str, ...]]:
    """What the report shows of a device, and the names whose files are others now."""
    parities = {parity.name: parity for parity in result.parity.artifacts}
    benches = {bench.name: bench for bench in result.bench.artifacts}
    rows, changed = [], []
    for artifact in artifacts:
        parity, bench = parities.get(artifact.name), benches.get(artifact.name)
        measured = [found.sha256 for found in (parity, bench) if found is not None]
        if any(sha256 != artifact.sidecar.sha256 for sha256 in measured):
            changed.append(artifact.name)
        elif measured:
            others = tuple(a for a in result.parity.elsewhere if a.name == artifact.name)
            rows.append(ArtifactRow(artifact.sidecar, parity, bench, others))
    names = {artifact.name for artifact in artifacts} - set(changed)
    section = DeviceSection(
        machine=result.machine,
        emulated=result.emulated,
        bundle_sha256=result.bundle_sha256,
        images=result.parity.images,
        reference_top1=result.parity.reference_top1 if result.parity.images else None,
        artifacts=tuple(rows),
        failed=_of(result.failed, names),
        left_out=_of(result.left_out, names),
        pictures=result.pictures,
    )
    return section, tuple(changed)


def _of(unmeasured: tuple[Unmeasured, ...], names: set[str]) -> tuple[Unmeasured, ...]:
    return tuple(gone for gone in unmeasured if gone.name in names)
