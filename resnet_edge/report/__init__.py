"""The report: what was measured, with a verdict for every file, as HTML, Markdown and JSON."""

from resnet_edge.report.content import (
    ArtifactRow,
    DataSection,
    EpochPoint,
    ModelSection,
    ReferenceSection,
    ReportContent,
)
from resnet_edge.report.contract import report_json
from resnet_edge.report.tables import SUMMARY_HEADINGS, SummaryRow, headline, summary_rows
from resnet_edge.report.write import write_report

__all__ = [
    "SUMMARY_HEADINGS",
    "ArtifactRow",
    "DataSection",
    "EpochPoint",
    "ModelSection",
    "ReferenceSection",
    "ReportContent",
    "SummaryRow",
    "headline",
    "report_json",
    "summary_rows",
    "write_report",
]
