"""The stages that ``scale.py`` measures: each as the product runs it, on the same pictures."""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import resnet_edge
from converters.learning.memory_maps import forget_pages
from resnet_edge.data.dataset import Dataset, load_dataset
from resnet_edge.data.decoded import decode_pictures
from resnet_edge.data.loaded_pixels import load_pixels
from resnet_edge.data.pictures import Pictures, pictures_of
from resnet_edge.data.pixel_stage import PixelFile, write_in_shards
from resnet_edge.display import Silent
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.formats.sidecar import Artifact, load_artifact
from resnet_edge.scale.engine import Engine, EngineKind
from resnet_edge.scale.running import Computing, run_stage

FIT = Fit.CROP
HASHED = 1 << 12
"""Rows that are hashed at once."""


@dataclass(frozen=True)
class Given:
    """What a stage works on."""

    work: Path
    count: int
    """Pictures."""
    cache: Path
    """Empty."""
    computing: Computing

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that the network takes."""
        return size_of(self.work)

    @property
    def data(self) -> Path:
        """The folder of the pictures."""
        return Path((self.work / "data").read_text())

    @property
    def dataset(self) -> Dataset:
        """The pictures."""
        return some(self.data, self.work, self.count)

    @property
    def pixels(self) -> np.memmap:
        """The pictures, decoded; made-up ones where there is a file of them."""
        if (made_up := self.work / "pixels.npy").exists():
            return np.load(made_up, mmap_mode="r")
        return decode_pictures(self.dataset.pictures, self.size, FIT, self.work / "pixels")

    @property
    def model(self) -> Path:
        """The full-precision model."""
        return self.work / "build" / "model.keras"

    @property
    def preprocessing(self) -> str:
        """What the model expects."""
        return artifact_of(self.work).sidecar.preprocessing


Run = Callable[["Clock"], bytes | np.ndarray]
"""Runs a stage, tells the clock how far it is, and returns what it made."""


def prepare(model: Path, preprocessing: str, data: Path, work: Path, count: int) -> None:
    """Export int8.tflite and decode the pictures, unless that was done before."""
    export_int8(model, preprocessing, data, work)
    decode_pictures(some(data, work, count).pictures, size_of(work), FIT, work / "pixels")
    (work / "data").write_text(str(data.resolve()))


def export_int8(model: Path, preprocessing: str, calibration: Path, work: Path) -> None:
    """Export int8.tflite, unless that was done before."""
    build = work / "build"
    if (build / "artifacts" / "int8.tflite.json").exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    labels = model.with_name("labels.txt")
    options = resnet_edge.Options(
        out=build,
        formats=("int8.tflite",),
        calibration=resnet_edge.CalibrationOptions(calibration=calibration),
        model=resnet_edge.ModelOptions(
            labels=labels if labels.exists() else None, preprocessing=preprocessing
        ),
    )
    resnet_edge.export(options, model)
    shutil.copyfile(model, build / "model.keras")


def size_of(work: Path) -> tuple[int, int]:
    """Return height and width of the pictures that the exported file takes."""
    return artifact_of(work).sidecar.image_size


def artifact_of(work: Path) -> Artifact:
    """Return the exported file."""
    return load_artifact(work / "build" / "artifacts" / "int8.tflite")


def some(data: Path, work: Path, count: int) -> Dataset:
    """Load a data set and take some pictures, evenly spread; again and again if it has fewer."""
    dataset = load_dataset(data, work / "checks")
    found = pictures_of(dataset.pictures)
    rows = np.resize(found.rows[:: max(1, len(found) // count)], count)
    return replace(dataset, pictures=Pictures(found.columns, rows))


def engine_of(name: str, address: str = "") -> Engine:
    """Return the engine of a name such as ``here``, ``local2`` or ``ray2``."""
    if name == "here":
        return Engine(EngineKind.LOCAL, 0, 1)
    kind = EngineKind.RAY if name.startswith("ray") else EngineKind.LOCAL
    return Engine(kind, int(name.removeprefix(kind.value)), 1, address)


class Clock:
    """The time until the first shard of a stage, and from there to its end."""

    def __init__(self) -> None:
        self.start_s = self.run_s = 0.0
        self.items = 0
        """Pictures of ``run_s``."""
        self.begin()

    def begin(self) -> None:
        """Begin a stage; what went before is not counted."""
        self._began, self._first, self._done, self._done_first = time.perf_counter(), 0.0, 0, 0

    def __call__(self, done: int, total: int = 0, words: str = "") -> None:
        """Note the first shard, and how far the stage is."""
        self._done = done
        if done and not self._first:
            self._first, self._done_first = time.perf_counter(), done

    def add(self, more: int) -> None:
        """Note that so many more are done."""
        self(self._done + more)

    def end(self) -> None:
        """Count the stage."""
        ended = time.perf_counter()
        first = self._first or ended
        self.start_s += first - self._began
        self.run_s += ended - first
        self.items += self._done - self._done_first
        self.begin()


def measure(stage: str, engine: Engine, work: Path, count: int, name: str) -> dict[str, Any]:
    """Run one stage on an empty cache.

    Returns:
        Seconds until the first shard, seconds of the others, and the hash of the result.
    """
    cache = work / f"cache-{stage}-{name}"
    shutil.rmtree(cache, ignore_errors=True)
    computing = Computing(engine, lambda text: print(text, file=sys.stderr))
    run = RUNS[stage](Given(work, count, cache, computing))
    clock = Clock()
    result = run(clock)
    clock.end()
    sha256 = hash_of(result)
    shutil.rmtree(cache, ignore_errors=True)
    figures = {"start_s": clock.start_s, "run_s": clock.run_s, "items": clock.items}
    return {**figures, "sha256": sha256}


def hash_of(result: bytes | np.ndarray) -> str:
    """Hash a result, which may be a memory map of gigabytes."""
    found = hashlib.sha256()
    for start in range(0, len(result), HASHED):
        block = result[start : start + HASHED]
        found.update(block if isinstance(block, bytes) else np.ascontiguousarray(block).data)
        if isinstance(result, np.ndarray):
            forget_pages(result)
    return found.hexdigest()


def check(given: Given) -> Run:
    """Read, hash and decode every file."""

    def run(clock: Clock) -> bytes:
        found = load_dataset(given.data, given.cache, progress=clock, computing=given.computing)
        clock.end()
        return "\n".join(f"{picture.name} {picture.sha256}" for picture in found.pictures).encode()

    return run


def decoding(given: Given) -> Run:
    """Decode to the network's size."""
    pictures, size, computing = given.dataset.pictures, given.size, given.computing
    return lambda clock: load_pixels(pictures, size, FIT, given.cache, clock, computing=computing)


