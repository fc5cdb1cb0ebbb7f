"""The full-precision model's answers: ``model.keras`` and the test split to ``reference.npz``.

Runs on any Keras backend; TensorFlow is imported only where it is the backend.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data.calibration import read_calibration
from resnet_edge.data.dataset import Picture, load_dataset
from resnet_edge.data.decoded import decode_pictures
from resnet_edge.data.manifest import read_manifest, write_manifest
from resnet_edge.data.split import Split
from resnet_edge.display import Display, Silent
from resnet_edge.errors import ReferenceFileError, UsageError
from resnet_edge.full_precision.backend import keras_backend, set_environment
from resnet_edge.full_precision.compute import Measuring, Pixels, Questions, answer_questions
from resnet_edge.model.model_file import ModelInfo
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.reference_file import (
    Reference,
    ReferenceInfo,
    read_reference,
    write_reference,
)
from resnet_edge.ondevice.versions import version_of
from resnet_edge.options import Options, StrPath
from resnet_edge.steps.choose_pictures import check_apart
from resnet_edge.steps.export import describe_model, input_size

_OURS = ("pillow", "resnet-edge")
"""What decides the pixels, and what asks."""


@dataclass(frozen=True)
class Asked:
    """A model with everything that a reference of it depends on, save the machine."""

    model: Path
    info: ModelInfo
    test: tuple[Picture, ...]
    questions: Questions

    def decode(self, size: tuple[int, int], cache: Path, display: Display) -> Pixels:
        """Pixels of the test pictures, uint8 ``(n, height, width, 3)``."""
        with display.bar("decoding test pictures") as advance:
            return decode_pictures(self.test, size, Fit(self.info.fit), cache, advance)


@dataclass(frozen=True)
class Referenced:
    """What ``reference`` left behind."""

    reference: Reference
    rebuilt: bool


def reference(
    options: Options, model: StrPath | None = None, display: Display | None = None
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
    asked = ask(options, model, display)
    found = _find_reference(options)
    if found is not None and _is_current(options, asked.questions, found):
        origin = f" (answered by {found.info.host})" if found.info.adopted else ""
        display.say(f"{options.layout.reference} is up to date{origin}")
        return Referenced(found, rebuilt=False)
    if found is not None and found.info.adopted:
        display.warn(
            f"{options.layout.reference}, answered by {found.info.host}, is of another model or "
            "other pictures; it is made again on this machine"
        )
    reference = answer_questions(
        asked.model,
        asked.questions,
        lambda size: asked.decode(size, options.layout.cache, display),
        Measuring(options.bench.spec, options.bench.batches),
        display,
    )
    write_reference(options.layout.reference, reference)
    return Referenced(reference, rebuilt=True)


def ask(options: Options, model: StrPath | None, display: Display) -> Asked:
    """Find the model and the test pictures, and what the model expects.

    Raises:
        ResnetEdgeError: See the subclass for what was wrong.
    """
    set_environment()
    source = Path(model or options.layout.model)
    info = describe_model(options, source)
    sha256 = hash_path(source)
    test = _test_pictures(options, source, info, display)
    questions = Questions(
        model_sha256=sha256,
        preprocessing=info.preprocessing,
        labels=info.labels,
        pictures=tuple(picture.name for picture in test),
        hashes=tuple(picture.sha256 for picture in test),
        classes=tuple(picture.label for picture in test),
        versions={package: version_of(package) for package in _OURS},
    )
    return Asked(source, info, test, questions)


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


def _find_reference(options: Options) -> Reference | None:
    try:
        return read_reference(options.layout.reference)
    except ReferenceFileError:  # none yet, or damaged: make it
        return None


def _is_current(options: Options, questions: Questions, reference: Reference) -> bool:
    found, bench = reference.info, options.bench
    if not (found.float32 and answers_these(found, questions)):
        return False
    if found.adopted:  # its machine is another, with other versions, and measured as it was told
        return True
    return (
        found.versions == _versions()
        and len(found.latency.samples_s) >= bench.spec.min_queries
        and sum(found.latency.samples_s) >= bench.spec.min_seconds
        and (bench.batches is None or _has_batches(found, bench.batches))
    )


def answers_these(info: ReferenceInfo, questions: Questions) -> bool:
    """Whether a reference is of this model, these labels and these pictures."""
    return (
        info.model_sha256 == questions.model_sha256
        and info.preprocessing == questions.preprocessing
        and info.labels == questions.labels
        and info.hashes == questions.hashes
        and info.pictures == questions.pictures
    )


def _has_batches(info: ReferenceInfo, batches: tuple[int, ...]) -> bool:
    """Whether these batch sizes were measured, or as many of them as the memory held."""
    measured = tuple(throughput.batch for throughput in info.throughput)
    return measured == batches or bool(
        info.throughput_stopped and measured == batches[: len(measured)]
    )


def _versions() -> dict[str, str]:
    packages = ("keras", keras_backend(), "numpy", *_OURS)
    return {package: version_of(package) for package in packages}
