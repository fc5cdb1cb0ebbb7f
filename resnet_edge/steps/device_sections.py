"""The devices of a report: their results, as far as they are of this build."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from resnet_edge.devices.device_results import EXPORTED_ANEW, exported_anew, other_build
from resnet_edge.layout import Layout
from resnet_edge.ondevice.command.device_result import DeviceResult, read_device_result
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.measurements import Unmeasured
from resnet_edge.ondevice.option import Changes
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.parity.judging import (
    AS_JUDGED,
    judge_bench_by,
    judge_parity_by,
)
from resnet_edge.reporting.content import ArtifactRow, DeviceSection


@dataclass(frozen=True)
class Devices:
    """The devices of a report, and the results that are left out."""

    sections: tuple[DeviceSection, ...]
    left_out: tuple[str, ...]
    """Results, and single artifacts of them, that are not this build's, each with its reason."""


def read_devices(
    layout: Layout, artifacts: tuple[Artifact, ...], changes: Changes[Gates] = AS_JUDGED
) -> Devices:
    """Read every device's result.

    Args:
        layout: The build's.
        artifacts: Those that the report is about.
        changes: Gates to judge the results by; the devices' own where none is given.

    Raises:
        ArtifactError: A file is damaged or of a newer version.
    """
    sections, left_out = [], []
    for path in sorted(layout.results.glob("device-*.json")):
        result = read_device_result(path)
        reason = other_build(layout, result, artifacts[0].sidecar.model_sha256)
        if reason is not None:
            left_out.append(f"{path.name} is left out: {reason}")
            continue
        section, changed = _section(_judged(result, changes, path), artifacts)
        sections.append(section)
        if changed:
            left_out.append(f"{path.name}: {', '.join(changed)} left out: {EXPORTED_ANEW}")
    return Devices(tuple(sections), tuple(left_out))


def _judged(result: DeviceResult, changes: Changes[Gates], path: Path) -> DeviceResult:
    """Judge a result by other gates if some are given; an emulated device's latencies never are."""
    parity = judge_parity_by(result.parity, changes, str(path))
    bench = result.bench if result.emulated else judge_bench_by(result.bench, changes)
    return replace(result, parity=parity, bench=bench)


def _section(
    result: DeviceResult, artifacts: tuple[Artifact, ...]
) -> tuple[DeviceSection, tuple[str, ...]]:
    """Return the report's section of a device, and the artifacts that were exported anew since."""
    parities = {parity.name: parity for parity in result.parity.artifacts}
    benches = {bench.name: bench for bench in result.bench.artifacts}
    changed, rows = exported_anew(result, artifacts), []
    for artifact in artifacts:
        parity, bench = parities.get(artifact.name), benches.get(artifact.name)
        known = parity is not None or bench is not None
        if known and artifact.name not in changed:
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
        browser=result.browser,
    )
    return section, changed


def _of(unmeasured: tuple[Unmeasured, ...], names: set[str]) -> tuple[Unmeasured, ...]:
    return tuple(gone for gone in unmeasured if gone.name in names)
