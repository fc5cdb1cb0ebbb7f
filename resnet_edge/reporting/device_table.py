"""The devices side by side: the rows of one table, as strings, and the reasons behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnet_edge import units
from resnet_edge.ondevice.latency.noise import best_latency
from resnet_edge.ondevice.latency.words import threads_words
from resnet_edge.ondevice.measurements import ArtifactParity, GateResult, Latency, Verdict
from resnet_edge.reporting.content import ArtifactRow, DeviceSection, ReportContent
from resnet_edge.reporting.device_agreement import agreement_with

LEAD = (
    "The same files on each device, compared with the same reference on a sample of the test "
    "pictures. Each cell has the verdict, the agreement with the reference, the SQNR, the share of "
    "the pictures that get the same answer as here (from the same file on this machine), then p50 "
    "/ p90 in milliseconds (threads)."
)
"""Explains the cells."""


@dataclass(frozen=True)
class DeviceHeading:
    """The heading of a device's column."""

    name: str
    machine: str
    """Processor, cores, runtimes."""
    sample: str
    """The number of pictures that it answered, and the reference's top-1 on them."""
    emulated: bool


@dataclass(frozen=True)
class DeviceCell:
    """One artifact on one device."""

    verdict: str
    """A ``Verdict`` value; empty if the artifact is not in the device's bundle."""
    answers: str
    """Agreement with the reference, SQNR, and agreement with this machine's answers."""
    latency: str
    """p50 / p90 ms (threads)."""

    @property
    def words(self) -> str:
        """The cell in one line."""
        return ", ".join(filter(None, (self.verdict, self.answers, self.latency))) or units.NOTHING


@dataclass(frozen=True)
class DeviceReason:
    """The reason for an artifact's verdict on a device."""

    device: str
    artifact: str
    """The artifact's name, or those of several that share the reason."""
    what: str
    """The gate and its verdict, or what happened instead."""
    reason: str


@dataclass(frozen=True)
class DeviceTable:
    """All devices."""

    headings: tuple[DeviceHeading, ...]
    rows: tuple[tuple[str, tuple[DeviceCell, ...]], ...]
    """Artifact and its cell on every device; one that is in no device's bundle has no row."""
    reasons: tuple[DeviceReason, ...]
    lead: str = LEAD


def build_devices(content: ReportContent) -> DeviceTable | None:
    """Return the table; None where no device was measured."""
    if not content.devices:
        return None
    names = device_names(content)
    headings = tuple(
        _heading(device, name) for device, name in zip(content.devices, names, strict=True)
    )
    rows = [line for row in content.artifacts for line in _lines(content.devices, row)]
    reasons = (
        reason
        for device, name in zip(content.devices, names, strict=True)
        for reason in _reasons(device, name)
    )
    bundled = tuple((name, cells) for name, cells in rows if any(map(_has_words, cells)))
    return DeviceTable(headings, bundled, tuple(reasons))


def _lines(
    devices: Sequence[DeviceSection], here: ArtifactRow
) -> Iterator[tuple[str, tuple[DeviceCell, ...]]]:
    """Yield an artifact in each device's preferred runtime, then in every further one.

    A runtime that refused the artifact has a line too, unless the artifact failed in all runtimes
    of every device where that happened: then the artifact's own line says it.
    """
    name = here.name
    yield name, tuple(_cell(device, here) for device in devices)
    further: list[str] = []
    for device in devices:
        row = _row(device, name)
        further += [other.runtime_name for other in row.in_further_runtimes] if row else []
        if name not in device.lost:
            further += _refusing(device, name)
    for runtime in dict.fromkeys(further):
        cells = (_cell_in_runtime(device, name, runtime) for device in devices)
        yield f"{name} in {runtime}", tuple(cells)


def _row(device: DeviceSection, name: str) -> ArtifactRow | None:
    return next((row for row in device.artifacts if row.name == name), None)


