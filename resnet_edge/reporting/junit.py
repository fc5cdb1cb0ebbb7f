"""The verdicts as JUnit XML: one test case per artifact and gate, for pipelines."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnet_edge.ondevice.measurements import GateResult, Unmeasured, Verdict
from resnet_edge.reporting.content import ArtifactRow, ReportContent
from resnet_edge.reporting.device_table import device_names

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, escaped or not."""


@dataclass(frozen=True)
class _Case:
    artifact: str
    gate: str
    outcome: str
    """``failure``, ``error``, ``skipped``, or empty for a pass."""
    kind: str
    reason: str


def render_junit(content: ReportContent, *, allow_inconclusive: bool = False) -> bytes:
    """Return the verdicts as JUnit XML.

    A gate that fails is a ``failure``. So is an inconclusive one, unless that is allowed: then it
    is ``skipped``, like a gate that was not checked. An artifact that could not be made or run is
    an ``error``. What decides nothing is skipped too: an inconclusive gate on a device or under a
    corruption, and a runtime that refused an artifact that ran in another one.

    Args:
        content: The report's content.
        allow_inconclusive: As ``--allow-inconclusive``.
    """
    cases = [_made(failure.name, failure.reason) for failure in content.failed]
    cases += _cases(content.artifacts, allow_inconclusive)
    cases += [_refused(gone, decides=False) for gone in content.refused]
    suites = [(content.model.name, cases)]
    for device, name in zip(content.devices, device_names(content), strict=True):
        lost = device.lost
        there = [_refused(gone, decides=gone.name in lost) for gone in device.failed]
        there += _cases(device.artifacts, allow_inconclusive=True)
        suites.append((f"{content.model.name} on {name}", there))
    root = ET.Element("testsuites", _counts([case for _, found in suites for case in found]))
    root.set("name", "resnet-edge")
    for name, found in suites:
        suite = ET.SubElement(root, "testsuite", {"name": _clean(name), **_counts(found)})
        for case in found:
            _add(suite, case)
    ET.indent(root, " ")
    body: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def _made(name: str, reason: str) -> _Case:
    return _Case(name, "made", "error", "could not be made or run", reason)


def _refused(gone: Unmeasured, *, decides: bool) -> _Case:
    if gone.runtime is None:
        return _made(gone.name, gone.reason)
    outcome = "error" if decides else "skipped"
    return _Case(gone.name, f"run in {gone.runtime}", outcome, gone.happened, gone.reason)


def _cases(rows: Sequence[ArtifactRow], allow_inconclusive: bool) -> list[_Case]:
    return [case for row in rows for case in _cases_of(row, allow_inconclusive)]


def _cases_of(row: ArtifactRow, allow_inconclusive: bool) -> Iterator[_Case]:
    for gate, result in row.gates:
        outcome = _outcome(result, allow_inconclusive=allow_inconclusive)
        yield _Case(row.name, gate, outcome, result.verdict.value, result.reason)
    for each in row.corrupted:
        outcome, gate = (
            _outcome(each.gate, allow_inconclusive=True),
            f"accuracy under {each.corruption.value}",
        )
        yield _Case(row.name, gate, outcome, each.gate.verdict.value, each.gate.reason)


def _outcome(result: GateResult, *, allow_inconclusive: bool) -> str:
    match result.verdict:
        case Verdict.PASS:
            return ""
        case Verdict.FAIL:
            return "failure"
        case Verdict.INCONCLUSIVE:
            return "skipped" if allow_inconclusive else "failure"
        case Verdict.NOT_CHECKED:
            return "skipped"


def _counts(cases: Sequence[_Case]) -> dict[str, str]:
    outcomes = [case.outcome for case in cases]
    counts = {"tests": len(cases), "failures": outcomes.count("failure")}
    counts |= {"errors": outcomes.count("error"), "skipped": outcomes.count("skipped")}
    return {name: str(count) for name, count in counts.items()}


def _add(suite: ET.Element, case: _Case) -> None:
    names = {"classname": _clean(case.artifact), "name": case.gate, "time": "0"}
    element = ET.SubElement(suite, "testcase", names)
    if not case.outcome:
        ET.SubElement(element, "system-out").text = _clean(case.reason)
        return
    words = f"{case.kind}: {case.reason.removeprefix(f'{case.kind}: ')}"
    found = ET.SubElement(element, case.outcome, {"message": _clean(words)})
    if case.outcome != "skipped":
        found.set("type", case.kind)
        found.text = _clean(words)


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
