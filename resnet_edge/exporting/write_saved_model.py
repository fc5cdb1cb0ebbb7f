"""SavedModel folders."""

from __future__ import annotations

import shutil

import tensorflow as tf

from converters.saved_model import export_saved_model
from resnet_edge.errors import FREE_SPACE, OutputError, first_line
from resnet_edge.exporting.finishing import finish
from resnet_edge.exporting.job import ExportJob
from resnet_edge.exporting.serving_graph import ServingGraph
from resnet_edge.ondevice.workers.serving import Reporter


def write_saved_model(job: ExportJob, graph: ServingGraph, reporter: Reporter) -> None:
    """Write the folder into the staging folder.

    Raises:
        OutputError: The folder cannot be written.
    """
    (name,) = job.names
    target = job.inputs.staging / name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        export_saved_model(graph.serving, target, job.inputs.labels)
    except (OSError, tf.errors.OpError) as problem:  # the latter is TensorFlow's own OSError
        shutil.rmtree(job.inputs.staging, ignore_errors=True)
        raise OutputError(
            f"{job.inputs.artifacts / name}: cannot be written ({first_line(problem)}); "
            f"{FREE_SPACE}"
        ) from problem
    finish(job, graph, name, reporter, {})
