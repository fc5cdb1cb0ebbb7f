"""The report as Markdown: the verdicts, their reasons and the figures, without pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from resnet_edge import units
from resnet_edge.reporting import browser_runs
from resnet_edge.reporting.answer import find_answer
from resnet_edge.reporting.class_table import ClassRow, build_class_table
from resnet_edge.reporting.confused_table import build_confused
from resnet_edge.reporting.content import ReportContent
from resnet_edge.reporting.device_table import build_devices
from resnet_edge.reporting.findings import find_findings
from resnet_edge.reporting.measuring_conditions import build_conditions
from resnet_edge.reporting.notes import derive_notes
from resnet_edge.reporting.provenance import Fact, build_provenance
from resnet_edge.reporting.quality_section import (
    CLASS_HEADINGS,
    CONFUSION_HEADINGS,
    FLIP_HEADINGS,
    build_quality,
)
from resnet_edge.reporting.quantization_section import (
    ALONE,
    LAYER_HEADINGS,
    TEXT_COLUMNS,
    TRIAL_HEADINGS,
    build_quantization,
)
from resnet_edge.reporting.reference_section import THROUGHPUT_HEADINGS, build_reference
from resnet_edge.reporting.robustness_section import (
    FIGURE_HEADINGS,
    LEAD,
    RULE,
    build_robustness,
)
from resnet_edge.reporting.tables import (
    BOUND,
    LATENCY_HEADINGS,
    SUMMARY_HEADINGS,
    headline,
    latency_rows,
    reason_rows,
    summary_rows,
)
from resnet_edge.reporting.terms import GLOSSARY, INTRODUCTION, SUMMARY_TERMS


def render_markdown(content: ReportContent) -> str:
    """Return the report as Markdown."""
    lines = [
        f"# {escape_markdown(content.model.name)}: {content.verdict.value}",
        "",
        *(f"- {escape_markdown(sentence)}" for sentence in find_answer(content).sentences),
        "",
        *_findings(content),
        escape_markdown(headline(content)),
        "",
        INTRODUCTION,
        "",
        *(f"- {escape_markdown(note)}" for note in derive_notes(content)),
        "",
        "## Artifacts",
        "",
        *(f"- **{term}**: {meaning}" for term, meaning in SUMMARY_TERMS),
        "",
        *markdown_table(
            SUMMARY_HEADINGS, (row.cells for row in summary_rows(content)), text_columns=1
        ),
        "",
        "## Reasons for the verdicts",
        "",
        *_reasons(content),
        "",
        *_latencies(content),
        *_robustness(content),
        *_devices(content),
        *_reference(content),
        *_quality(content),
        *_confused(content),
        *_classes(content),
        *_changed(content),
        *_quantization(content),
        "## Provenance",
        "",
        *_provenance(content),
        "## How to read this",
        "",
        *(f"- **{term}**: {meaning}" for term, meaning in GLOSSARY),
        "",
        f"Made by {escape_markdown(content.made_by)}.",
    ]
    return "\n".join(lines) + "\n"


def escape_markdown(text: str) -> str:
    """Escape text, so that Markdown and HTML show it unchanged, on one line."""
    one_line = " ".join(text.split())
    escaped = re.sub(r"([\\`*_\[\]|~])", r"\\\1", one_line)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int
) -> list[str]:
    """Return a table whose first columns are text and whose others are numbers."""
    marks = ["---" if i < text_columns else "---:" for i in range(len(headings))]
    lines = [headings, marks, *([escape_markdown(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _reasons(content: ReportContent) -> list[str]:
    return [
        f"- {escape_markdown(f'{row.artifact}, {row.gate} {row.verdict}: {row.reason}')}"
        for row in reason_rows(content)
    ]


def _latencies(content: ReportContent) -> list[str]:
    rows = latency_rows(content)
    if not rows:
        return []
    cells = (
        (f"{row.artifact} ({row.warnings})" if row.warnings else row.artifact, *row.cells[1:])
        for row in rows
    )
    return [
        "## Latency",
        "",
        f"One picture at a time, times in milliseconds. {BOUND}",
        "",
        *markdown_table(LATENCY_HEADINGS, cells, text_columns=1),
        "",
        *_conditions(content),
    ]


def _robustness(content: ReportContent) -> list[str]:
    section = build_robustness(content)
    if section is None:
        return []
    rows = [("reference", *section.reference)]
    rows += [(name, *(cell.words for cell in cells)) for name, cells in section.rows]
    return [
        "## Robustness",
        "",
        escape_markdown(f"{LEAD} {RULE}"),
        "",
        *(f"- {escape_markdown(f'{name}: {words}')}" for name, words in section.strengths),
        "",
        *markdown_table(("artifact", *section.headings), rows, text_columns=1),
        "",
        *markdown_table(FIGURE_HEADINGS, section.figures, text_columns=len(FIGURE_HEADINGS)),
        "",
    ]


def _devices(content: ReportContent) -> list[str]:
    table = build_devices(content)
    if table is None:
        return []
    lines = ["## Devices", "", escape_markdown(table.lead), ""]
    for heading in table.headings:
        emulated = (
            "; emulated, so its latencies are not those of a real device"
            if heading.emulated
            else ""
        )
        words = f"{heading.name}: {heading.machine}; {heading.sample}{emulated}"
        lines.append(f"- {escape_markdown(words)}")
    headings = ("artifact", *(heading.name for heading in table.headings))
    rows = ((name, *(cell.words for cell in cells)) for name, cells in table.rows)
    lines += [
        "",
        *markdown_table(list(map(escape_markdown, headings)), rows, text_columns=len(headings)),
        "",
    ]
    for why in table.reasons:
        words = f"{why.device}, {why.artifact}, {why.what}: {why.reason}"
        lines.append(f"- {escape_markdown(words)}")
    end = [""] if table.reasons else []
    return [*lines, *end, *_browsers(content)]


def _browsers(content: ReportContent) -> list[str]:
    browsers = browser_runs.build_browsers(content)
    lead = escape_markdown(browser_runs.LEAD)
    lines = ["### In the browser", "", lead, ""] if browsers else []
    for browser in browsers:
        lines += [f"{escape_markdown(browser.device)}: {escape_markdown(browser.facts)}.", ""]
        headings = browser_runs.HEADINGS
        lines += [*markdown_table(headings, browser.rows, text_columns=len(headings)), ""]
    return lines


def _conditions(content: ReportContent) -> list[str]:
    table = build_conditions([row.bench for row in content.artifacts if row.bench is not None])
    if table is None:
        return []
    lines = ["### Conditions while measuring", ""]
    if table.note:
        lines += [escape_markdown(table.note), ""]
    return [
        *lines,
        *markdown_table(table.headings, table.rows, text_columns=len(table.headings)),
        "",
    ]


def _reference(content: ReportContent) -> list[str]:
    section = build_reference(content.reference)
    if section is None:
        return []
    lines = ["## Reference", "", *map(_fact, section.facts), ""]
    if section.throughput:
        lines += [*markdown_table(THROUGHPUT_HEADINGS, section.throughput, text_columns=0), ""]
    return [*lines, section.stopped, ""] if section.stopped else lines


def _changed(content: ReportContent) -> list[str]:
    lines = []
    for row in content.artifacts:
        if row.parity is not None and row.parity.changed:
            changed = units.plural(len(row.parity.changed), "answer")
            words = f"{row.name}: {changed} of {units.count(row.parity.images)} changed"
            lines.append(f"- {escape_markdown(words)}")
    return ["## Changed answers", "", *lines, ""] if lines else []


def _findings(content: ReportContent) -> list[str]:
    found = find_findings(content)
    return [*(f"- **Finding:** {escape_markdown(words)}" for words in found), ""] if found else []


def _quality(content: ReportContent) -> list[str]:
    section = build_quality(content)
    if section is None:
        return []
    lines = ["## Behind top-1", "", escape_markdown(section.lead), ""]
    if section.unknown:
        names = ", ".join(section.unknown)
        words = f"Not known of {names}: an earlier version recorded the answers; run"
        lines += [f"{escape_markdown(words)} `resnet-edge parity` again.", ""]
    if section.rows:
        cells = [[cell.words for cell in row.cells] for row in section.rows]
        lines += [*markdown_table(section.headings, cells, text_columns=1), ""]
        lines += [escape_markdown(section.noise), ""]
    for details in section.details:
        tables = (
            ("flips by margin", FLIP_HEADINGS, details.flips, 1),
            ("classes with flips", CLASS_HEADINGS, details.classes, 1),
            ("new confusions", CONFUSION_HEADINGS, details.confusions, 2),
        )
        for title, headings, rows, texts in tables:
            if rows and details.flipped:
                lines += [f"### {escape_markdown(f'{details.artifact}: {title}')}", ""]
                lines += [*markdown_table(headings, rows, text_columns=texts), ""]
    return lines


def _confused(content: ReportContent) -> list[str]:
    table = build_confused(content)
    if table is None:
        return []
    headings = ("true class", "answer", "reference", *table.artifacts)
    rows = (
        (row.label, row.answer, row.reference, *(cell.pictures for cell in row.cells))
        for row in table.rows
    )
    lead = "The wrong answers that the reference gives most, in test pictures."
    lines = markdown_table(headings, rows, text_columns=2)
    return ["## Most confused classes", "", lead, "", *lines, ""]


def _classes(content: ReportContent) -> list[str]:
    """Return the classes that changed most, of so many that ``report.json`` alone has them all."""
    table = build_class_table(content)
    if table is None or not table.every or not table.artifacts:
        return []
    headings = ("class", "pictures", "reference", *table.artifacts)

    def listed(title: str, rows: Sequence[ClassRow]) -> list[str]:
        cells = (
            (row.label, row.images, row.reference, *(cell.top1 for cell in row.cells))
            for row in rows
        )
        return [f"### {title}", "", *markdown_table(headings, cells, text_columns=1), ""]

    words = f"Top-1 of each class; `report.json` has all {units.count(table.classes)}."
    gaining = listed("Classes that gain most", table.gaining) if table.gaining else []
    losing = listed("Classes that lose most", table.rows)
    return ["## Accuracy by class", "", words, "", *losing, *gaining]


def _quantization(content: ReportContent) -> list[str]:
    section = build_quantization(content)
    if section is None:
        return []
    lines = ["## Quantization", "", *map(_fact, section.facts), ""]
    lines += [
        "### Layers that lose most accuracy",
        "",
        escape_markdown(f"{section.summary} {ALONE}"),
        "",
    ]
    if section.noisiest:
        noisiest = (row.cells for row in section.noisiest)
        lines += [*markdown_table(LAYER_HEADINGS, noisiest, text_columns=TEXT_COLUMNS), ""]
    if section.trials:
        trials = (row.cells for row in section.trials)
        table = markdown_table(TRIAL_HEADINGS, trials, text_columns=TEXT_COLUMNS)
        lines += ["### Layers kept in float", "", *table, ""]
    return lines


def _provenance(content: ReportContent) -> list[str]:
    lines = []
    for sheet in build_provenance(content):
        lines += [f"### {escape_markdown(sheet.title)}", ""]
        lines += [*map(_fact, sheet.facts), ""]
    return lines


def _fact(fact: Fact) -> str:
    return f"- {escape_markdown(fact.term)}: {escape_markdown(fact.value)}"
