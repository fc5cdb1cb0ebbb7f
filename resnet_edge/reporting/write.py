"""Writes the report's three files."""

from __future__ import annotations

import json
from pathlib import Path

from resnet_edge.ondevice.files import write_bytes
from resnet_edge.reporting.content import ReportContent
from resnet_edge.reporting.html import render_html
from resnet_edge.reporting.markdown import render_markdown
from resnet_edge.reporting.report_json import report_json


def write_report(out: Path, content: ReportContent) -> tuple[Path, Path, Path]:
    """Write ``report.html``, ``report.md`` and ``report.json`` into ``out``.

    Args:
        out: The folder; made if it is missing.
        content: The report's content.

    Returns:
        The paths of the three files, in that order.

    Raises:
        OutputError: A file cannot be written.
    """
    json_text = json.dumps(report_json(content), indent=1, ensure_ascii=False, allow_nan=False)
    texts = {
        out / "report.html": render_html(content),
        out / "report.md": render_markdown(content),
        out / "report.json": json_text + "\n",
    }
    for path, text in texts.items():
        # File names that are not UTF-8 arrive as lone surrogates; \udcff is also JSON's escape.
        write_bytes(path, text.encode(errors="backslashreplace"))
    html, markdown, data = texts
    return html, markdown, data
