"""``resnet-edge report``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from resnet_edge.cli.binding import Panel, only
from resnet_edge.cli.console import VERDICT_STYLES, Json, Terminal, print_json, print_rich_table
from resnet_edge.cli.verdict import AllowInconclusive, exit_with
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.ondevice.option import Changes, Option
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.options import Options

if TYPE_CHECKING:
    from resnet_edge.reporting.content import ReportContent

JunitFile = Annotated[
    Path | None,
    Option(
        "Also write the verdicts as JUnit XML: a test case for each artifact and gate.",
        "Build",
        metavar="FILE",
        one_call=True,
    ),
]

DeviceFile = Annotated[
    Path | None,
    Option(
        "Result that a device's run wrote; it is checked and kept in OUT/results.",
        "Device",
        one_call=True,
    ),
]


def report(
    options: Annotated[Options, only("out", "formats")],
    changes: Annotated[
        Changes[Gates], Panel("Gates, to judge saved results again (nothing is run)")
    ],
    device: DeviceFile = None,
    junit: JunitFile = None,
    allow_inconclusive: AllowInconclusive = False,
    as_json: Json = False,
) -> None:
    """Merge all results, also those of devices: OUT/report.html, report.md, report.json.

    Gates that are given judge the saved results again; limits of the latency take the place of
    bench's. In GitHub Actions a short report is appended to the summary of the step.
    """
    from resnet_edge.devices.device_results import keep_device_result
    from resnet_edge.reporting.report_json import report_json
    from resnet_edge.reporting.tables import headline
    from resnet_edge.steps import report as step

    if device is not None:
        keep_device_result(options.layout, device, Terminal(quiet=as_json))
    written = step.report(options, Terminal(quiet=as_json), changes)
    tell_pipeline(written.content, junit, allow_inconclusive=allow_inconclusive)
    if as_json:
        print_json(report_json(written.content))
    else:
        print_summary(written.content)
        if written.content.verdict is not Verdict.PASS:
            print(headline(written.content))
        print(f"report: {written.html}")
    exit_with(written.content.verdict, allow_inconclusive)


def tell_pipeline(content: ReportContent, junit: Path | None, *, allow_inconclusive: bool) -> None:
    """Write what pipelines read: a JUnit file where one is asked for, GitHub's summary there."""
    from resnet_edge.ondevice.files import write_bytes
    from resnet_edge.reporting.junit import render_junit
    from resnet_edge.reporting.step_summary import VARIABLE, append_step_summary

    if junit is not None:
        write_bytes(junit, render_junit(content, allow_inconclusive=allow_inconclusive))
    if summary := os.environ.get(VARIABLE):
        append_step_summary(Path(summary), content)


def print_summary(content: ReportContent) -> None:
    """Print the file to take and what is not proven, the artifacts, and what could not be made."""
    from rich.markup import escape
    from rich.table import Table

    from resnet_edge.reporting.answer import find_answer
    from resnet_edge.reporting.findings import find_findings
    from resnet_edge.reporting.tables import SUMMARY_HEADINGS, summary_rows

    for sentence in find_answer(content).sentences:
        print(sentence)
    for sentence in find_findings(content):
        print(f"Finding: {sentence}")
    table = Table(header_style="bold")
    for index, title in enumerate(SUMMARY_HEADINGS):
        last = index == len(SUMMARY_HEADINGS) - 1
        table.add_column(title, justify="left" if index == 0 or last else "right", no_wrap=not last)
    for row in summary_rows(content):
        *cells, verdict = (escape(cell) for cell in row.cells)
        style = VERDICT_STYLES.get(verdict.split(":")[0].split()[0] if verdict else "")
        table.add_row(*cells, f"[{style}]{verdict}[/]" if style else verdict)
    print_rich_table(table)
    for failure in content.failed:
        print(f"{failure.name} could not be made: {failure.reason}")
