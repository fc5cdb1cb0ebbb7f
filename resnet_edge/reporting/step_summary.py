"""The report's first lines as Markdown, for the summary of a step in GitHub Actions.

GitHub shows what a step appends to the file that ``GITHUB_STEP_SUMMARY`` names, up to 1 MiB of all
steps together, so this is short; ``report.md`` has the rest.
"""

from __future__ import annotations

from pathlib import Path

from resnet_edge.errors import OutputError
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.reporting.answer import find_answer
from resnet_edge.reporting.content import ReportContent
from resnet_edge.reporting.findings import find_findings
from resnet_edge.reporting.markdown import escape_markdown, markdown_table
from resnet_edge.reporting.tables import SUMMARY_HEADINGS, headline, reason_rows, summary_rows

VARIABLE = "GITHUB_STEP_SUMMARY"
"""GitHub sets it for every step."""


def render_step_summary(content: ReportContent) -> str:
    """Return the answer, the findings, the table of artifacts, and the reasons against them."""
    against = (Verdict.FAIL.value, Verdict.INCONCLUSIVE.value)
    reasons = [
        f"{row.artifact}, {row.gate} {row.verdict}: {row.reason}"
        for row in reason_rows(content)
        if row.verdict in against
    ]
    reasons += [f"{gone.name} could not be made: {gone.reason}" for gone in content.failed]
    lines = [
        f"## {escape_markdown(content.model.name)}: {content.verdict.value}",
        "",
        *(f"- {escape_markdown(sentence)}" for sentence in find_answer(content).sentences),
        *(f"- **Finding:** {escape_markdown(words)}" for words in find_findings(content)),
        "",
        escape_markdown(headline(content)),
        "",
        *markdown_table(
            SUMMARY_HEADINGS, (row.cells for row in summary_rows(content)), text_columns=1
        ),
        "",
        *(f"- {escape_markdown(reason)}" for reason in reasons),
    ]
    return "\n".join(lines).rstrip() + "\n\n"


def append_step_summary(path: Path, content: ReportContent) -> None:
    """Append the summary to a file.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        with path.open("ab") as file:
            file.write(render_step_summary(content).encode(errors="backslashreplace"))
    except OSError as problem:
        raise OutputError(
            f"{path}: the summary cannot be appended ({problem.strerror or problem}); "
            f"{VARIABLE} names this file; unset it to do without"
        ) from problem