def features(given: Given) -> Run:
    """Run the frozen backbone."""
    import keras

    from converters.preprocessing import PREPROCESSINGS
    from resnet_edge.training.features import Extractor, compute_features, weights_key
    from resnet_edge.training.labelled_pictures import LabelledPictures

    model = keras.saving.load_model(given.model, compile=False)
    backbone = keras.Model(model.inputs, model.layers[-2].output)
    pixels = given.pixels
    split = LabelledPictures(pixels, np.zeros(len(pixels), np.int64), "benchmark")
    key, plain = weights_key(backbone), PREPROCESSINGS[given.preprocessing]
    extractor = Extractor(backbone, key, plain, 0, given.cache, given.computing)
    return lambda clock: compute_features(extractor, split, 1, clock.add)


def reference(given: Given) -> Run:
    """Answer with the full-precision model."""
    from resnet_edge.full_precision.backend import set_environment
    from resnet_edge.full_precision.compute import Questions, open_network
    from resnet_edge.steps.reference_stage import Answering

    set_environment()
    labels = artifact_of(given.work).sidecar.labels
    questions = Questions("model", given.preprocessing, labels, (), (), (), {}, size=given.size)
    answering = Answering(
        lambda: open_network(given.model, questions, Silent()),
        given.model,
        questions,
        given.cache,
        given.computing,
        Ticking(),
    )

    pixels = given.pixels

    def run(clock: Clock) -> np.ndarray:
        answering.display.clock = clock
        return answering.answer(pixels, "benchmark", "reference answers")

    return run


class Ticking(Silent):
    """A display whose bar is a clock."""

    clock: Clock

    def bar(self, title: str) -> AbstractContextManager[Callable[..., None]]:
        """Show nothing, and tell the clock."""
        return nullcontext(self.clock)


def answers(given: Given) -> Run:
    """Answer with int8.tflite."""
    from resnet_edge.steps.answer_stage import Question, answer_stage, joined_answers

    question = Question(artifact_of(given.work), None)
    stage = answer_stage(question, given.pixels, "benchmark", given.cache)

    def run(clock: Clock) -> np.ndarray:
        computed = run_stage(stage, given.computing, clock)
        return joined_answers(question, computed).probabilities

    return run


def corruption(given: Given) -> Run:
    """Compress pictures as JPEG of low quality."""
    from resnet_edge.robustness.corrupted_source import CorruptedStream
    from resnet_edge.robustness.corruptions import Corruption

    pixels = given.pixels
    hashes = [f"{number:064x}" for number in range(len(pixels))]
    source = CorruptedStream(pixels, hashes, Corruption.JPEG).source
    path = given.cache / "corrupted.npy"
    given.cache.mkdir(parents=True)
    file = PixelFile(path, pixels.shape, "benchmark", "pictures under jpeg")

    def run(clock: Clock) -> np.ndarray:
        write_in_shards(file, source, given.computing, clock)
        return np.load(path, mmap_mode="r")

    return run


def calibration(given: Given) -> Run:
    """Pass over the pictures for ranges, biases and features of an integer file."""
    import keras

    from converters.preprocessing import PREPROCESSINGS
    from converters.quantization.calibrated_file import save_calibrated
    from converters.quantization.calibration import calibrate
    from converters.quantization.picture_pass import Advance, Arrays, PicturePass
    from converters.quantization.settings import QuantizationSettings
    from converters.serving import serving_model
    from converters.tflite.conversion import convert_float32
    from resnet_edge.exporting.calibration_stage import SpreadPasses

    model = keras.saving.load_model(given.model, compile=False)
    float32 = convert_float32(serving_model(model, PREPROCESSINGS[given.preprocessing]))
    pixels = given.pixels
    spread = SpreadPasses(Path(pixels.filename), pixels, given.cache, given.computing)

    def run(clock: Clock) -> bytes:
        def timed(
            work: PicturePass,
            pictures: np.ndarray,
            parts: Sequence[np.ndarray],
            advance: Advance,
        ) -> list[Arrays]:
            def count(more: int) -> None:
                clock.add(more)
                advance(more)

            clock.begin()
            found = spread(work, pictures, parts, count)
            clock.end()
            return found

        calibrated = calibrate(float32, pixels, QuantizationSettings(), spread=timed)
        clock.begin()
        given.cache.mkdir(parents=True, exist_ok=True)
        save_calibrated(given.cache / "calibrated.npz", float32, calibrated)
        return (given.cache / "calibrated.npz").read_bytes()

    return run


RUNS = {
    "check": check,
    "decoding": decoding,
    "features": features,
    "reference": reference,
    "answers": answers,
    "corruption": corruption,
    "calibration": calibration,
}
