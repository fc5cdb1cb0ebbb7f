"""Computes the full-precision model's answers on this machine's best device.

Needs Keras, one of its backends and NumPy, and nothing else. It runs within ``resnet-edge
reference`` and, from the file that ``reference --pack`` writes, on any other machine.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from resnet_edge.display import Advance, Display
from resnet_edge.errors import ModelError, translate
from resnet_edge.full_precision.backend import Device, use_full_float32
from resnet_edge.full_precision.float32_proof import Float32Check, check_float32
from resnet_edge.full_precision.throughput import (
    CPU_BATCHES,
    GPU_BATCHES,
    ThroughputResult,
    measure_throughput,
)
from resnet_edge.ondevice.array_files import hash_pixels
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.latency.measure import measure
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.machine import peak_memory_bytes
from resnet_edge.ondevice.measurements import Latency
from resnet_edge.ondevice.parity.derived_logits import DerivedLogits
from resnet_edge.ondevice.reference_file import Reference, ReferenceInfo
from resnet_edge.ondevice.versions import version_of

if TYPE_CHECKING:
    import keras

    from resnet_edge.data.pixel_source import ManyPixels
    from resnet_edge.full_precision.inference import Infer

Pixels = npt.NDArray[np.uint8]

BATCHES = (32, 8, 1)
"""Numbers of pictures in a batch; the next one is tried where memory runs out."""


@dataclass(frozen=True)
class Questions:
    """The test pictures with their true classes, and the model that answers them."""

    model_sha256: str
    preprocessing: str
    labels: tuple[str, ...]
    pictures: tuple[str, ...]
    hashes: tuple[str, ...]
    """SHA-256 of the pictures' files."""
    classes: tuple[int, ...]
    """True classes, as indexes into ``labels``."""
    versions: dict[str, str]
    """Versions of resnet-edge and of the packages that decoded the pictures."""
    size: tuple[int, int] | None = None
    """Height and width of the pictures; None takes the only ones that the model takes."""
    fit: str = ""
    """The way the pictures were brought to the input size; empty where it is not known."""


@dataclass(frozen=True)
class Measuring:
    """Settings for the measurement of latency and throughput."""

    spec: LatencySpec
    batches: tuple[int, ...] | None = None
    """Batch sizes of the throughput; None takes those for the kind of device."""


@dataclass(frozen=True)
class OpenNetwork:
    """A network that is ready to answer, on a device that computes in full float32."""

    path: Path
    """The model's file."""
    infer: Infer
    size: tuple[int, int]
    """Height and width of the pictures."""
    device: Device
    float32: str
    """The proof, in words."""
    load_s: float


def answer_questions(
    network: OpenNetwork,
    questions: Questions,
    load_pixels: Callable[[tuple[int, int]], ManyPixels],
    measuring: Measuring,
    display: Display,
    answer: Callable[[ManyPixels], np.ndarray] | None = None,
) -> Reference:
    """Answer every picture and measure the speed.

    Args:
        network: The full-precision model.
        questions: The test pictures.
        load_pixels: Returns uint8 ``(n, height, width, 3)`` for a height and a width.
        measuring: Duration of the measurements, and batch sizes.
        display: Shows the progress.
        answer: Computes the probabilities, float32 ``(n, classes)``; None does it here, all at
            once.

    Raises:
        ModelError: The model answers NaN.
    """
    height, width = network.size
    pixels = load_pixels(network.size)
    probabilities = (answer or _answer_here(network, len(questions.labels), display))(pixels)
    check_finite(network.path, probabilities)
    sample = (pixels[:1] if len(pixels) else np.zeros((1, height, width, 3))).astype(np.float32)
    speed = _measure_speed(network, sample, measuring, display)
    device = network.device
    info = ReferenceInfo(
        model_sha256=questions.model_sha256,
        device=device.description,
        backend=device.backend,
        dtype="float32",
        preprocessing=questions.preprocessing,
        fit=questions.fit,
        labels=questions.labels,
        pictures=questions.pictures,
        hashes=questions.hashes,
        latency=speed.latency,
        versions={**backend_versions(device.backend.split()[0]), **questions.versions},
        details=device.details,
        float32=network.float32,
        throughput=speed.throughput.throughputs,
        throughput_stopped=speed.throughput.stopped,
        pixels_sha256=hash_pixels(pixels),
        host=platform.node() or "unknown",
    )
    return Reference(
        info=info,
        probabilities=probabilities,
        logits=DerivedLogits(probabilities),
        classes=np.array(questions.classes, np.int64),
    )


