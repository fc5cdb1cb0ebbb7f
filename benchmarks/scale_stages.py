"""The stages that ``scale.py`` measures: each as the product runs it, on the same pictures."""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import resnet_edge
from resnet_edge.data.dataset import Dataset, load_dataset
from resnet_edge.data.decoded import decode_pictures
from resnet_edge.data.loaded_pixels import load_pixels
from resnet_edge.display import Silent
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.formats.sidecar import load_artifact
from resnet_edge.scale.engine import Engine, EngineKind
from resnet_edge.scale.running import Computing, run_stage

FIT = Fit.CROP


@dataclass(frozen=True)
class Given:
    """What a stage works on."""

    dataset: Dataset
    work: Path
    cache: Path
    """Empty."""
    computing: Computing

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that the network takes."""
        return size_of(self.work)

    @property
    def pixels(self) -> np.ndarray:
        """The pictures, decoded."""
        return decode_pictures(self.dataset.pictures, self.size, FIT, self.work / "pixels")

    @property
    def model(self) -> Path:
        """The full-precision model."""
        return self.work / "build" / "model.keras"


Run = Callable[[Callable[..., None]], Any]
"""Runs a stage, tells it how far it is, and returns what it made, as an array or text."""


def prepare(model: Path, preprocessing: str, data: Path, work: Path, count: int) -> None:
    """Export int8.tflite and decode the pictures, unless that was done before."""
    build = work / "build"
    if not (build / "artifacts" / "int8.tflite.json").exists():
        work.mkdir(parents=True, exist_ok=True)
        labels = model.with_name("labels.txt")
        options = resnet_edge.Options(
            out=build,
            formats=("int8.tflite",),
            calibration=resnet_edge.CalibrationOptions(calibration=data),
            model=resnet_edge.ModelOptions(
                labels=labels if labels.exists() else None, preprocessing=preprocessing
            ),
        )
        resnet_edge.export(options, model)
        shutil.copyfile(model, build / "model.keras")
    decode_pictures(some(data, work, count).pictures, size_of(work), FIT, work / "pixels")
    (work / "data").write_text(str(data.resolve()))


def size_of(work: Path) -> tuple[int, int]:
    """Return height and width of the pictures that the exported file takes."""
    return load_artifact(work / "build" / "artifacts" / "int8.tflite").sidecar.image_size


def some(data: Path, work: Path, count: int) -> Dataset:
    """Load a data set and take some pictures, evenly spread."""
    dataset = load_dataset(data, work / "checks")
    step = max(1, len(dataset.pictures) // count)
    return replace(dataset, pictures=dataset.pictures[::step][:count])


def engine_of(name: str, address: str = "") -> Engine:
    """Return the engine of a name such as ``here``, ``local2`` or ``ray2``."""
    if name == "here":
        return Engine(EngineKind.LOCAL, 0, 1)
    kind = EngineKind.RAY if name.startswith("ray") else EngineKind.LOCAL
    return Engine(kind, int(name.removeprefix(kind.value)), 1, address)


class Clock:
    """The time of the start and of the first finished shard."""

    def __init__(self) -> None:
        self.began, self.first = time.perf_counter(), 0.0
        self.items = self.items_first = 0

    def __call__(self, done: int, total: int = 0, words: str = "") -> None:
        """Note the first shard, and how far the stage is."""
        self.items = done
        if done and not self.first:
            self.first, self.items_first = time.perf_counter(), done


def measure(stage: str, engine: Engine, work: Path, count: int, name: str) -> dict[str, Any]:
    """Run one stage on an empty cache.

    Returns:
        Seconds until the first shard, seconds of the others, and the hash of the result.
    """
    cache = work / f"cache-{stage}-{name}"
    shutil.rmtree(cache, ignore_errors=True)
    dataset = some(Path((work / "data").read_text()), work, count)
    computing = Computing(engine, lambda text: print(text, file=sys.stderr))
    run = RUNS[stage](Given(dataset, work, cache, computing))
    clock = Clock()
    result = run(clock)
    ended = time.perf_counter()
    first = clock.first or ended
    content = result.encode() if isinstance(result, str) else np.ascontiguousarray(result).tobytes()
    shutil.rmtree(cache, ignore_errors=True)
    sha256 = hashlib.sha256(content).hexdigest()
    return {
        "start_s": first - clock.began,
        "run_s": ended - first,
        "items": clock.items - clock.items_first,
        "sha256": sha256,
    }


def check(given: Given) -> Run:
    """Read, hash and decode every file."""
    source = given.dataset.root

    def run(clock: Callable[..., None]) -> str:
        found = load_dataset(source, given.cache, progress=clock, computing=given.computing)
        return "\n".join(f"{picture.name} {picture.sha256}" for picture in found.pictures)

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
    labels = np.array([picture.label for picture in given.dataset.pictures], np.int64)
    split = LabelledPictures(given.pixels, labels, "benchmark")
    key, plain = weights_key(backbone), PREPROCESSINGS["caffe"]
    extractor = Extractor(backbone, key, plain, 0, given.cache, given.computing)
    return lambda clock: compute_features(extractor, split, 1, clock)


def reference(given: Given) -> Run:
    """Answer with the full-precision model."""
    from resnet_edge.full_precision.backend import set_environment
    from resnet_edge.full_precision.compute import Questions, open_network
    from resnet_edge.model.model_file import read_model_info
    from resnet_edge.steps.reference_stage import Answering

    set_environment()
    info = read_model_info(given.model)
    labels = tuple(map(str, range(16))) if info is None else info.labels
    preprocessing = "unit" if info is None else info.preprocessing
    questions = Questions("model", preprocessing, labels, (), (), (), {}, size=given.size)
    answering = Answering(
        lambda: open_network(given.model, questions, Silent()),
        given.model,
        questions,
        given.cache,
        given.computing,
        Ticking(),
    )

    def run(clock: Callable[..., None]) -> np.ndarray:
        answering.display.clock = clock
        return answering.answer(given.pixels, "benchmark", "reference answers")

    return run


class Ticking(Silent):
    """A display whose bar is a clock."""

    clock: Callable[..., None]

    def bar(self, title: str) -> AbstractContextManager[Callable[..., None]]:
        """Show nothing, and tell the clock."""
        return nullcontext(self.clock)


def answers(given: Given) -> Run:
    """Answer with int8.tflite."""
    from resnet_edge.steps.answer_stage import Question, answer_stage, joined_answers

    artifact = load_artifact(given.work / "build" / "artifacts" / "int8.tflite")
    question = Question(artifact, None)
    stage = answer_stage(question, given.pixels, "benchmark", given.cache)

    def run(clock: Callable[..., None]) -> np.ndarray:
        computed = run_stage(stage, given.computing, clock)
        return np.array(joined_answers(question, computed).probabilities)

    return run


def corruption(given: Given) -> Run:
    """Compress pictures as JPEG of low quality."""
    from resnet_edge.robustness.corruptions import Corruption
    from resnet_edge.robustness.pixel_file import corrupted_pixels

    pixels, hashes = given.pixels, [picture.sha256 for picture in given.dataset.pictures]
    given.cache.mkdir(parents=True)

    def run(clock: Callable[..., None]) -> np.ndarray:
        corrupted = corrupted_pixels(pixels, hashes, Corruption.JPEG, given.cache, given.computing)
        with corrupted as found:
            clock(1)
            return np.array(found)

    return run


RUNS = {
    "check": check,
    "decoding": decoding,
    "features": features,
    "reference": reference,
    "answers": answers,
    "corruption": corruption,
}
