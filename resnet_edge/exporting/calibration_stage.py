"""Passes over the calibration pictures as stages, for processes of this machine or of many."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from converters.quantization.picture_pass import (
    Advance,
    Arrays,
    Batch,
    PicturePass,
    cut,
    merge_parts,
    run_here,
)
from resnet_edge.data.pixel_source import GivenPixels, PixelSource
from resnet_edge.errors import WorkerError
from resnet_edge.ondevice.array_files import map_array
from resnet_edge.ondevice.files import digest, write_bytes
from resnet_edge.ondevice.pictures import Pixels
from resnet_edge.ondevice.versions import version_of
from resnet_edge.scale.running import Computing, run_stage
from resnet_edge.scale.shared_files import shared_file
from resnet_edge.scale.stage import Made, Make, Stage

LEAST_PIXELS = 500 * 64 * 64
"""Passes over fewer pixels run in this process: others take as long to load TensorFlow."""

SHARD = 32
"""Pictures of a shard, or those of one batch where it has more."""

_PACKAGES = ("resnet-edge", "numpy", "tensorflow", "ai-edge-litert")


@dataclass(frozen=True)
class ChosenPixels:
    """Some pictures of a file of decoded ones; a ``PixelSource``."""

    path: Path
    """``.npy``, uint8 ``(all, height, width, 3)``; absolute."""
    places: npt.NDArray[np.integer]

    def pixels(self) -> Pixels:
        """Return the pictures in the order of their places: uint8 ``(n, height, width, 3)``."""
        found: Pixels = np.asarray(map_array(shared_file(self.path))[self.places])
        return found


@dataclass(frozen=True)
class PassJob:
    """The batches of one shard."""

    source: PixelSource
    """Their pictures, one batch after the other."""
    batches: tuple[tuple[int, int], ...]
    """For each batch the number of its part, and how many pictures it has."""


@dataclass(frozen=True)
class PassWork:
    """A pass in a file: the weights of a network are too large for a line."""

    path: Path
    """A pickled ``PicturePass``; absolute, the same on all machines."""
    sha256: str
    """Of the file, so that no other one is opened."""

    def open(self) -> Make:
        """Load the pass.

        Raises:
            DataError: The file is not on this machine.
            WorkerError: It is another one.
        """
        data = shared_file(self.path).read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise WorkerError(
                f"{self.path}: hash {found[:16]}; expected {self.sha256[:16]}, as the export wrote "
                "it; share one build folder, and let one export run in it at a time"
            )
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # as in the process of the export
        work: PicturePass = pickle.loads(data)
        measure = work.open()
        maker = ", ".join(f"{name} {version_of(name)}" for name in _PACKAGES)

        def make(job: PassJob) -> Made:
            pixels = job.source.pixels()

            def measured() -> Iterator[tuple[int, Arrays]]:
                start = 0
                for part, count in job.batches:
                    yield part, measure(pixels[start : start + count])
                    start += count

            return Made(_payload(merge_parts(work, measured())), maker)

        return make


@dataclass(frozen=True, eq=False)
class SpreadPasses:
    """Spreads the passes of a calibration; a ``converters.quantization.picture_pass.Spread``."""

    path: Path
    """The file of the decoded calibration pictures, which is named by a hash of them."""
    pictures: Pixels
    """The same, mapped. Other pictures are sent along."""
    cache: Path
    """For the pass and its shards; on disk until the pass is merged."""
    computing: Computing
    least_pixels: int = LEAST_PIXELS

    def __call__(
        self,
        work: PicturePass,
        pictures: Pixels,
        parts: Sequence[npt.NDArray[np.integer]],
        advance: Advance,
    ) -> list[Arrays]:
        """Run a pass; see ``Spread``.

        Raises:
            ResnetEdgeError: A batch cannot be measured, or nothing can be written.
        """
        count = sum(map(len, parts))
        pixels = count * int(np.prod(pictures.shape[1:3]))
        if not self.computing.engine.starters or pixels < self.least_pixels:
            return run_here(work, pictures, parts, advance)
        file = (self.cache / "calibration" / f"{work.title}.pass").absolute()
        data = pickle.dumps(work)
        write_bytes(file, data, durable=False)
        try:
            opened = PassWork(file, hashlib.sha256(data).hexdigest())
            return self._run(opened, work, pictures, cut(parts, work.batch), _Steps(count, advance))
        finally:
            file.unlink(missing_ok=True)

    def _run(
        self,
        opened: PassWork,
        work: PicturePass,
        pictures: Pixels,
        batches: list[Batch],
        steps: _Steps,
    ) -> list[Arrays]:
        path = self.path.absolute() if pictures is self.pictures else None
        seen = str(path) if path else hashlib.sha256(pictures.tobytes()).hexdigest()
        cuts = [(batch.part, batch.places.tolist()) for batch in batches]
        versions = [version_of(name) for name in _PACKAGES]
        stage = Stage(
            title=f"calibration: {work.title}, batches of {work.batch}",
            key=digest(opened.sha256, seen, cuts, versions),
            work=opened,
            items=len(batches),
            job=functools.partial(_job, batches, pictures, path),
            folder=self.cache / "calibration" / work.title,
            shard=max(1, SHARD // work.batch),
        )
        computed = run_stage(stage, self.computing, steps.show)
        shards = (part for file in computed.files() for part in _parts(file.read_bytes()))
        merged = merge_parts(work, shards)
        computed.finished.remove()
        return list(merged.values())


@dataclass
class _Steps:
    """Turns shares of the batches into numbers of pictures."""

    pictures: int
    advance: Advance
    shown: int = 0

    def show(self, done: int, total: int) -> None:
        reached = self.pictures * done // total
        if reached > self.shown:
            self.advance(reached - self.shown)
            self.shown = reached


def _job(
    batches: list[Batch], pictures: Pixels, path: Path | None, start: int, stop: int
) -> PassJob:
    chosen = batches[start:stop]
    places = np.concatenate([batch.places for batch in chosen])
    source = GivenPixels(pictures[places]) if path is None else ChosenPixels(path, places)
    return PassJob(source, tuple((batch.part, len(batch.places)) for batch in chosen))


def _payload(parts: dict[int, Arrays]) -> bytes:
    file = io.BytesIO()
    arrays = {
        f"{part}/{place}": array
        for part, found in parts.items()
        for place, array in enumerate(found)
    }
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _parts(payload: bytes) -> Iterator[tuple[int, Arrays]]:
    """Yield the statistics of every part of a shard."""
    found: dict[int, list[npt.NDArray[np.generic]]] = {}
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        for name in arrays.files:
            found.setdefault(int(name.partition("/")[0]), []).append(arrays[name])
    for part, statistics in found.items():
        yield part, tuple(statistics)
