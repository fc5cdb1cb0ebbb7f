"""The process that converts: ``python -m resnet_edge.exporting.worker JOB.json``.

Converters leak memory, print what they like and take global switches; a process of their own keeps
all that away.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from resnet_edge.errors import ArtifactError, translate
from resnet_edge.exporting.job import ExportEvent, ExportPlan, Report
from resnet_edge.exporting.serving_graph import build_graph
from resnet_edge.exporting.writers import load_writer
from resnet_edge.ondevice.json_records import read_record, to_json
from resnet_edge.ondevice.workers import leave_with_parent


def main(arguments: list[str]) -> int:
    """Convert what the job file says; report on standard output, one JSON object a line."""
    leave_with_parent()
    sys.stdout.flush()
    # Libraries print to standard output, which here speaks JSON: give them standard error instead.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def report(event: ExportEvent) -> None:
        print(json.dumps(to_json(event)), file=answers)

    try:
        run_plan(read_record(ExportPlan, Path(arguments[0]), ArtifactError), report)
    except Exception as problem:
        report(ExportEvent("", "failed", 0, 0, error=str(translate(problem))))
        return 1
    return 0


def run_plan(plan: ExportPlan, report: Report) -> None:
    """Convert and write every artifact of ``plan``, each with its sidecar, reporting as it goes."""
    graph = build_graph(plan.jobs[0])
    for job in plan.jobs:
        load_writer(job.format)(job, graph, report)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
