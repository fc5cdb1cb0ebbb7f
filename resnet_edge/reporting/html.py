"""The report as one HTML page, which loads nothing from anywhere.

It has no script but one that searches and sorts long tables, where there are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from resnet_edge import units
from resnet_edge.ondevice.formats.kinds import Quantization
from resnet_edge.reporting.answer import find_answer
from resnet_edge.reporting.artifact_plots import legend, plot_accuracy_latency, plot_differences
from resnet_edge.reporting.browser_runs import HEADINGS as BROWSER_HEADINGS
from resnet_edge.reporting.browser_runs import LEAD as BROWSERS_LEAD
from resnet_edge.reporting.browser_runs import BrowserRuns, build_browsers
from resnet_edge.reporting.changed_answers import ChangedSection, build_changed
from resnet_edge.reporting.class_table import MAX_CLASSES, ClassTable, build_class_table
from resnet_edge.reporting.confused_table import ConfusedTable, build_confused
from resnet_edge.reporting.confusion_matrices import ConfusionSection, build_confusion
from resnet_edge.reporting.content import ArtifactRow, EpochPoint, ReportContent
from resnet_edge.reporting.device_table import DeviceTable, build_devices
from resnet_edge.reporting.findings import find_findings
from resnet_edge.reporting.layer_noise_plot import plot_shares
from resnet_edge.reporting.measuring_conditions import ConditionTable, build_conditions
from resnet_edge.reporting.notes import derive_notes
from resnet_edge.reporting.provenance import FactSheet, build_provenance
from resnet_edge.reporting.quality_section import (
    CLASS_HEADINGS,
    CONFUSION_HEADINGS,
    FLIP_HEADINGS,
    QualityDetails,
    QualitySection,
    build_quality,
)
from resnet_edge.reporting.quantization_section import (
    ALONE,
    LAYER_HEADINGS,
    TEXT_COLUMNS,
    TRIAL_HEADINGS,
    QuantizationSection,
    build_quantization,
)
from resnet_edge.reporting.reference_section import (
    THROUGHPUT_HEADINGS,
    ReferenceView,
    build_reference,
)
from resnet_edge.reporting.reliability_plot import plot_reliability
from resnet_edge.reporting.robustness_section import (
    FIGURE_HEADINGS,
    LEAD,
    RULE,
    RobustnessSection,
    build_robustness,
)
from resnet_edge.reporting.search import Script, search_script
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
from resnet_edge.reporting.templates import render_template
from resnet_edge.reporting.terms import GLOSSARY, INTRODUCTION, SUMMARY_TERMS
from resnet_edge.reporting.training_plot import plot_training


@dataclass(frozen=True)
class ArtifactView:
    """An artifact's line in the summary with its reasons."""

    summary: SummaryRow
    kind: str
    ratio: str
    reasons: tuple[ReasonRow, ...]


@dataclass(frozen=True)
class Page:
    """All that the template shows. The template escapes every plain string."""

    title: str
    made_by: str
    verdict: str
    answer: tuple[str, ...]
    """The file to take, and what is not proven."""
    findings: tuple[str, ...]
    headline: str
    introduction: str
    notes: tuple[str, ...]
    tiles: tuple[tuple[str, str], ...]
    summary_terms: tuple[tuple[str, str], ...]
    reference: SummaryRow | None
    reference_device: str
    artifacts: tuple[ArtifactView, ...]
    shared_reasons: tuple[ReasonRow, ...]
    scatter: Markup | None
    legend: str
    """Explains the colours and the markers of the plots."""
    differences: Markup | None
    latency_headings: tuple[str, ...]
    latencies: tuple[LatencyRow, ...]
    bound: str
    """Explains one of these headings."""
    conditions: ConditionTable | None
    curves: tuple[Markup, ...]
    phases: str
    confusion: ConfusionSection | None
    confused: ConfusedTable | None
    many_classes: bool
    """True if their names are as long and as many as ImageNet's, so that they are not cut short."""
    classes: ClassTable | None
    script: Script | None
    """None where no table is long."""
    changed: tuple[ChangedSection, ...]
    quality: QualitySection | None
    reliability: tuple[tuple[QualityDetails, Markup], ...]
    """The details of ``quality``, each with its reliability diagram."""
    flip_headings: tuple[str, ...]
    class_headings: tuple[str, ...]
    confusion_headings: tuple[str, ...]
    compared: bool
    """True if any artifact's answers were compared with the reference's."""
    quantization: QuantizationSection | None
    shares: Markup | None
    layer_headings: tuple[str, ...]
    alone: str
    """Explains one of these headings."""
    trial_headings: tuple[str, ...]
    text_columns: int
    """The first columns of these two tables, which are text."""
    devices: DeviceTable | None
    browsers: tuple[BrowserRuns, ...]
    browsers_lead: str
    browser_headings: tuple[str, ...]
    full_precision: ReferenceView | None
    throughput_headings: tuple[str, ...]
    robustness: RobustnessSection | None
    robustness_lead: str
    robustness_rule: str
    robustness_headings: tuple[str, ...]
    """Those of every comparison."""
    provenance: tuple[FactSheet, ...]
    glossary: tuple[tuple[str, str], ...]


