"""The tables of the console, the Markdown and the page, as strings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from resnet_edge import units
from resnet_edge.ondevice.latency.early_stopping import CONFIDENCE
from resnet_edge.ondevice.latency.warnings import find_warnings
from resnet_edge.ondevice.latency.words import threads_words
from resnet_edge.ondevice.measurements import GateResult, Latency, Verdict
from resnet_edge.reporting.content import ArtifactRow, ReportContent
from resnet_edge.reporting.device_table import device_names

REFERENCE_NAME = "reference"
EVERY_ARTIFACT = "every artifact"


@dataclass(frozen=True)
class SummaryRow:
    """One line of the summary; ``verdict`` is a ``Verdict`` value, or empty for the reference."""

    artifact: str
    size: str
    top1: str
    agreement: str
    sqnr: str
    latency: str
    verdict: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells in the order of ``SUMMARY_HEADINGS``."""
        return (
            self.artifact,
            self.size,
            self.top1,
            self.agreement,
            self.sqnr,
            self.latency,
            self.verdict,
        )


SUMMARY_HEADINGS = (
    "artifact",
    "size",
    "top-1",
    "agreement",
    "SQNR",
    "p50 / p90 ms (threads)",
    "verdict",
)


@dataclass(frozen=True)
class LatencyRow:
    """One artifact, or the reference, with one thread count."""

    artifact: str
    runtime: str
    threads: str
    p50: str
    p90: str
    p90_bound: str
    p97: str
    p99: str
    mean: str
    first: str
    load: str
    memory: str
    samples: str
    ratio: str
    warnings: str
    """The reasons not to rely on the figures, in words; empty if there are none."""
    best: bool
    """True for the thread count to deploy, which the other tables show."""

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells in the order of ``LATENCY_HEADINGS``."""
        percentiles = (self.p50, self.p90, self.p90_bound, self.p97, self.p99)
        others = (self.mean, self.ratio, self.first, self.load, self.memory, self.samples)
        return (self.artifact, self.threads, *percentiles, *others, self.runtime)


LATENCY_HEADINGS = (
    "artifact",
    "threads",
    "p50",
    "p90",
    "p90 at most",
    "p97",
    "p99",
    "mean",
    "× reference",
    "first",
    "load",
    "peak memory",
    "samples",
    "runtime",
)


BOUND = (
    f"“p90 at most” is MLPerf's early-stopping bound: with {units.percent(CONFIDENCE, 0)} "
    "confidence, nine in ten inferences are no slower."
)
"""Explains that heading."""


@dataclass(frozen=True)
class ReasonRow:
    """The reason for an artifact's verdict at one gate."""

    artifact: str
    gate: str
    verdict: str
    reason: str


def summary_rows(content: ReportContent) -> tuple[SummaryRow, ...]:
    """Return the summary: the reference first where there is one, then a line per artifact."""
    rows = [_summary_row(row) for row in content.artifacts]
    if (reference := content.reference) is not None:
        rows.insert(
            0,
            SummaryRow(
                artifact=f"{REFERENCE_NAME} ({reference.dtype})",
                size=units.NOTHING,
                top1=units.percent(reference.top1),
                agreement=units.NOTHING,
                sqnr=units.NOTHING,
                latency=_latency_cell(reference.latency),
                verdict="",
            ),
        )
    return tuple(rows)


def _summary_row(row: ArtifactRow) -> SummaryRow:
    parity = row.parity
    return SummaryRow(
        artifact=row.name,
        size=units.size(row.sidecar.bytes),
        top1=units.percent(parity.top1 if parity else None),
        agreement=units.percent(parity.agreement if parity else None),
        sqnr=units.decibels(parity.sqnr_db if parity else None),
        latency=_latency_cell(row.latency),
        verdict=row.verdict.value,
    )


def _latency_cell(latency: Latency | None) -> str:
    if latency is None:
        return units.NOTHING
    p50, p90 = units.milliseconds(latency.p50_s), units.milliseconds(latency.p90_s)
    return f"{p50} / {p90} ({threads_words(latency)})"


def latency_rows(content: ReportContent) -> tuple[LatencyRow, ...]:
    """Return every latency, the reference's first."""
    reference = content.reference.latency if content.reference else None
    rows = []
    if reference is not None:
        rows.append(_latency_row(REFERENCE_NAME, reference, None, best=True))
    for row in content.artifacts:
        for latency in row.bench.latencies if row.bench else ():
            best = latency is row.latency
            rows.append(_latency_row(row.name, latency, reference, best=best))
    return tuple(rows)


