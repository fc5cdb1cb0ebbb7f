"""The report as one HTML page that needs nothing else: no network, no scripts, no fonts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from resnet_edge import units
from resnet_edge.ondevice.formats.kinds import Quantization
from resnet_edge.reporting.changed import ChangedSection, build_changed
from resnet_edge.reporting.classes import ClassTable, build_class_table
from resnet_edge.reporting.confusion import ConfusionSection, build_confusion
from resnet_edge.reporting.content import ArtifactRow, EpochPoint, ReportContent
from resnet_edge.reporting.curves import plot_training
from resnet_edge.reporting.devices import DeviceTable, build_devices
from resnet_edge.reporting.layer_noise_plot import plot_shares
from resnet_edge.reporting.measuring_conditions import ConditionTable, build_conditions
from resnet_edge.reporting.notes import derive_notes
from resnet_edge.reporting.plots import plot_accuracy_latency, plot_differences
from resnet_edge.reporting.provenance import FactSheet, build_provenance
from resnet_edge.reporting.quantization import (
    ALONE,
    LAYER_HEADINGS,
    TEXT_COLUMNS,
    TRIAL_HEADINGS,
    QuantizationSection,
    build_quantization,
)
from resnet_edge.reporting.reference import THROUGHPUT_HEADINGS, ReferenceView, build_reference
from resnet_edge.reporting.tables import (
    BOUND,
    EVERY_ARTIFACT,
    LATENCY_HEADINGS,
    LatencyRow,
    ReasonRow,
    SummaryRow,
    headline,
    latency_rows,
    reason_rows,
    summary_rows,
)

GLOSSARY = (
    (
        "reference",
        "The model itself in full float32, before any export. Artifacts are judged by it.",
    ),
    (
        "proof of float32",
        "Before the reference answers, its device multiplies matrices and convolves pictures whose "
        "exact results are known and which TF32 or bfloat16 would get wrong.",
    ),
    ("top-1", "Share of the test pictures whose most probable class is the right one."),
    (
        "agreement",
        "Share of the test pictures for which artifact and reference give the same answer.",
    ),
    (
        "SQNR",
        "Signal to quantization noise ratio of the logits, in decibels: how much larger the "
        "answers are than their error. 20 dB is an error of a tenth, 40 dB of a hundredth; over "
        "100 dB is float32 rounding, “exact” is bit for bit.",
    ),
    (
        "share of the noise",
        "The part of the quantization error in the logits that one layer causes; the parts of all "
        "layers sum to 100 %.",
    ),
    ("p50 / p90", "Half, or nine in ten, of the single-picture inferences took at most this long."),
    (
        "paired interval",
        "Both answered the same pictures, so the difference in accuracy is estimated from the "
        "pictures where they differ. The true difference lies in the interval with the stated "
        "confidence; it is much narrower than that of either accuracy alone.",
    ),
    (
        "inconclusive",
        "The interval reaches over the gate: with these test pictures neither pass nor fail is "
        "proven. More test pictures settle it.",
    ),
    ("not checked", "Nothing was measured, so nothing is claimed."),
    (
        "p90 at most",
        "An upper bound of p90 by MLPerf's early stopping: of n inferences it is the t-th slowest, "
        "where t is as large as leaves the true p90 at or below it with 99 % confidence. It needs "
        "64 inferences, and comes nearer to p90 with more. Latency limits are judged by it.",
    ),
    (
        "noisy",
        "The middle half of the latency samples spans more than 10 % of the median: something else "
        "ran on the machine, or its clock changed.",
    ),
    (
        "slow in groups",
        "Slow inferences came one after another (runs test), as when a machine's speed changes for "
        "a while. The bound takes them as independent, so it promises less than 99 % then.",
    ),
    (
        "drifting",
        "The median of the second half of the latency samples is more than 5 % off the first "
        "half's, by more than chance (Mann-Whitney test): the machine heats up or something began.",
    ),
)
"""Terms in the order in which a reader meets them."""


@dataclass(frozen=True)
class ArtifactView:
    """An artifact's line in the summary with its reasons."""

    summary: SummaryRow
    kind: str
    ratio: str
    reasons: tuple[ReasonRow, ...]