def _answer_here(
    network: OpenNetwork, classes: int, display: Display
) -> Callable[[ManyPixels], np.ndarray]:
    def answer(pixels: ManyPixels) -> np.ndarray:
        with display.bar("reference answers") as advance:
            return answer_batches(network.infer, pixels[:], classes, display, advance)

    return answer


def open_network(model: Path, questions: Questions, display: Display) -> OpenNetwork:
    """Prove that the device computes in float32, and load the network on it.

    Args:
        model: A ``.keras`` classifier.
        questions: Their size and preprocessing are the network's.
        display: Shows the progress.

    Raises:
        InferenceError: The device rounds float32 products.
        ModelError: The model cannot be loaded, or is no classifier of pictures.
    """
    from resnet_edge.full_precision.inference import compile_answers

    device = use_full_float32()
    if device.warning:
        display.warn(device.warning)
    display.say(f"reference on {device.description}, {device.backend}, float32")
    proof = _prove(device, display)
    started = time.perf_counter()
    serving = _load(model, questions)
    load_s = time.perf_counter() - started
    height, width = (int(side) for side in serving.input_shape[1:3])
    infer = compile_answers(serving)
    return OpenNetwork(model, infer, (height, width), device, proof.words, load_s)


def _load(model: Path, questions: Questions) -> keras.Model:
    """Load a model and put its preprocessing in front."""
    from converters.errors import ConversionError
    from converters.preprocessing import PREPROCESSINGS
    from converters.serving import serving_model
    from resnet_edge.model.classifiers import load_classifier

    try:
        return serving_model(
            load_classifier(model, questions.size), PREPROCESSINGS[questions.preprocessing]
        )
    except ConversionError as problem:
        raise translate(problem) from problem


@dataclass(frozen=True)
class _Speed:
    latency: Latency
    throughput: ThroughputResult


def _measure_speed(
    network: OpenNetwork,
    sample: npt.NDArray[np.float32],
    measuring: Measuring,
    display: Display,
) -> _Speed:
    from resnet_edge.full_precision.inference import is_out_of_memory

    display.say("reference latency")
    infer, device = network.infer, network.device
    timing = measure(infer, sample, measuring.spec)
    name, threads = f"Keras on {device.backend}", available_cores()
    latency = timing.latency(name, threads, network.load_s, peak_memory_bytes())
    display.say("reference throughput")
    batches = measuring.batches or (GPU_BATCHES if device.is_gpu else CPU_BATCHES)
    seconds = measuring.spec.min_seconds
    return _Speed(latency, measure_throughput(infer, sample, batches, seconds, is_out_of_memory))


def backend_versions(backend: str) -> dict[str, str]:
    """Return the versions of Keras, its backend and NumPy."""
    return {name: version_of(name) for name in ("keras", backend, "numpy")}


def answer_batches(
    infer: Infer,
    pixels: Pixels,
    classes: int,
    display: Display,
    advance: Advance = lambda done, total, words="": None,
) -> np.ndarray:
    """Answer every picture, one batch after another.

    Args:
        infer: The network.
        pixels: uint8 ``(n, height, width, 3)``.
        classes: The network's number of classes.
        display: Is warned where memory runs out.
        advance: Shows the progress.

    Returns:
        Probabilities, float32 ``(n, classes)``.
    """
    from resnet_edge.full_precision.inference import is_out_of_memory

    for size in BATCHES:
        try:
            return _predict(infer, pixels, classes, size, advance)
        except Exception as problem:
            if size == BATCHES[-1] or not is_out_of_memory(problem):
                raise
            display.warn(f"memory ran out with {size} pictures at once; trying fewer")
    raise AssertionError("the last size returns or raises")


def check_finite(model: Path, probabilities: np.ndarray) -> None:
    """Refuse answers that are no numbers.

    Raises:
        ModelError: There is NaN or infinity among them.
    """
    if not np.isfinite(probabilities).all():
        raise ModelError(
            f"{model}: answers NaN or infinite probabilities; its weights are damaged or "
            "training diverged; train it again"
        )


def _predict(infer: Infer, pixels: Pixels, classes: int, size: int, advance: Advance) -> np.ndarray:
    answers = np.empty((len(pixels), classes), np.float32)
    for start in range(0, len(pixels), size):
        batch = np.asarray(pixels[start : start + size], np.float32)
        missing = size - len(batch)
        # A last batch of another size would be compiled anew; it is filled up instead.
        filled = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), np.float32)])
        answers[start : start + len(batch)] = infer(filled)[: len(batch)]
        advance(min(start + size, len(pixels)), len(pixels))
    return answers


def _prove(device: Device, display: Display) -> Float32Check:
    from resnet_edge.full_precision.inference import KerasProducts

    proof = check_float32(KerasProducts(), device.description)
    display.say(f"float32 proven: {proof.words}")
    return proof
