"""The worker that converts.

Converters leak memory, print what they like and take global switches; a process of their own keeps
all that away.
"""

from __future__ import annotations

import sys

from resnet_edge.exporting.job import ExportEvent, ExportPlan, ExportResult, Report
from resnet_edge.exporting.serving_graph import build_graph
from resnet_edge.exporting.writers import load_writer
from resnet_edge.ondevice.workers.serving import Reporter, serve


def main() -> int:
    """Convert what the plan on standard input says."""
    return serve(ExportPlan, _work)


def _work(plan: ExportPlan, reporter: Reporter) -> ExportResult:
    def report(event: ExportEvent) -> None:
        if event.stage == "warning":
            reporter.warn(event.words)
        elif event.stage == "found":
            reporter.say(event.words)
        elif event.stage == "written":
            reporter.made(event.artifact)
        elif event.total:
            reporter.advance(event.done, event.total, f"{event.stage} {event.words}".strip())

    run_plan(plan, report)
    return ExportResult(tuple(name for job in plan.jobs for name in job.names))


def run_plan(plan: ExportPlan, report: Report) -> None:
    """Convert and write every artifact of ``plan``, each with its sidecar, reporting as it goes."""
    graph = build_graph(plan.jobs[0])
    for job in plan.jobs:
        load_writer(job.format)(job, graph, report)


if __name__ == "__main__":
    sys.exit(main())
