"""The test split as every artifact answers it, and the comparison with the reference's answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from resnet_edge.data.decoded import decoded_path
from resnet_edge.data.loaded_pixels import load_pixels
from resnet_edge.data.manifest import read_manifest
from resnet_edge.data.pictures import Picture
from resnet_edge.data.pixel_source import ManyPixels
from resnet_edge.display import Display
from resnet_edge.errors import RUNTIME_ERRORS, ArtifactError, ReferenceFileError, ResnetEdgeError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.formats.sidecar import Artifact, Sidecar
from resnet_edge.ondevice.measurements import ArtifactParity, Unmeasured
from resnet_edge.ondevice.parity.answering import Answers
from resnet_edge.ondevice.parity.compare import compare_artifact, unchecked_artifact
from resnet_edge.ondevice.parity.evaluation import evaluation_set
from resnet_edge.ondevice.reference_file import Reference, ReferenceInfo, check_model
from resnet_edge.ondevice.runtimes.installed import further_runtimes
from resnet_edge.options import Options
from resnet_edge.scale.running import Computing, run_stages
from resnet_edge.scale.stage import Stage
from resnet_edge.steps.answer_stage import Question, answer_stage, joined_answers

T = TypeVar("T")


def check_alike(artifacts: Sequence[Artifact], reference: Reference | None = None) -> None:
    """Refuse artifacts that expect other pictures, or have other classes, than one another.

    Args:
        artifacts: At least one.
        reference: It must have been asked the same way.

    Raises:
        ArtifactError: The artifacts differ from one another.
        ReferenceFileError: The reference differs from them.
    """
    first = artifacts[0]
    for artifact in artifacts[1:]:
        for what, ours, theirs in _differences(first.sidecar, artifact.sidecar):
            raise ArtifactError(
                f"{first.name} was exported with {what} {ours}, {artifact.name} with {theirs}; "
                "expected the same for all; export them again together"
            )
    if reference is None:
        return
    for what, ours, theirs in _differences(first.sidecar, reference.info):
        raise ReferenceFileError(
            f"{first.name}: exported with {what} {ours}, the reference was made with {theirs}; "
            f"make it again with `resnet-edge reference`, without --{what}"
        )


def _differences(one: Sidecar, other: Sidecar | ReferenceInfo) -> Iterator[tuple[str, str, str]]:
    """Yield name and both values of what differs and has to be the same."""
    if one.preprocessing != other.preprocessing:
        yield "preprocessing", repr(one.preprocessing), repr(other.preprocessing)
    if one.fit != other.fit and other.fit:  # a reference of an earlier version does not tell it
        yield "fit", repr(one.fit), repr(other.fit)
    if len(one.labels) != len(other.labels):
        yield "labels", f"of {len(one.labels)} classes", f"of {len(other.labels)}"
    elif one.labels != other.labels:
        pairs = enumerate(zip(one.labels, other.labels, strict=True))
        place, (ours, theirs) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
        yield "labels", f"whose number {place + 1} is {ours!r}", repr(theirs)


def check_reference(artifacts: Sequence[Artifact], reference: Reference) -> None:
    """Refuse a reference of another model than the artifacts', or one that was asked otherwise.

    Raises:
        ReferenceFileError: The reference is of another model, or differs from the artifacts.
        ArtifactError: The artifacts differ from one another.
    """
    for artifact in artifacts:
        check_model(reference, artifact.sidecar.model_sha256, artifact.name)
    check_alike(artifacts, reference)


def load_test_pixels(
    options: Options, reference: Reference, artifact: Artifact, display: Display
) -> tuple[ManyPixels, str]:
    """Return the test pictures as an array, which other processes can take a part of.

    Args:
        options: The build.
        reference: Its pictures must be those of the test split.
        artifact: Gives size and fit of the pictures.
        display: Shows the progress.

    Returns:
        uint8 ``(n, height, width, 3)``, and the hash of all that the pixels depend on.

    Raises:
        ReferenceFileError: The reference is of other pictures.
    """
    test = _test_split(options.layout, reference)
    size, fit, cache = artifact.sidecar.image_size, Fit(artifact.sidecar.fit), options.layout.cache
    with display.bar("decoding test pictures") as advance:
        computing = Computing(options.scale.for_pixels(), display.warn)
        pictures = load_pixels(test, size, fit, cache, advance, computing=computing)
    return pictures, decoded_path(test, size, fit, cache).name


def _test_split(layout: Layout, reference: Reference) -> Sequence[Picture]:
    test = read_manifest(layout.dataset).split.test
    if tuple(picture.sha256 for picture in test) != reference.info.hashes:
        raise ReferenceFileError(
            f"{layout.reference}: made for {len(reference.info.hashes)} other pictures than the "
            f"test split's {len(test)}; make it again with `resnet-edge reference`"
        )
    return test


@dataclass(frozen=True)
class Comparison:
    """The answers of artifacts, compared with the reference's."""

    artifacts: tuple[ArtifactParity, ...]
    """One for each artifact, in its preferred runtime."""
    elsewhere: tuple[ArtifactParity, ...] = ()
    """In each further runtime that is installed and answered."""
    refused: tuple[Unmeasured, ...] = ()
    """The further runtimes that did not."""


