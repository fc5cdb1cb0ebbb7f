"""Memory and speed of training a head on cached features, from few to more than memory holds.

The features are made up, sorted by class as a folder of photos is: a random point for each class,
and noise. Each row is a process of its own, which maps the files and trains as `finetune` does:
standardization, `FeatureStream`, `run_phase`. Another reads an epoch alone,
and every 256 MB the kernel forgets the file, as where memory does not hold it.
Memory is what Linux calls anonymous (`RssAnon` in /proc/self/status, every 50 ms): pages of mapped
files do not count, since the kernel may drop them.

    python benchmarks/head_training.py --folder /var/tmp

It needs 4 GB of disk in the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_edge.ondevice.array_files import map_array
from resnet_edge.training.shuffled_features import WINDOW_BYTES, ShuffledFeatures

CHUNK = 10_000
BATCH, EPOCHS, SEED = 256, 2, 0
EVERYTHING = 2**60


@dataclass(frozen=True)
class Job:
    """A set of features, and how it is shuffled."""

    pictures: int
    validation: int
    channels: int
    classes: int
    views: int
    window_bytes: int | None
    """None: as `finetune` does."""

    @property
    def words(self) -> str:
        """The job's row."""
        size = self.pictures * self.channels * 4
        windows = size > (self.window_bytes or WINDOW_BYTES)
        views = f" x {self.views} views" if self.views > 1 else ""
        return (
            f"{self.pictures:,} x {self.channels}{views} ({size * self.views / 1e9:.2f} GB), "
            f"{self.classes:,} classes | {'in windows' if windows else 'as one'}"
        )


JOBS = (
    Job(100_000, 50_000, 256, 1_000, 1, None),
    Job(1_000_000, 50_000, 256, 1_000, 1, None),
    Job(1_000_000, 50_000, 256, 1_000, 1, EVERYTHING),
    Job(1_000_000, 50_000, 256, 1_000, 2, None),
    Job(250_000, 50_000, 2048, 1_000, 1, None),
    Job(250_000, 50_000, 2048, 1_000, 1, EVERYTHING),
)


@dataclass(frozen=True)
class Measured:
    """What a process says at its end."""

    before_bytes: int
    """Anonymous memory before any feature is read: Python and TensorFlow."""
    peak_bytes: int
    standardization_s: float
    epochs_s: tuple[float, ...]
    """Validation included."""
    validation_loss: float
    validation_accuracy: float


def anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/status has no RssAnon; this benchmark needs Linux")


class Watch(threading.Thread):
    """Notes the most anonymous memory."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = anonymous_bytes()

    def run(self) -> None:
        """Look until the process ends."""
        while True:
            self.peak = max(self.peak, anonymous_bytes())
            time.sleep(0.05)


def labels_of(count: int, classes: int) -> NDArray[np.int64]:
    return np.arange(count, dtype=np.int64) * classes // count


def write_features(path: Path, count: int, job: Job, seed: int) -> None:
    """Write features ``(count, channels)``, float32, sorted by class."""
    points = np.random.default_rng(SEED).standard_normal((job.classes, job.channels), np.float32)
    labels, generator = labels_of(count, job.classes), np.random.default_rng(seed)
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, job.channels)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, count, CHUNK):
            of_chunk = points[labels[start : start + CHUNK]]
            noise = generator.standard_normal(of_chunk.shape, np.float32)
            file.write((of_chunk + 4 * noise).tobytes())


def drop_from_cache(path: Path) -> None:
    """Let the kernel forget a file, so that it is read from the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read(job: Job, folder: Path) -> float:
    """Read an epoch of features as if memory held 256 MB of their file; return the seconds."""
    paths = [folder / f"view-{number}.npy" for number in range(job.views)]
    views = [map_array(path) for path in paths]
    steps_held = WINDOW_BYTES // (job.channels * 4) // 1024
    started = time.perf_counter()
    features = ShuffledFeatures(views, job.window_bytes or WINDOW_BYTES)
    features.draw(SEED)
    for number, start in enumerate(range(0, job.pictures, 1024), start=1):
        features.read(np.arange(start, min(start + 1024, job.pictures)))
        if number % steps_held == 0:
            for view, path in enumerate(paths):
                views[view] = map_array(path)  # the old map is gone, so its pages can be dropped
                drop_from_cache(path)
    return time.perf_counter() - started


