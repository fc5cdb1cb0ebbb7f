"""Estimates of the time that the steps of a run take here, before they have run once.

The training has measured the time of a picture. Process starts and files, which do not depend on
pictures, count with times of the benchmark machine (``docs/benchmarks.md``).
"""

from __future__ import annotations

import math

from converters.learning.schedule import BATCH, batch_size
from converters.quantization.learning_steps import DISTILLING_STEPS, FEWEST_STEPS, training_steps
from converters.quantization.settings import Level
from resnet_edge.data.manifest import read_manifest
from resnet_edge.errors import ResnetEdgeError
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.json_records import read_record
from resnet_edge.ondevice.latency.bench import default_threads
from resnet_edge.options import CALIBRATION_COUNT, Options
from resnet_edge.training.training_record import TrainingRecord

START_S = 6.0
"""Start of a process with TensorFlow and a network in it."""
RUNTIME_START_S = 1.5
"""Start of a process with a small runtime, and its warm-up."""
FILE_S = 3.0
"""Making one file, of ResNet50."""
WRITING_S = 3.0
"""The report, or the bundle."""
PASSES = 3
"""Cost of a training step in forward passes: one forward, and one backward as long as two."""
EXPORT_PASSES = 10
"""Forward passes of a calibration picture while the quantized files are made and checked."""
LEARNING_START_S = 70.0
"""What comes before the steps of a quantization that learns, for ResNet50 at 64x64."""
LEARNING_STEP_S = 0.5
"""One of these steps, of 32 such pictures."""


def estimate_steps(options: Options) -> dict[str, float]:
    """Return the seconds of each step after training, where there is a training to go by.

    Without one, as with a frozen backbone whose features were cached, pictures count nothing.
    """
    pass_s = _picture_s(options)
    tested = _test_pictures(options) * (1 + len(options.robustness.chosen))
    files = len(options.formats_to_make)
    seconds, threads = options.bench.spec.min_seconds, options.bench.threads or default_threads()
    calibrated = options.calibration.calibration_count or CALIBRATION_COUNT
    return {
        "export": START_S
        + FILE_S * files
        + calibrated * EXPORT_PASSES * pass_s
        + _learning_s(options),
        "reference": START_S + tested * pass_s + 4 * seconds,
        "parity": (RUNTIME_START_S + tested * pass_s) * files,
        "bench": (RUNTIME_START_S + seconds) * files * len(threads),
        "report": WRITING_S,
        "bundle": WRITING_S,
    }


def _learning_s(options: Options) -> float:
    """Seconds that the quantization learns, 0 where it does not."""
    level = options.quantization.level
    if not level.learns or not any(artifact_kind(n).calibrated for n in options.formats_to_make):
        return 0.0
    try:
        manifest = read_manifest(options.layout.dataset)
    except ResnetEdgeError:  # not split yet
        return LEARNING_START_S + LEARNING_STEP_S * FEWEST_STEPS
    size, pictures = batch_size(*manifest.size), len(manifest.split.train)
    if options.calibration.calibration is not None:
        pictures = options.calibration.calibration_count or CALIBRATION_COUNT
    steps = DISTILLING_STEPS if level is Level.DISTILLED else training_steps(pictures, size)
    # Smaller pictures hardly make a step faster: rounding the weights takes as long.
    larger = max(1.0, size * math.prod(manifest.size) / (BATCH * 64 * 64))
    return (LEARNING_START_S + LEARNING_STEP_S * steps) * larger


def _picture_s(options: Options) -> float:
    """Seconds of one picture's forward pass, 0 where unknown."""
    try:
        record = read_record(TrainingRecord, options.layout.training, ResnetEdgeError)
    except ResnetEdgeError:  # not trained yet
        return 0.0
    epochs = [epoch.seconds for epoch in record.history if epoch.phase != "head"]
    pictures = PASSES * record.train_pictures + record.validation_pictures
    return min(epochs) / pictures if epochs else 0.0


def _test_pictures(options: Options) -> int:
    try:
        return len(read_manifest(options.layout.dataset).split.test)
    except ResnetEdgeError:  # not split yet
        return 0