def _latency_row(
    name: str, latency: Latency, reference: Latency | None, *, best: bool
) -> LatencyRow:
    ratio = units.NOTHING
    if reference is not None and reference.p50_s > 0:
        ratio = units.ratio(latency.p50_s / reference.p50_s)
    return LatencyRow(
        artifact=name,
        runtime=latency.runtime,
        threads=str(latency.threads),
        p50=units.milliseconds(latency.p50_s),
        p90=units.milliseconds(latency.p90_s),
        p90_bound=units.milliseconds(bound) if (bound := latency.p90_bound_s) else units.NOTHING,
        p97=units.milliseconds(latency.p97_s),
        p99=units.milliseconds(latency.p99_s),
        mean=units.milliseconds(latency.mean_s),
        first=units.milliseconds(latency.first_s),
        load=units.milliseconds(latency.load_s),
        memory=units.size(latency.peak_memory_bytes),
        samples=_samples_words(latency),
        ratio=ratio,
        warnings=", ".join(warning.value for warning in find_warnings(latency)),
        best=best,
    )


def _samples_words(latency: Latency) -> str:
    samples, queries = units.count(len(latency.samples_s)), latency.queries_per_sample
    return samples if queries == 1 else f"{samples} means of {queries}"


def reason_rows(content: ReportContent) -> tuple[ReasonRow, ...]:
    """Return the reasons for each artifact's verdicts, one line per gate.

    A latency reason that all artifacts share, as without a limit, comes once at the end. A further
    runtime that refused an artifact has a line of its own, which decides nothing.
    """
    rows = content.artifacts
    accuracy = [(*_accuracy_rows(row), *_refusal_rows(content, row.name)) for row in rows]
    latency = [_reason_row(row.name, "latency", row.latency_gate) for row in rows]
    if len(rows) > 1 and len({(reason.verdict, reason.reason) for reason in latency}) == 1:
        return (*itertools.chain(*accuracy), replace(latency[0], artifact=EVERY_ARTIFACT))
    both = zip(accuracy, latency, strict=True)
    return tuple(reason for answers, timing in both for reason in (*answers, timing))


def _accuracy_rows(row: ArtifactRow) -> tuple[ReasonRow, ...]:
    """Return the reason in the preferred runtime, which decides, then those in the others.

    Of the corruptions those under which it fails are named, since they decide as well.
    """
    further = ((each.name, each.result) for each in row.further_gates)
    others = (
        (f"accuracy in {other.runtime}", other.answers_gate) for other in row.in_further_runtimes
    )
    falls = ((f"accuracy under {each.corruption.value}", each.gate) for each in row.falls)
    gates = (("accuracy", row.accuracy_gate), *further, *others, *falls)
    return tuple(_reason_row(row.name, gate, result) for gate, result in gates)


def _refusal_rows(content: ReportContent, name: str) -> Iterator[ReasonRow]:
    for gone in content.refused:
        if gone.name == name:
            yield ReasonRow(name, f"run in {gone.runtime}", Verdict.FAIL.value, gone.reason)


def _reason_row(artifact: str, gate: str, result: GateResult) -> ReasonRow:
    verdict = result.verdict.value
    return ReasonRow(artifact, gate, verdict, result.reason.removeprefix(f"{verdict}: "))


def headline(content: ReportContent) -> str:
    """Return the overall verdict as one sentence per kind of trouble."""
    total = len(content.artifacts)
    if not total:
        return "There are no artifacts, so nothing was checked."
    if content.verdict is Verdict.PASS:
        holds = "the only artifact holds its" if total == 1 else f"all {total} artifacts hold their"
        return f"{holds[0].upper()}{holds[1:]} gates."
    sentences = []
    if failed := [failure.name for failure in content.failed]:
        sentences.append(f"{', '.join(failed)} could not be made.")
    for words in ("failed", _FEW_PICTURES, _FEW_QUERIES, _NOT_TIMED, "not checked"):
        if names := [row.name for row in content.artifacts if _trouble(row) == words]:
            sentences.append(f"{len(names)} of {total} {words}: {', '.join(names)}.")
    failing = [
        name
        for device, name in zip(content.devices, device_names(content), strict=True)
        if device.verdict is Verdict.FAIL
    ]
    if failing:
        sentences.append(f"Failed on a device: {', '.join(failing)}.")
    return " ".join(sentences)


_FEW_PICTURES = "cannot be judged with so few test pictures"
_FEW_QUERIES = "cannot be judged with so few latency queries"
_NOT_TIMED = "cannot be judged without a latency"


def _trouble(row: ArtifactRow) -> str:
    if row.verdict is not Verdict.INCONCLUSIVE:
        return {Verdict.FAIL: "failed", Verdict.NOT_CHECKED: "not checked"}.get(row.verdict, "")
    pictures = row.answers_gate.verdict is Verdict.INCONCLUSIVE
    if pictures:
        return _FEW_PICTURES
    return _NOT_TIMED if row.bench and not row.bench.latencies else _FEW_QUERIES