def train(job: Job, folder: Path) -> Measured:
    """Train a head; in a process of its own."""
    import keras

    from resnet_edge.model.resnet50 import add_head
    from resnet_edge.training.checkpoint import Checkpoint, TrainingProgress
    from resnet_edge.training.feature_stream import FeatureStream
    from resnet_edge.training.picture_stream import batches
    from resnet_edge.training.standardization import measure_standardization
    from resnet_edge.training.training_phase import TrainingPhase, run_phase
    from resnet_edge.training.training_settings import TrainingSettings

    keras.utils.set_random_seed(SEED)
    inputs = keras.Input((job.channels,))
    model = keras.Model(inputs, add_head(inputs, job.classes, dropout=0.2))
    before = anonymous_bytes()
    watch = Watch()
    watch.start()
    views = [map_array(folder / f"view-{number}.npy") for number in range(job.views)]
    validation = map_array(folder / "validation.npy")
    started = time.perf_counter()
    standardization = measure_standardization(views, centre=True)
    standardization_s = time.perf_counter() - started
    steps = job.pictures // BATCH
    stream = FeatureStream(
        ShuffledFeatures(views, job.window_bytes or WINDOW_BYTES),
        standardization,
        labels_of(job.pictures, job.classes),
        np.ones(job.classes, np.float32),
        BATCH,
    )
    phase = TrainingPhase(
        name="head",
        model=model,
        epochs=EPOCHS,
        steps=steps,
        learning_rate=3e-4,
        steps_at_once=steps,
        stream=stream,
        validation=batches(
            lambda indices: standardization.apply(validation[indices]),
            validation.shape[1:],
            np.float32,
            np.arange(len(validation)),
            1024,
        ),
        validation_labels=labels_of(job.validation, job.classes),
    )
    progress = TrainingProgress("benchmark", "head", 1, 0, float("inf"), ())
    start, path = Checkpoint(progress, [], [], []), folder / "checkpoint.zip"
    end = run_phase(phase, TrainingSettings(), start, path, None, None)
    history = end.progress.history
    return Measured(
        before,
        watch.peak,
        standardization_s,
        tuple(epoch.seconds for epoch in history),
        history[-1].validation_loss,
        history[-1].validation_accuracy,
    )


def in_child(number: int, folder: Path, what: str) -> Any:  # noqa: ANN401
    """Read or train in another process, the files not in memory; return what it says."""
    for path in folder.glob("*.npy"):
        drop_from_cache(path)
    command = [sys.executable, __file__, "--folder", str(folder), "--job", str(number)]
    child = subprocess.run([*command, "--what", what], capture_output=True, text=True, check=False)
    if child.returncode:
        sys.exit(child.stderr[-3000:])
    return json.loads(child.stdout.splitlines()[-1])


def print_row(number: int, folder: Path) -> None:
    job = JOBS[number]
    for view in range(job.views):
        write_features(folder / f"view-{view}.npy", job.pictures, job, view + 1)
    write_features(folder / "validation.npy", job.validation, job, 0)
    reading_s = in_child(number, folder, "read")
    measured = Measured(**in_child(number, folder, "train"))
    print(
        f"| {job.words} | {measured.before_bytes / 1e6:.0f} MB | "
        f"{measured.peak_bytes / 1e6:.0f} MB | {reading_s:.1f} s | "
        f"{measured.standardization_s:.1f} s | {measured.epochs_s[-1]:.1f} s | "
        f"{job.pictures / measured.epochs_s[-1]:,.0f} | "
        f"{measured.validation_loss:.3f}, {measured.validation_accuracy:.2%} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=None, help="for the features")
    parser.add_argument("--rows", type=int, nargs="+", default=list(range(len(JOBS))))
    parser.add_argument("--job", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--what", choices=("read", "train"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job is not None:
        job = JOBS[options.job]
        if options.what == "read":
            print(json.dumps(read(job, options.folder)))
        else:
            print(json.dumps(asdict(train(job, options.folder))))
        return
    print(
        "| features | shuffled | memory before | most | reading alone, 256 MB of cache | "
        "standardization | second epoch | pictures a second | validation loss, accuracy |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    for number in options.rows:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            print_row(number, Path(folder))


if __name__ == "__main__":
    main()
