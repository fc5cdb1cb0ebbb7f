"""The answers of one artifact in one runtime, as a stage."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_edge.data.pixel_source import ManyPixels, PixelSource, pixel_source
from resnet_edge.ondevice.array_files import map_array
from resnet_edge.ondevice.files import digest
from resnet_edge.ondevice.formats.sidecar import Artifact, load_artifact
from resnet_edge.ondevice.parity.answer_worker import REPORT_EVERY
from resnet_edge.ondevice.parity.answering import Answers
from resnet_edge.ondevice.runtimes.installed import all_installed
from resnet_edge.ondevice.runtimes.opening import open_runtime
from resnet_edge.ondevice.versions import version_of
from resnet_edge.scale.arrays import join_rows, rows_of
from resnet_edge.scale.running import Computed
from resnet_edge.scale.shared_files import shared_file
from resnet_edge.scale.stage import Made, Make, Stage


@dataclass(frozen=True)
class Question:
    """An artifact, and the runtime that it answers in."""

    artifact: Artifact
    runtime: str | None
    """The runtime's name; None takes the preferred one."""


@dataclass(frozen=True)
class AnswerWork:
    """An artifact that answers pictures with one thread."""

    artifact: Path
    runtime: str | None

    def open(self) -> Make:
        """Load the artifact.

        Raises:
            ResnetEdgeError: It cannot be loaded.
        """
        runtime = open_runtime(load_artifact(shared_file(self.artifact)), 1, self.runtime)

        def make(source: PixelSource) -> Made:
            pixels = source.pixels()
            starts = range(0, len(pixels), REPORT_EVERY)
            answers = [runtime.infer(pixels[start : start + REPORT_EVERY]) for start in starts]
            return Made(rows_of(np.concatenate(answers)), runtime.title)

        return make


def answer_stage(question: Question, pictures: ManyPixels, key: str, cache: Path) -> Stage:
    """Return the stage of an artifact's answers: rows of float32 ``(n, classes)``.

    Args:
        question: The artifact and its runtime.
        pictures: What it answers.
        key: Hash of all that the pixels depend on.
        cache: The build's cache folder.
    """
    artifact, runtime = question.artifact, question.runtime
    packages = [version_of(package) for package in ("numpy", "resnet-edge")]
    return Stage(
        title=artifact.name,
        key=digest(
            artifact.sidecar.sha256,
            runtime,
            all_installed([artifact.sidecar.format], ()),
            packages,
            key,
            len(pictures),
        ),
        work=AnswerWork(artifact.path.resolve(), runtime),
        items=len(pictures),
        job=functools.partial(pixel_source, pictures),
        folder=cache / "answers" / f"{artifact.name}-{runtime or 'preferred'}",
        failures_named=True,
    )


def joined_answers(question: Question, computed: Computed) -> Answers:
    """Put the shards of an artifact's answers together, in a file beside them that is mapped.

    Raises:
        OutputError: The file cannot be written.
    """
    shape = (computed.stage.items, len(question.artifact.sidecar.labels))
    path = computed.stage.folder / "answers.npy"
    join_rows(path, computed.files(), shape, "<f4")
    return Answers(computed.maker, map_array(path))
