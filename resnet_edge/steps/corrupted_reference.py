"""The full-precision model's answers to corrupted test pictures: ``reference-dark.npz`` and others.

A part of the step ``reference``, with ``--corruptions``.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator

from resnet_edge.errors import ReferenceFileError
from resnet_edge.full_precision.compute import check_finite
from resnet_edge.ondevice.array_files import hash_pixels
from resnet_edge.ondevice.files import digest
from resnet_edge.ondevice.reference_file import ReferenceInfo
from resnet_edge.options import Options
from resnet_edge.robustness.corrupting import METHOD
from resnet_edge.robustness.corruptions import Corruption
from resnet_edge.robustness.pixel_file import corrupted_pixels
from resnet_edge.robustness.reference_answers import (
    CorruptedAnswers,
    CorruptedInfo,
    differences,
    read_answers,
    write_answers,
)
from resnet_edge.scale.running import Computing
from resnet_edge.steps.reference_inputs import ReferenceInputs
from resnet_edge.steps.reference_stage import Answering


def answer_corrupted(
    options: Options,
    inputs: ReferenceInputs,
    reference: ReferenceInfo,
    versions: dict[str, str],
    answering: Answering,
) -> bool:
    """Answer the test split under each corruption that has no current answers yet.

    Args:
        options: The build and the corruptions.
        inputs: The model and its test pictures.
        reference: The reference that the answers stand beside.
        versions: Packages that answers depend on, here and now.
        answering: How the model answers.

    Returns:
        True if there was something to answer.

    Raises:
        ResnetEdgeError: See the subclass for what was wrong.
    """
    layout, chosen, display = options.layout, options.robustness.chosen, answering.display
    missing = [
        corruption
        for corruption in chosen
        if not _is_current(options, corruption, reference, versions)
    ]
    if not inputs.test or not missing:
        for corruption in chosen if inputs.test else ():
            display.say(f"{layout.reference_under(corruption.value)} is up to date")
        return False
    for corruption, answers in _answers(options, inputs, missing, versions, answering):
        write_answers(layout.reference_under(corruption.value), answers)
    return True


def _is_current(
    options: Options, corruption: Corruption, reference: ReferenceInfo, versions: dict[str, str]
) -> bool:
    try:
        info = read_answers(options.layout.reference_under(corruption.value), corruption).info
    except ReferenceFileError:  # there are none yet, or they are damaged: make them
        return False
    same = info.method == METHOD and info.versions == versions and bool(info.float32)
    return same and not any(differences(info, reference))


def _answers(
    options: Options,
    inputs: ReferenceInputs,
    corruptions: list[Corruption],
    versions: dict[str, str],
    answering: Answering,
) -> Iterator[tuple[Corruption, CorruptedAnswers]]:
    questions, cache = inputs.questions, options.layout.cache
    clean, network = inputs.load(options, answering.display), answering.network()
    computing = Computing(options.scale.for_pixels(), answering.display.warn)
    for corruption in corruptions:
        title = f"reference answers under {corruption.value}"
        with corrupted_pixels(clean, questions.hashes, corruption, cache, computing) as pixels:
            key = digest(METHOD, corruption, inputs.pixels_key)
            probabilities = answering.answer(pixels, key, title)
            check_finite(network.path, probabilities)
            info = CorruptedInfo(
                corruption=corruption,
                method=METHOD,
                model_sha256=questions.model_sha256,
                preprocessing=questions.preprocessing,
                fit=questions.fit,
                labels=questions.labels,
                hashes=questions.hashes,
                pixels_sha256=hash_pixels(pixels),
                backend=network.device.backend,
                device=network.device.description,
                float32=network.float32,
                host=platform.node() or "unknown",
                versions=versions,
            )
            yield corruption, CorruptedAnswers(info, probabilities)
