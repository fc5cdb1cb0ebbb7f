"""One picture for every artifact, before it is published.

The artifact answers in its real runtime, in a process of its own: a runtime that aborts takes
nothing else with it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resnet_edge.errors import InferenceError, WorkerError
from resnet_edge.exporting.job import ExportInputs
from resnet_edge.ondevice.formats.kinds import Precision, artifact_kind
from resnet_edge.ondevice.formats.sidecar import load_artifact
from resnet_edge.ondevice.parity.answer_worker import AnswerJob, AnswerJobResult
from resnet_edge.ondevice.runtimes.base import REFUSED_ADVICE
from resnet_edge.ondevice.runtimes.kinds import runtimes_for
from resnet_edge.ondevice.workers.calling import run_worker
from resnet_edge.ondevice.workers.process import Crew, module_command

WORKER = module_command("resnet_edge.ondevice.parity.answer_worker")
"""The command that answers the picture of one job."""

TIMEOUT_S = 900.0
"""Seconds that loading a file and one answer may take; int16 kernels on a slow core need minutes
for a large network."""


def try_artifact(inputs: ExportInputs, name: str, crew: Crew | None = None) -> None:
    """Let a staged artifact answer one picture.

    The picture is the first one of the calibration, or else noise.

    Args:
        inputs: The export's; the artifact and its sidecar lie in ``inputs.staging``.
        name: The artifact.
        crew: The workers that the process belongs to.

    Raises:
        InferenceError: The runtime refuses the file, crashes on it, or its answer is not finite.
        RuntimeMissingError: No runtime of the format is installed.
    """
    artifact = load_artifact(inputs.staging / name)
    picture = _write_picture(inputs, name, artifact.sidecar.image_size)
    answers = inputs.staging / f"{name}.answer.npy"
    job = AnswerJob(artifact.path.resolve(), picture.resolve(), answers.resolve(), threads=1)
    try:
        run_worker(*(WORKER, job, AnswerJobResult, name), timeout_s=TIMEOUT_S, crew=crew)
    except WorkerError as problem:
        runtime = runtimes_for(artifact.sidecar.format)[0].name
        reason = str(problem).removeprefix(f"{name}: ")
        raise InferenceError(
            f"{runtime} cannot run the file: asked for one picture, {reason}\n"
            "the file is not published"
        ) from problem
    except InferenceError as problem:
        reason = str(problem).removeprefix(f"{artifact.path.resolve()}: ")
        reason = reason.removesuffix(REFUSED_ADVICE).removesuffix("; export it again")
        raise InferenceError(f"{reason}; the file is not published") from problem
    answer = np.load(answers, allow_pickle=False)
    if not np.isfinite(answer).all():
        raise InferenceError(_not_finite(name, answer))


def _not_finite(name: str, answer: np.ndarray) -> str:
    count, total = int((~np.isfinite(answer)).sum()), answer.size
    reason = ""
    if artifact_kind(name).precision is Precision.FLOAT16:
        reason = "; a value inside exceeds float16's range, 65504, most likely"
    return (
        f"asked for one picture, it answers {count} of {total} probabilities with NaN or "
        f"infinity{reason}; the file is not published"
    )


def _write_picture(inputs: ExportInputs, name: str, size: tuple[int, int]) -> Path:
    """Write the one picture: uint8 ``(1, height, width, 3)``."""
    path = inputs.staging / f"{name}.picture.npy"
    if inputs.integer is not None and inputs.integer.pictures.exists():
        pixels = np.load(inputs.integer.pictures, mmap_mode="r", allow_pickle=False)[:1]
    else:
        pixels = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    np.save(path, pixels, allow_pickle=False)
    return path