def compare_all(
    options: Options, reference: Reference, artifacts: tuple[Artifact, ...], display: Display
) -> Comparison:
    """Let every artifact answer the test split and compare the answers with the reference's.

    Args:
        options: The build and the gates.
        reference: The answers to compare with.
        artifacts: At least one.
        display: Shows the progress, and warns of further runtimes that refuse a file.

    Raises:
        ResnetEdgeError: An artifact cannot be loaded or run in its preferred runtime.
    """
    if not len(reference.classes):
        display.warn(
            "no test pictures: accuracy is not checked; pass --test DIR to `resnet-edge reference`"
        )
        why = "there is no test split; pass --test DIR to `resnet-edge reference`"
        return Comparison(
            tuple(
                unchecked_artifact(artifact_kind(a.name), a.sidecar.sha256, "none", why)
                for a in artifacts
            )
        )
    pictures, key = load_test_pixels(options, reference, artifacts[0], display)
    evaluation = evaluation_set(reference)
    questions: list[Question] = [Question(a, None) for a in artifacts]
    questions += [
        Question(a, name)
        for a in artifacts
        for name in further_runtimes(a.sidecar.format, options.also_in)
    ]

    def compare(question: Question, found: Answers) -> ArtifactParity | Unmeasured:
        return compare_artifact(
            artifact_kind(question.artifact.name),
            question.artifact.sidecar.sha256,
            found.runtime,
            evaluation,
            found.probabilities,
            options.gates,
        )

    def refuse(question: Question, problem: ResnetEdgeError) -> ArtifactParity | Unmeasured:
        if question.runtime is None:
            raise problem
        return Unmeasured(question.artifact.name, str(problem), question.runtime)

    found = ask_all(questions, pictures, key, options, "parity", display, compare, refuse)
    parities = [each for each in found if isinstance(each, ArtifactParity)]
    refused = tuple(each for each in found if isinstance(each, Unmeasured))
    warn_refused(refused, display)
    count = len(artifacts)
    return Comparison(tuple(parities[:count]), tuple(parities[count:]), refused)


def warn_refused(refused: Iterable[Unmeasured], display: Display) -> None:
    """Name further runtimes that refused a file or crashed."""
    for gone in refused:
        display.warn(f"{gone.name} {gone.happened}, which decides nothing: {gone.reason}")


def ask_all(
    questions: Sequence[Question],
    pictures: ManyPixels,
    key: str,
    options: Options,
    title: str,
    display: Display,
    use: Callable[[Question, Answers], T],
    refuse: Callable[[Question, ResnetEdgeError], T] | None = None,
) -> tuple[T, ...]:
    """Let artifacts answer the same pictures, on all cores.

    What an interrupted call had answered is not asked again.

    Args:
        questions: The artifacts with their runtimes.
        pictures: What they answer.
        key: Hash of all that the pixels depend on.
        options: The build, and who computes.
        title: Of the progress bar.
        display: Shows the answers so far, and what was done again.
        use: Makes what is returned of one artifact's answers, which are not kept.
        refuse: Makes what is returned where a runtime refuses a file or crashes, or raises
            that; None raises it.

    Raises:
        ResnetEdgeError: An artifact cannot be loaded or run, and ``refuse`` did not take it.
    """
    cache = options.layout.cache
    stages = [answer_stage(question, pictures, key, cache) for question in questions]
    asked = {stage.folder: question for stage, question in zip(stages, questions, strict=True)}
    refused: dict[Path, T] = {}

    def fail(stage: Stage, problem: ResnetEdgeError) -> None:
        if refuse is None or not isinstance(problem, RUNTIME_ERRORS):
            raise problem
        refused[stage.folder] = refuse(asked[stage.folder], problem)

    with display.bar(title) as advance:
        computing = Computing(options.scale.for_runtimes(), display.warn)
        found = run_stages(stages, computing, advance, fail)
    results = []
    for stage, computed in zip(stages, found, strict=True):
        if computed is None:
            results.append(refused[stage.folder])
        else:
            question = asked[stage.folder]
            results.append(use(question, joined_answers(question, computed)))
    for stage in stages:
        shutil.rmtree(stage.folder, ignore_errors=True)
    return tuple(results)
