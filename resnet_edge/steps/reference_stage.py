"""The full-precision model's answers as a stage, for one process or many."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet_edge.data.pixel_source import ManyPixels, PixelSource, pixel_source
from resnet_edge.display import Display, Silent
from resnet_edge.full_precision.backend import set_environment
from resnet_edge.full_precision.compute import (
    OpenNetwork,
    Questions,
    answer_batches,
    open_network,
)
from resnet_edge.ondevice.array_files import map_array
from resnet_edge.ondevice.files import digest
from resnet_edge.scale.arrays import join_rows, rows_of
from resnet_edge.scale.running import Computing, run_stage
from resnet_edge.scale.shared_files import shared_file
from resnet_edge.scale.stage import Made, Make, Stage


@dataclass(frozen=True)
class OpenAnswerWork:
    """A network that is loaded in this process."""

    network: OpenNetwork
    classes: int
    display: Display

    def open(self) -> Make:
        """Return what answers a shard."""
        device = self.network.device
        maker = f"{device.description}, {device.backend}, float32"

        def make(source: PixelSource) -> Made:
            answers = answer_batches(
                self.network.infer, source.pixels(), self.classes, self.display
            )
            return Made(rows_of(answers), maker)

        return make


@dataclass(frozen=True)
class AnswerWork:
    """A network in a file. Each process proves that its device computes in full float32."""

    model: Path
    """``.keras``; absolute, the same on all machines."""
    questions: Questions
    """Without the pictures."""

    def open(self) -> Make:
        """Load the network.

        Raises:
            DataError: The file is not on this machine.
            InferenceError: The device rounds float32 products.
        """
        set_environment()
        network = open_network(shared_file(self.model), self.questions, Silent())
        return OpenAnswerWork(network, len(self.questions.labels), Silent()).open()


@dataclass(frozen=True)
class Answering:
    """How a step lets the model answer many pictures."""

    network: Callable[[], OpenNetwork]
    """Opens the model in this process."""
    model: Path
    questions: Questions
    cache: Path
    """For the shards and the answers, until they are written where they belong."""
    computing: Computing
    display: Display

    def answer(self, pictures: ManyPixels, key: str, title: str) -> npt.NDArray[np.float32]:
        """Answer every picture.

        What an interrupted call had answered is not answered again.

        Args:
            pictures: uint8 ``(n, height, width, 3)``.
            key: Hash of all that the pixels depend on.
            title: Of the progress bar, and of the folder in the cache.

        Returns:
            Probabilities, float32 ``(n, classes)``, mapped from the cache.

        Raises:
            ResnetEdgeError: The model cannot be loaded or run, or nothing can be written.
        """
        questions, folder = self.questions, self.cache / "reference" / title
        stage = Stage(
            title=title,
            key=digest(
                key, self.questions.model_sha256, self.questions.preprocessing, len(pictures)
            ),
            work=self._work(),
            items=len(pictures),
            job=functools.partial(pixel_source, pictures),
            folder=folder,
        )
        with self.display.bar(title) as advance:
            computed = run_stage(stage, self.computing, advance)
        path = folder / "answers.npy"
        join_rows(path, computed.files(), (len(pictures), len(questions.labels)), "<f4")
        found: npt.NDArray[np.float32] = map_array(path)
        return found

    def _work(self) -> OpenAnswerWork | AnswerWork:
        if not self.computing.engine.starters:
            return OpenAnswerWork(self.network(), len(self.questions.labels), self.display)
        nameless = replace(self.questions, pictures=(), hashes=(), classes=())
        return AnswerWork(self.model.absolute(), nameless)