def render_html(content: ReportContent) -> str:
    """Return the page. The same content gives the same text."""
    return render_template("report.html.j2", build_page(content))


def build_page(content: ReportContent) -> Page:
    """Return all that the template shows of a report."""
    summary = summary_rows(content)
    has_reference = content.reference is not None
    quality, classes = build_quality(content), build_class_table(content)
    return Page(
        title=content.model.name,
        made_by=content.made_by,
        verdict=content.verdict.value,
        answer=find_answer(content).sentences,
        findings=find_findings(content),
        headline=headline(content),
        introduction=INTRODUCTION,
        notes=derive_notes(content),
        tiles=_tiles(content),
        summary_terms=SUMMARY_TERMS,
        reference=summary[0] if has_reference else None,
        reference_device=content.reference.device if content.reference else "",
        artifacts=_artifacts(content, summary[1:] if has_reference else summary),
        shared_reasons=tuple(r for r in reason_rows(content) if r.artifact == EVERY_ARTIFACT),
        scatter=_markup(plot_accuracy_latency(content)),
        legend=legend(),
        differences=_markup(plot_differences(content)),
        latency_headings=LATENCY_HEADINGS,
        latencies=latency_rows(content),
        bound=BOUND,
        conditions=build_conditions([r.bench for r in content.artifacts if r.bench is not None]),
        curves=tuple(Markup(svg) for svg in plot_training(content.history)),
        phases=_phases(content.history),
        confusion=build_confusion(content),
        confused=build_confused(content),
        many_classes=len(content.model.labels) > MAX_CLASSES,
        classes=classes,
        script=search_script() if classes and classes.every else None,
        changed=build_changed(content),
        quality=quality,
        reliability=_reliability(quality),
        flip_headings=FLIP_HEADINGS,
        class_headings=CLASS_HEADINGS,
        confusion_headings=CONFUSION_HEADINGS,
        compared=any(row.parity is not None for row in content.artifacts),
        quantization=build_quantization(content),
        shares=_markup(plot_shares(content.quantization.layers if content.quantization else ())),
        layer_headings=LAYER_HEADINGS,
        alone=ALONE,
        trial_headings=TRIAL_HEADINGS,
        text_columns=TEXT_COLUMNS,
        devices=build_devices(content),
        browsers=build_browsers(content),
        browsers_lead=BROWSERS_LEAD,
        browser_headings=BROWSER_HEADINGS,
        full_precision=build_reference(content.reference),
        throughput_headings=THROUGHPUT_HEADINGS,
        robustness=build_robustness(content),
        robustness_lead=LEAD,
        robustness_rule=RULE,
        robustness_headings=FIGURE_HEADINGS,
        provenance=build_provenance(content),
        glossary=GLOSSARY,
    )


def _reliability(quality: QualitySection | None) -> tuple[tuple[QualityDetails, Markup], ...]:
    return tuple(
        (details, Markup(plot_reliability(details.artifact, details.calibration)))
        for details in (quality.details if quality else ())
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
    """Name the phases of the training with their epochs."""
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
