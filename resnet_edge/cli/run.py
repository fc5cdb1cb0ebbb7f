"""``resnet-edge run``."""

from __future__ import annotations

from typing import Annotated

from resnet_edge.cli.binding import only
from resnet_edge.cli.console import Json, Terminal, print_json
from resnet_edge.cli.report import JunitFile, print_summary, tell_pipeline
from resnet_edge.cli.verdict import AllowInconclusive, exit_with
from resnet_edge.options import Options


def run(
    options: Annotated[
        Options,
        only("out", "formats", "rewrites", "also_in", "data"),
        only("model.weights", "model.preprocessing"),
        only("training", "calibration", "quantization", "gates", "bench.spec", "bench.threads"),
        only("robustness", "scale"),
    ],
    junit: JunitFile = None,
    allow_inconclusive: AllowInconclusive = False,
    as_json: Json = False,
) -> None:
    """Photos to proven files: finetune, export, reference, parity, bench, report and bundle.

    Steps whose inputs have not changed are not run again; an interrupted run continues. In GitHub
    Actions a short report is appended to the summary of the step.
    """
    from resnet_edge.reporting.report_json import report_json
    from resnet_edge.steps import run as step

    reported = step.run(options, Terminal(quiet=as_json)).report
    content = reported.content
    tell_pipeline(content, junit, allow_inconclusive=allow_inconclusive)
    if as_json:
        print_json(report_json(content))
    else:
        print_summary(content)
        print(f"report: {reported.html}")
    exit_with(content.verdict, allow_inconclusive)