@dataclass(frozen=True)
class Page:
    """All that the template shows; every plain string is escaped there."""

    title: str
    made_by: str
    verdict: str
    headline: str
    notes: tuple[str, ...]
    tiles: tuple[tuple[str, str], ...]
    reference: SummaryRow | None
    reference_device: str
    artifacts: tuple[ArtifactView, ...]
    shared_reasons: tuple[ReasonRow, ...]
    scatter: Markup | None
    differences: Markup | None
    latency_headings: tuple[str, ...]
    latencies: tuple[LatencyRow, ...]
    bound: str
    """What one of these headings means."""
    conditions: ConditionTable | None
    curves: tuple[Markup, ...]
    phases: str
    confusion: ConfusionSection | None
    classes: ClassTable | None
    changed: tuple[ChangedSection, ...]
    compared: bool
    """Whether any artifact's answers were compared with the reference's."""
    quantization: QuantizationSection | None
    shares: Markup | None
    layer_headings: tuple[str, ...]
    alone: str
    """What one of these headings means."""
    trial_headings: tuple[str, ...]
    text_columns: int
    """How many columns of these two tables are text."""
    devices: DeviceTable | None
    full_precision: ReferenceView | None
    throughput_headings: tuple[str, ...]
    provenance: tuple[FactSheet, ...]
    glossary: tuple[tuple[str, str], ...]


def render_html(content: ReportContent) -> str:
    """Return the page. The same content gives the same text."""
    environment = Environment(
        loader=PackageLoader("resnet_edge.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page: str = environment.get_template("report.html.j2").render(page=build_page(content))
    return page


def build_page(content: ReportContent) -> Page:
    """Return what the template shows of ``content``."""
    summary = summary_rows(content)
    has_reference = content.reference is not None
    return Page(
        title=content.model.name,
        made_by=content.made_by,
        verdict=content.verdict.value,
        headline=headline(content),
        notes=derive_notes(content),
        tiles=_tiles(content),
        reference=summary[0] if has_reference else None,
        reference_device=content.reference.device if content.reference else "",
        artifacts=_artifacts(content, summary[1:] if has_reference else summary),
        shared_reasons=tuple(r for r in reason_rows(content) if r.artifact == EVERY_ARTIFACT),
        scatter=_markup(plot_accuracy_latency(content)),
        differences=_markup(plot_differences(content)),
        latency_headings=LATENCY_HEADINGS,
        latencies=latency_rows(content),
        bound=BOUND,
        conditions=build_conditions([r.bench for r in content.artifacts if r.bench is not None]),
        curves=tuple(Markup(svg) for svg in plot_training(content.history)),
        phases=_phases(content.history),
        confusion=build_confusion(content),
        classes=build_class_table(content),
        changed=build_changed(content),
        compared=any(row.parity is not None for row in content.artifacts),
        quantization=build_quantization(content),
        shares=_markup(plot_shares(content.quantization.layers if content.quantization else ())),
        layer_headings=LAYER_HEADINGS,
        alone=ALONE,
        trial_headings=TRIAL_HEADINGS,
        text_columns=TEXT_COLUMNS,
        devices=build_devices(content),
        full_precision=build_reference(content.reference),
        throughput_headings=THROUGHPUT_HEADINGS,
        provenance=build_provenance(content),
        glossary=GLOSSARY,
    )


def _markup(svg: str | None) -> Markup | None:
    return None if svg is None else Markup(svg)


def _tiles(content: ReportContent) -> tuple[tuple[str, str], ...]:
    model, reference = content.model, content.reference
    height, width = model.image_size
    return (
        ("reference top-1", units.percent(reference.top1 if reference else None)),
        ("test pictures", units.count(content.data.test)),
        ("classes", units.count(len(model.labels))),
        ("input", f"{height} × {width}"),
        ("parameters", units.operations(model.parameters)),
        ("multiply-adds", units.operations(model.multiply_adds)),
    )


def _artifacts(content: ReportContent, summary: Sequence[SummaryRow]) -> tuple[ArtifactView, ...]:
    reasons = reason_rows(content)
    ratios = {row.artifact: row.ratio for row in latency_rows(content) if row.best}
    return tuple(
        ArtifactView(
            summary=line,
            kind=_kind(row),
            ratio=ratios.get(row.name, units.NOTHING),
            reasons=tuple(reason for reason in reasons if reason.artifact == row.name),
        )
        for row, line in zip(content.artifacts, summary, strict=True)
    )


def _kind(row: ArtifactRow) -> str:
    sidecar = row.sidecar
    exact = sidecar.quantization is Quantization.NONE
    kind: str = sidecar.precision.value if exact else sidecar.quantization.value
    return kind


def _phases(history: Sequence[EpochPoint]) -> str:
    """Say which epochs belong to which phase."""
    spans: list[tuple[str, int, int]] = []
    for point in history:
        if spans and spans[-1][0] == point.phase:
            spans[-1] = (point.phase, spans[-1][1], point.epoch)
        else:
            spans.append((point.phase, point.epoch, point.epoch))
    return "; ".join(
        f"epoch {first}: {phase}" if first == last else f"epochs {first} to {last}: {phase}"
        for phase, first, last in spans
    )
