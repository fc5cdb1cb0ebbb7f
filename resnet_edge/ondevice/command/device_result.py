"""The record of a device's measurements, which travels back from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.errors import ArtifactError, UsageError
from resnet_edge.ondevice.json_records import from_json
from resnet_edge.ondevice.machine import host_file_name
from resnet_edge.ondevice.measurements import (
    BenchResult,
    Browser,
    Machine,
    ParityResult,
    Unmeasured,
    Verdict,
    failed_everywhere,
)
from resnet_edge.ondevice.reading import parse_json, refusing

DEVICE_VERSION = 1

_EXPECTED = "expected what `python3 resnet-edge-device.pyz run --out FILE` writes"


@dataclass(frozen=True)
class DeviceResult:
    """``results/device-HOST.json``: every artifact of a bundle on one device."""

    bundle_sha256: str
    pictures: tuple[str, ...]
    """SHA-256 of the files of the sample, in the order of the answers."""
    parity: ParityResult
    """Against the reference, on the sample; its hash is that of the build's whole reference."""
    bench: BenchResult
    left_out: tuple[Unmeasured, ...]
    """Artifacts for which there is no runtime on the device."""
    failed: tuple[Unmeasured, ...]
    """Artifacts, or artifacts in one runtime, that were refused or crashed; what was measured is
    kept."""
    emulated: bool
    """True if another processor pretended to be the device's: answers count, latencies do not."""
    browser: Browser | None = None
    """The browser that measured; None where Python did."""
    schema: int = DEVICE_VERSION

    @property
    def machine(self) -> Machine:
        """The device."""
        return self.bench.machine

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdict of every gate, and ``fail`` for each artifact that failed in all runtimes."""
        gates = [artifact.answers_gate.verdict for artifact in self.parity.artifacts]
        gates += [artifact.gate.verdict for artifact in self.bench.artifacts]
        parities = (*self.parity.artifacts, *self.parity.elsewhere)
        lost = failed_everywhere(self.failed, parities, self.bench.artifacts)
        return (*gates, *(Verdict.FAIL for _ in lost))


def read_device_result(path: Path) -> DeviceResult:
    """Read the result that a device wrote.

    Raises:
        ArtifactError: It is missing, is something else, or was written by a newer version.
    """
    try:
        text = path.read_bytes()
    except OSError as problem:
        raise ArtifactError(
            f"{path}: cannot be read ({problem.strerror or problem}); {_EXPECTED}"
        ) from problem
    with refusing(lambda reason: ArtifactError(f"{path}: not JSON ({reason}); {_EXPECTED}")):
        data = parse_json(text)
    if not isinstance(data, dict) or "bundle_sha256" not in data:
        raise ArtifactError(f"{path}: not a device's result; {_EXPECTED}")
    if (version := data.get("schema")) != DEVICE_VERSION:
        raise ArtifactError(
            f"{path}: schema {version}; this resnet-edge reads {DEVICE_VERSION}; make the bundle "
            "with this resnet-edge and run it again, or update resnet-edge"
        )
    return from_json(DeviceResult, data, str(path), ArtifactError)


def check_given(path: Path) -> None:
    """Refuse a path of ``--on-device`` at which there is nothing.

    Raises:
        UsageError: There is no such file.
    """
    if not path.is_file():
        raise UsageError(
            f"--on-device: no such file: {path}; expected the result that the run of a bundle "
            "wrote on a device"
        )


def check_timed(result: DeviceResult) -> None:
    """Refuse a result of ``--on-device`` whose latencies do not count.

    Raises:
        ArtifactError: The device was emulated.
    """
    if result.emulated:
        raise ArtifactError(
            f"--on-device: {result.machine.host} was emulated, so its latencies say nothing; "
            "expected the result of a real device"
        )


def device_path(results: Path, result: DeviceResult) -> Path:
    """Return the path of a device's result: ``device-HOST-KEY.json``.

    The key tells apart devices of one name, and one device's runtimes; the same device in the same
    runtimes takes the place of its older result.

    Args:
        results: The folder ``OUT/results``.
        result: The device's.
    """
    machine = result.machine
    runtimes = sorted(machine.runtimes)
    what = (machine.processor, machine.cores, machine.cpu_features, runtimes, result.emulated)
    key = hashlib.sha256(repr(what).encode()).hexdigest()[:8]
    return results / f"device-{host_file_name(machine.host)}-{key}.json"