def _refusing(device: DeviceSection, name: str) -> list[str]:
    """Return the runtimes of a device that an artifact failed in."""
    return [gone.runtime for gone in device.failed if gone.name == name and gone.runtime]


def _cell_in_runtime(device: DeviceSection, name: str, runtime: str) -> DeviceCell:
    row, refused = _row(device, name), runtime in _refusing(device, name)
    others = row.in_further_runtimes if row is not None else ()
    parity = next((other for other in others if other.runtime_name == runtime), None)
    if row is None or parity is None:
        return DeviceCell(Verdict.FAIL.value if refused else "", "", "")
    timed = row.bench.in_runtime(runtime) if row.bench else ()
    best = best_latency(timed) if timed else None
    verdict = Verdict.FAIL if refused else parity.answers_gate.verdict
    return DeviceCell(verdict.value, _answers(parity), _timed(best))


def _answers(parity: ArtifactParity | None) -> str:
    if parity is None or not parity.images:
        return ""
    return f"{units.percent(parity.agreement)} agree, {units.decibels(parity.sqnr_db)}"


def _timed(latency: Latency | None) -> str:
    if latency is None:
        return ""
    p50, p90 = units.milliseconds(latency.p50_s), units.milliseconds(latency.p90_s)
    return f"{p50} / {p90} ms ({threads_words(latency)})"


def _has_words(cell: DeviceCell) -> bool:
    return cell.words != units.NOTHING


def device_names(content: ReportContent) -> list[str]:
    """Return the devices' host names; several devices with one name are numbered."""
    hosts = [device.machine.host for device in content.devices]
    return [
        f"{host} ({hosts[: place + 1].count(host)})" if hosts.count(host) > 1 else host
        for place, host in enumerate(hosts)
    ]


def _heading(device: DeviceSection, name: str) -> DeviceHeading:
    machine = device.machine
    runtimes = ", ".join(f"{runtime} {version}" for runtime, version in machine.runtimes.items())
    parts = (machine.processor, units.plural(machine.cores, "core"), runtimes)
    sample = f"{units.plural(device.images, 'picture')}, reference {_top1(device)}"
    return DeviceHeading(name, ", ".join(filter(None, parts)), sample, device.emulated)


def _top1(device: DeviceSection) -> str:
    return units.percent(device.reference_top1)


def _cell(device: DeviceSection, here: ArtifactRow) -> DeviceCell:
    name = here.name
    row = _row(device, name)
    failed = name in device.lost
    if row is None:
        left_out = any(gone.name == name for gone in device.left_out)
        if failed:
            return DeviceCell(Verdict.FAIL.value, "", "")
        return DeviceCell("", "", "no runtime" if left_out else "")
    answers, timed = _answers(row.parity), _timed(row.latency)
    if answers and (same := agreement_with(device, here)) is not None:
        answers += f", {units.percent(same)} as here"
    if answers and row.parity is not None and not failed and _refusing(device, name):
        answers += f", in {row.parity.runtime}"
    if timed and device.emulated:
        timed += ", emulated"
    verdict = Verdict.FAIL if failed else row.verdict
    return DeviceCell(verdict.value, answers, timed)


def _reasons(device: DeviceSection, name: str) -> list[DeviceReason]:
    """Return the reasons for all that did not pass."""
    reasons = [
        DeviceReason(name, row.name, f"{gate} {result.verdict.value}", _without_verdict(result))
        for row in device.artifacts
        for gate, result in row.gates
        if result.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)
    ]
    reasons += [DeviceReason(name, gone.name, gone.happened, gone.reason) for gone in device.failed]
    for reason in dict.fromkeys(gone.reason for gone in device.left_out):
        gone_names = ", ".join(gone.where for gone in device.left_out if gone.reason == reason)
        reasons.append(DeviceReason(name, gone_names, "left out", reason))
    return reasons


def _without_verdict(result: GateResult) -> str:
    return result.reason.removeprefix(f"{result.verdict.value}: ")
