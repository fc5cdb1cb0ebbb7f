"""The full-precision model's answers: ``model.keras`` and the test split to ``reference.npz``.

Runs on any Keras backend; TensorFlow is imported only where it is the backend.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_edge.artifacts import hash_path
from resnet_edge.backend import keras_backend, use_full_float32
from resnet_edge.bench_worker import peak_memory_bytes
from resnet_edge.data.calibration import read_calibration
from resnet_edge.data.dataset import Picture, load_dataset
from resnet_edge.data.decoded import decode_pictures
from resnet_edge.data.manifest import read_manifest, write_manifest
from resnet_edge.data.split import Split
from resnet_edge.display import Advance, Display, Silent
from resnet_edge.errors import ModelError, ReferenceFileError, UsageError
from resnet_edge.latency import measure
from resnet_edge.machine import available_cores
from resnet_edge.model.model_file import ModelInfo
from resnet_edge.options import Options
from resnet_edge.parity.metrics import centred_logits
from resnet_edge.pictures import Fit
from resnet_edge.reference_file import Reference, ReferenceInfo, read_reference, write_reference
from resnet_edge.steps.export import describe_model, input_size
from resnet_edge.steps.prepare import check_apart, labels_of
from resnet_edge.steps.stamps import version_of

BATCH = 32


@dataclass(frozen=True)
class Referenced:
    """What ``reference`` left behind."""

    reference: Reference
    rebuilt: bool


def make_reference(
    options: Options, model: Path | None = None, display: Display | None = None
) -> Referenced:
    """Answer the whole test split in full float32 and measure the latency.

    Args:
        options: Where the build is, and ``--test`` for a model that was trained elsewhere.
        model: The ``.keras`` classifier; None takes the build folder's own.
        display: Where progress is shown.

    Raises:
        ResnetEdgeError: See the subclass for what was wrong.
    """
    display = display or Silent()
    source = model or options.layout.model
    info = describe_model(options, source)
    sha256 = hash_path(source)
    test = _test_pictures(options, source, info, display)
    if _is_current(options, sha256, info, test):
        display.say(f"{options.layout.reference} is up to date")
        return Referenced(read_reference(options.layout.reference), rebuilt=False)
    reference = _answer(options, source, sha256, info, test, display)
    write_reference(options.layout.reference, reference)
    return Referenced(reference, rebuilt=True)


def _test_pictures(
    options: Options, source: Path, info: ModelInfo, display: Display
) -> tuple[Picture, ...]:
    """The build's test split; or all of ``--test``, which then becomes the build's; or none."""
    layout = options.layout
    if options.data.test is None:
        if layout.dataset.exists():
            return read_manifest(layout.dataset).split.test
        display.warn("no test pictures: nothing can be checked; pass --test DIR")
        return ()
    with display.bar("checking test pictures") as advance:
        dataset = load_dataset(
            options.data.test,
            layout.cache / "unpacked",
            labels=info.labels,
            skip_unreadable=options.data.skip_unreadable,
            progress=advance,
        )
    if source == layout.model and layout.dataset.exists():
        recorded = read_manifest(layout.dataset).split.test
        if _hashes(recorded) != _hashes(dataset.pictures):
            raise UsageError(
                f"--test: {options.data.test} has other pictures than the test split that {source} "
                "was trained apart from; pass --test to `resnet-edge finetune`"
            )
        return recorded
    if layout.calibration.exists():
        check_apart(read_calibration(layout.calibration, dataset.root), dataset.pictures, "--test")
    split = Split((), (), dataset.pictures)
    write_manifest(layout.dataset, dataset, split, input_size(source), Fit(info.fit))
    return dataset.pictures


def _hashes(pictures: tuple[Picture, ...]) -> list[str]:
    return sorted(picture.sha256 for picture in pictures)


def _is_current(options: Options, sha256: str, info: ModelInfo, test: tuple[Picture, ...]) -> bool:
    try:
        found = read_reference(options.layout.reference).info
    except ReferenceFileError:  # none yet, or damaged: make it
        return False
    return (
        found.model_sha256 == sha256
        and found.preprocessing == info.preprocessing
        and found.labels == info.labels
        and found.hashes == tuple(picture.sha256 for picture in test)
        and found.pictures == tuple(picture.name for picture in test)
        and found.versions == _versions()
        and len(found.latency.samples_s) >= options.bench.spec.min_queries
        and sum(found.latency.samples_s) >= options.bench.spec.min_seconds
    )


def _versions() -> dict[str, str]:
    packages = ("keras", keras_backend(), "numpy", "pillow", "resnet-edge")
    return {package: version_of(package) for package in packages}


def _answer(
    options: Options,
    source: Path,
    sha256: str,
    info: ModelInfo,
    test: tuple[Picture, ...],
    display: Display,
) -> Reference:
    from converters.preprocessing import PREPROCESSINGS
    from converters.serving import serving_model
    from resnet_edge.model.classifiers import load_classifier

    device = use_full_float32()
    display.say(f"reference on {device.description}, {device.backend}, float32")
    started = time.perf_counter()
    serving = serving_model(load_classifier(source), PREPROCESSINGS[info.preprocessing])
    load_s = time.perf_counter() - started
    height, width = (int(side) for side in serving.input_shape[1:3])
    with display.bar("decoding test pictures") as advance:
        pixels = decode_pictures(
            test, (height, width), Fit(info.fit), options.layout.cache, advance
        )
    with display.bar("reference answers") as advance:
        probabilities = _predict(serving, pixels, len(info.labels), advance)
    if not np.isfinite(probabilities).all():
        raise ModelError(
            f"{source}: answers NaN or infinite probabilities; its weights are damaged or training "
            "diverged; train it again"
        )
    sample = (
        np.zeros((1, height, width, 3), np.float32) if not test else pixels[:1].astype(np.float32)
    )
    display.say("reference latency")
    timing = measure(serving.predict_on_batch, sample, options.bench.spec)
    latency = timing.latency(
        f"Keras on {device.backend}", available_cores(), load_s, peak_memory_bytes()
    )
    return Reference(
        info=ReferenceInfo(
            model_sha256=sha256,
            device=device.description,
            backend=device.backend,
            dtype="float32",
            preprocessing=info.preprocessing,
            labels=info.labels,
            pictures=tuple(picture.name for picture in test),
            hashes=tuple(picture.sha256 for picture in test),
            latency=latency,
            versions=_versions(),
        ),
        probabilities=probabilities,
        logits=centred_logits(probabilities),
        classes=labels_of(test),
    )


def _predict(serving, pixels: np.ndarray, classes: int, advance: Advance) -> np.ndarray:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Probabilities, float32 ``(n, classes)``; a batch at a time, so that memory is bounded."""
    answers = np.empty((len(pixels), classes), np.float32)
    for start in range(0, len(pixels), BATCH):
        batch = np.asarray(pixels[start : start + BATCH], np.float32)
        missing = BATCH - len(batch)
        # A last batch of another size would be compiled anew; it is filled up instead.
        filled = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), np.float32)])
        answers[start : start + len(batch)] = serving.predict_on_batch(filled)[: len(batch)]
        advance(min(start + BATCH, len(pixels)), len(pixels))
    return answers
