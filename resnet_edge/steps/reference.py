"""The full-precision model's answers: ``model.keras`` and the test split to ``reference.npz``.

Runs on any Keras backend; TensorFlow is imported only where it is the backend.
"""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass

from resnet_edge.display import Display, Silent
from resnet_edge.errors import ReferenceFileError
from resnet_edge.full_precision.backend import keras_backend
from resnet_edge.full_precision.compute import (
    Measuring,
    OpenNetwork,
    Questions,
    answer_questions,
    open_network,
)
from resnet_edge.ondevice.reference_file import (
    Reference,
    ReferenceInfo,
    read_reference,
    write_reference,
)
from resnet_edge.ondevice.versions import version_of
from resnet_edge.options import Options, StrPath
from resnet_edge.scale.running import Computing
from resnet_edge.steps.corrupted_reference import answer_corrupted
from resnet_edge.steps.model_check import answers_warning
from resnet_edge.steps.one_writer import sole_writer
from resnet_edge.steps.reference_inputs import OWN_PACKAGES, ReferenceInputs, reference_inputs
from resnet_edge.steps.reference_stage import Answering


@dataclass(frozen=True)
class Referenced:
    """The build's reference."""

    reference: Reference
    rebuilt: bool


@sole_writer
def reference(
    options: Options, model: StrPath | None = None, display: Display | None = None
) -> Referenced:
    """Answer the whole test split in full float32 and measure the latency.

    The corruptions that ``options`` names are answered too, into a file each.

    Args:
        options: The build, and ``--test`` for a model that was trained elsewhere.
        model: The ``.keras`` classifier; None takes the build folder's own.
        display: Shows the progress.

    Raises:
        ResnetEdgeError: See the subclass for what was wrong.
    """
    display = display or Silent()
    inputs = reference_inputs(options, model, display)

    @functools.cache
    def network() -> OpenNetwork:  # opened only where there is something to answer
        return open_network(inputs.model, inputs.questions, display)

    answering = Answering(
        network,
        inputs.model,
        inputs.questions,
        options.layout.cache,
        Computing(options.scale.for_models(), display.warn),
        display,
    )
    done = _answer_clean(options, inputs, answering)
    further = answer_corrupted(options, inputs, done.reference.info, _versions(), answering)
    shutil.rmtree(options.layout.cache / "reference", ignore_errors=True)
    return Referenced(done.reference, done.rebuilt or further)


def _answer_clean(
    options: Options,
    inputs: ReferenceInputs,
    answering: Answering,
) -> Referenced:
    display = answering.display
    found = _find_reference(options)
    if found is not None and _is_current(options, inputs.questions, found):
        origin = f" (answered by {found.info.host})" if found.info.adopted else ""
        display.say(f"{options.layout.reference} is up to date{origin}")
        return Referenced(found, rebuilt=False)
    if found is not None and found.info.adopted:
        display.warn(
            f"{options.layout.reference}, answered by {found.info.host}, is of another model or "
            "other pictures; it is made again on this machine"
        )
    reference = answer_questions(
        answering.network(),
        inputs.questions,
        lambda _: inputs.load(options, display),
        Measuring(options.bench.spec, options.bench.batches),
        display,
        lambda pictures: answering.answer(pictures, inputs.pixels_key, "reference answers"),
    )
    if warning := answers_warning(reference):
        display.warn(warning)
    write_reference(options.layout.reference, reference)
    return Referenced(reference, rebuilt=True)


def _find_reference(options: Options) -> Reference | None:
    try:
        return read_reference(options.layout.reference)
    except ReferenceFileError:  # there is none yet, or it is damaged: make it
        return None


def _is_current(options: Options, questions: Questions, reference: Reference) -> bool:
    found, bench = reference.info, options.bench
    if not (found.float32 and _answers_these(found, questions)):
        return False
    if found.adopted:  # another machine made it, with versions and durations of its own
        return True
    return (
        found.versions == _versions()
        and bench.spec.is_met_by(found.latency.samples_s)
        and (bench.batches is None or _has_batches(found, bench.batches))
    )


def _answers_these(info: ReferenceInfo, questions: Questions) -> bool:
    """Return True if a reference is of this model, these labels and these pictures."""
    return (
        info.model_sha256 == questions.model_sha256
        and info.preprocessing == questions.preprocessing
        and (info.fit == questions.fit or (info.adopted and not info.fit))
        and info.labels == questions.labels
        and info.hashes == questions.hashes
        and info.pictures == questions.pictures
    )


def _has_batches(info: ReferenceInfo, batches: tuple[int, ...]) -> bool:
    """Return True if these batch sizes were measured, or as many of them as memory held."""
    measured = tuple(throughput.batch for throughput in info.throughput)
    return measured == batches or bool(
        info.throughput_stopped and measured == batches[: len(measured)]
    )


def _versions() -> dict[str, str]:
    packages = ("keras", keras_backend(), "numpy", *OWN_PACKAGES)
    return {package: version_of(package) for package in packages}
