"""The worker that converts.

Converters leak memory, print what they like and take global switches; a process of their own keeps
all that away.
"""

from __future__ import annotations

import sys

from resnet_edge.exporting.attempt import attempt
from resnet_edge.exporting.job import ExportPlan, ExportResult
from resnet_edge.exporting.writers import load_writer
from resnet_edge.ondevice.workers.serving import Reporter, serve


def main() -> int:
    """Convert what the plan on standard input says."""
    return serve(ExportPlan, run_plan)


def run_plan(plan: ExportPlan, reporter: Reporter) -> ExportResult:
    """Convert and write every artifact of ``plan``, each with its sidecar.

    An artifact that cannot be made is told of, and the others are made.

    Raises:
        ResnetEdgeError: The model cannot be loaded, or nothing can be written.
    """
    from resnet_edge.exporting.serving_graph import build_graph

    graph = build_graph(plan.jobs[0].inputs)
    for job in plan.jobs:
        with attempt(job.names, reporter):  # what all files of a format are made from
            load_writer(job.format)(job, graph, reporter)
    return ExportResult(tuple(name for job in plan.jobs for name in job.names))


if __name__ == "__main__":
    sys.exit(main())
