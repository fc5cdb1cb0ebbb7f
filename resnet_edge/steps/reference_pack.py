"""The reference made on another machine: the file to run there, and its answers taken back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from resnet_edge.data.decoded import decode_pictures, decoded_path
from resnet_edge.display import Display, Silent
from resnet_edge.errors import ReferenceFileError, UsageError
from resnet_edge.full_precision.compute import Questions
from resnet_edge.full_precision.pack import write_pack
from resnet_edge.model.model_file import ModelKind, model_kind
from resnet_edge.ondevice.array_files import hash_pixels
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.parity.metrics import centred_logits
from resnet_edge.ondevice.reference_file import (
    Reference,
    check_model,
    read_reference,
    write_reference,
)
from resnet_edge.ondevice.row_blocks import row_blocks
from resnet_edge.options import Options
from resnet_edge.steps.model_check import answers_warning
from resnet_edge.steps.one_writer import sole_writer
from resnet_edge.steps.reference_inputs import ReferenceInputs, reference_inputs

_AGAIN = "pack again with `resnet-edge reference --pack` and answer that"


@dataclass(frozen=True)
class Packed:
    """The pack that was written."""

    path: Path
    bytes: int
    sha256: str
    pictures: int


@sole_writer
def pack_reference(
    options: Options, model: Path | None = None, display: Display | None = None
) -> Packed:
    """Write one file that answers the test split on any machine with Keras and a backend.

    Args:
        options: The build, and ``--test`` for a model that was trained elsewhere.
        model: The ``.keras`` classifier; None takes the build folder's own.
        display: Shows the progress.

    Raises:
        UsageError: There are no test pictures.
        ResnetEdgeError: See the subclass for what else was wrong.
    """
    display = display or Silent()
    inputs = reference_inputs(options, model, display)
    if not inputs.test:
        raise UsageError("--pack: no test pictures to answer; pass --test DIR")
    if (kind := model_kind(inputs.model)) is not ModelKind.KERAS:
        raise UsageError(
            f"--pack: {inputs.model} is a {kind.value}; expected a .keras file, which other "
            "machines load; answer here, without --pack"
        )
    cache, fit = options.layout.cache, Fit(inputs.info.fit)
    with display.bar("decoding test pictures") as advance:
        decode_pictures(inputs.test, inputs.size, fit, cache, advance)
    path = options.layout.reference_pack
    display.say(f"packing {path}")
    pixels = decoded_path(inputs.test, inputs.size, fit, cache)
    write_pack(path, inputs.model, inputs.questions, pixels)
    return Packed(path, path.stat().st_size, hash_path(path), len(inputs.test))


@sole_writer
def adopt_reference(
    options: Options, file: Path, model: Path | None = None, display: Display | None = None
) -> Reference:
    """Check the answers of a pack and make them the build's reference.

    Args:
        options: The build.
        file: The ``reference.npz`` that came back.
        model: The ``.keras`` classifier; None takes the build folder's own.
        display: Shows the progress.

    Returns:
        The build's new reference.

    Raises:
        ReferenceFileError: The file is damaged, of another model, of other pictures or labels, was
            not made in proven float32, or its numbers are no probabilities.
    """
    display = display or Silent()
    if not file.exists():
        raise UsageError(
            f"--from: no such file: {file}; expected the reference.npz that a pack wrote"
        )
    reference = read_reference(file)
    inputs = reference_inputs(options, model, display)
    check_model(reference, inputs.questions.model_sha256, str(inputs.model))
    _check_questions(file, reference, inputs.questions)
    _check_answers(file, reference)
    _check_pixels(file, reference, inputs, options, display)
    if warning := answers_warning(reference):
        display.warn(warning)
    adopted = replace(reference, info=replace(reference.info, adopted=True))
    write_reference(options.layout.reference, adopted)
    return adopted


def _check_questions(file: Path, reference: Reference, questions: Questions) -> None:
    info = reference.info
    pictures = (info.pictures, info.hashes, tuple(int(label) for label in reference.classes))
    expected = (questions.pictures, questions.hashes, questions.classes)
    for what, got, wanted in (
        ("preprocessing", info.preprocessing, questions.preprocessing),
        ("classes", info.labels, questions.labels),
    ):
        if got != wanted:
            raise ReferenceFileError(
                f"{file}: {what} {_listed(got)}; expected {_listed(wanted)}; {_AGAIN}"
            )
    if pictures != expected:
        new = len(set(questions.hashes) - set(info.hashes))
        raise ReferenceFileError(
            f"{file}: answers {len(info.hashes)} pictures, which are not the "
            f"{len(questions.hashes)} of the test split in their order ({new} of these are not "
            f"answered); {_AGAIN}"
        )


def _listed(value: str | tuple[str, ...]) -> str:
    if isinstance(value, str):
        return value
    return ", ".join(value[:5]) + (f" and {len(value) - 5} more" if len(value) > 5 else "")


def _check_answers(file: Path, reference: Reference) -> None:
    if not reference.info.float32 or reference.info.dtype != "float32":
        raise ReferenceFileError(
            f"{file}: does not say that its device multiplies in full float32; expected the check "
            f"that a pack makes; {_AGAIN}"
        )
    for _, (answers, logits) in row_blocks(reference.probabilities, reference.logits):
        sums = answers.astype(np.float64).sum(axis=1)  # NaN compares as false
        if not ((answers >= 0).all() and (np.abs(sums - 1) <= 1e-3).all()):
            raise ReferenceFileError(f"{file}: its answers are no probabilities; {_AGAIN}")
        if not np.allclose(logits, centred_logits(answers), atol=1e-9):
            raise ReferenceFileError(
                f"{file}: its logits are not those of its probabilities; {_AGAIN}"
            )


def _check_pixels(
    file: Path, reference: Reference, inputs: ReferenceInputs, options: Options, display: Display
) -> None:
    pixels = inputs.load(options, display)
    if reference.info.pixels_sha256 != hash_pixels(pixels):
        raise ReferenceFileError(
            f"{file}: answers other pixels than these pictures decode to here (another fit, or "
            f"another version of Pillow); {_AGAIN}"
        )
