"""SavedModel folders."""

from __future__ import annotations

import shutil

import tensorflow as tf

from converters.saved_model import export_saved_model
from resnet_edge.errors import FREE_SPACE, OutputError, first_line
from resnet_edge.exporting.finishing import finish
from resnet_edge.exporting.job import ExportJob
from resnet_edge.exporting.serving_graph import ServingGraph
from resnet_edge.ondevice.formats.sidecar import sidecar_path
from resnet_edge.ondevice.workers.serving import Reporter


def write_saved_model(job: ExportJob, graph: ServingGraph, reporter: Reporter) -> None:
    """Write the folder beside its place, then rename it.

    Raises:
        OutputError: The folder cannot be written.
    """
    (name,) = job.names
    beside = job.inputs.artifacts / f".{name}.part"
    shutil.rmtree(beside, ignore_errors=True)
    job.inputs.artifacts.mkdir(parents=True, exist_ok=True)
    target = job.inputs.artifacts / name
    try:
        export_saved_model(graph.serving, beside, job.inputs.labels)
    except (OSError, tf.errors.OpError) as problem:  # the latter is TensorFlow's own OSError
        shutil.rmtree(beside, ignore_errors=True)
        raise OutputError(
            f"{target}: cannot be written ({first_line(problem)}); {FREE_SPACE}"
        ) from problem
    sidecar_path(target).unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)
    finish(job, graph, name, reporter, {})
