"""The report: what was measured, with a verdict for every file, as HTML, Markdown and JSON."""

from resnet_edge.reporting.content import (
    ArtifactRow,
    DataSection,
    EpochPoint,
    ModelSection,
    ReferenceSection,
    ReportContent,
)
from resnet_edge.reporting.report_json import report_json
from resnet_edge.reporting.tables import SUMMARY_HEADINGS, SummaryRow, headline, summary_rows
from resnet_edge.reporting.write import write_report

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
