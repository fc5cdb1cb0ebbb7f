"""Every artifact against the reference on corrupted test pictures: ``results/corruptions.json``.

A part of the step ``parity``, with ``--corruptions``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnet_edge.data.pixel_source import ManyPixels
from resnet_edge.display import Display
from resnet_edge.errors import InferenceError, ReferenceFileError, ResnetEdgeError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.array_files import hash_pixels
from resnet_edge.ondevice.files import digest, hash_path
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES, artifact_kind
from resnet_edge.ondevice.formats.sidecar import Artifact, recorded_hashes
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.parity.answering import Answers
from resnet_edge.ondevice.parity.compare import EvaluationSet
from resnet_edge.ondevice.parity.evaluation import evaluation_set
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.reference_file import Reference
from resnet_edge.ondevice.runtimes.installed import all_installed
from resnet_edge.ondevice.versions import version_of
from resnet_edge.options import Options
from resnet_edge.robustness.corrupting import METHOD
from resnet_edge.robustness.corruptions import Corruption
from resnet_edge.robustness.judging import compare_corrupted, describe_reference, judge
from resnet_edge.robustness.pixel_file import corrupted_pixels
from resnet_edge.robustness.record import CorruptedParity, CorruptedReference, CorruptionResult
from resnet_edge.robustness.reference_answers import check_same_questions, differences, read_answers
from resnet_edge.scale.running import Computing
from resnet_edge.steps.answer_stage import Question
from resnet_edge.steps.evaluation import ask_all, load_test_pixels


@dataclass(frozen=True)
class ComparedUnder:
    """The record of the comparisons under corruptions."""

    result: CorruptionResult
    rebuilt: bool
    """True if artifacts were asked; False if saved answers were judged."""


@dataclass(frozen=True)
class _Task:
    """One corruption, the reference's answers under it, and the artifacts to ask."""

    corruption: Corruption
    path: Path
    """The file of these answers."""
    answers_sha256: str
    pixels_sha256: str
    evaluation: EvaluationSet
    artifacts: tuple[Artifact, ...]


def compare_under_corruptions(
    options: Options, reference: Reference, artifacts: Sequence[Artifact], display: Display
) -> ComparedUnder:
    """Let every artifact answer the corrupted test split, and judge it.

    What was compared before is not asked again, while file, reference and versions are the same.

    Args:
        options: The build, the corruptions and the gates.
        reference: The reference of the clean pictures, at least one.
        artifacts: At least one.
        display: Shows the progress.

    Returns:
        The part of the record that is about these corruptions and artifacts.

    Raises:
        ReferenceFileError: There are no answers of the reference, or they are of something else.
        ResnetEdgeError: An artifact cannot be loaded or run.
    """
    layout, chosen = options.layout, options.robustness.chosen
    before = _still_valid(layout, reference)
    known = {each.inputs_sha256 for each in before.artifacts}
    tasks = [_plan(layout, reference, corruption, artifacts, known) for corruption in chosen]
    todo = [task for task in tasks if task.artifacts]
    asked: list[CorruptedParity] = []
    if todo:
        clean, _ = load_test_pixels(options, reference, artifacts[0], display)
        for task in todo:
            asked += _ask(task, clean, options, display)
    merged = judge(_merge(before, tasks, asked), options.gates)
    if merged != before or not layout.corruptions.exists():
        write_record(layout.corruptions, merged)
    else:
        display.say(f"{layout.corruptions} is up to date")
    names = [artifact.name for artifact in artifacts]
    return ComparedUnder(merged.only(chosen, names), rebuilt=bool(asked))


def judge_saved_corruptions(layout: Layout, gates: Gates) -> None:
    """Judge the record, where there is one, by other gates; nothing is run.

    Raises:
        InferenceError: The record is damaged.
    """
    if not layout.corruptions.exists():
        return
    found = read_record(CorruptionResult, layout.corruptions, InferenceError)
    if (judged := judge(found, gates)) != found:
        write_record(layout.corruptions, judged)


def _still_valid(layout: Layout, reference: Reference) -> CorruptionResult:
    """Return what the record holds of the build's present files and reference."""
    empty = CorruptionResult(reference.info.model_sha256, (), ())
    try:
        found = read_record(CorruptionResult, layout.corruptions, ResnetEdgeError)
    except ResnetEdgeError:  # there is none yet, or it is damaged: it is made again
        return empty
    if found.model_sha256 != reference.info.model_sha256:
        return empty
    same = {each.corruption for each in found.references if _is_of(each, layout, reference)}
    hashes = recorded_hashes(layout.artifacts)
    names = [each.name for each in found.artifacts if hashes.get(each.name) == each.sha256]
    return found.only(same, names)


def _is_of(known: CorruptedReference, layout: Layout, reference: Reference) -> bool:
    """Return True if a recorded reference's answers are still there and of these pictures."""
    path = layout.reference_under(known.corruption.value)
    try:
        info = read_answers(path, known.corruption).info
    except ReferenceFileError:
        return False
    return hash_path(path) == known.answers_sha256 and not any(differences(info, reference.info))


def _plan(
    layout: Layout,
    reference: Reference,
    corruption: Corruption,
    artifacts: Sequence[Artifact],
    known: set[str],
) -> _Task:
    path = layout.reference_under(corruption.value)
    answers = read_answers(path, corruption)
    check_same_questions(path, answers.info, reference.info)
    if answers.info.method != METHOD:
        raise ReferenceFileError(_other_pixels(path, corruption))
    sha256 = hash_path(path)
    return _Task(
        corruption,
        path,
        sha256,
        answers.info.pixels_sha256,
        evaluation_set(reference, answers.probabilities),
        tuple(artifact for artifact in artifacts if _inputs(artifact, sha256) not in known),
    )


def _inputs(artifact: Artifact, answers_sha256: str) -> str:
    runtimes = all_installed([artifact.sidecar.format])
    packages = [version_of(package) for package in ("numpy", "pillow", "resnet-edge")]
    return digest(answers_sha256, artifact.sidecar.sha256, runtimes[:1], packages)


def _other_pixels(path: Path, corruption: Corruption) -> str:
    return (
        f"{path}: answers other pixels than the test pictures become here under "
        f"{corruption.value} (another version of Pillow or resnet-edge); make it again with "
        f"`resnet-edge reference --corruptions {corruption.value}`"
    )


def _ask(
    task: _Task, clean: ManyPixels, options: Options, display: Display
) -> tuple[CorruptedParity, ...]:
    def compare(question: Question, found: Answers) -> CorruptedParity:
        artifact = question.artifact
        return compare_corrupted(
            artifact_kind(artifact.name),
            task.corruption,
            task.evaluation,
            found.probabilities,
            sha256=artifact.sidecar.sha256,
            runtime=found.runtime,
            inputs_sha256=_inputs(artifact, task.answers_sha256),
        )

    name, hashes, cache = task.corruption.value, task.evaluation.hashes, options.layout.cache
    computing = Computing(options.scale.for_pixels(), display.warn)
    with corrupted_pixels(clean, hashes, task.corruption, cache, computing) as pixels:
        if hash_pixels(pixels) != task.pixels_sha256:
            raise ReferenceFileError(_other_pixels(task.path, task.corruption))
        questions = [Question(artifact, None) for artifact in task.artifacts]
        key, title = task.pixels_sha256, f"parity under {name}"
        return ask_all(questions, pixels, key, options, title, display, compare)


def _merge(
    before: CorruptionResult, tasks: Sequence[_Task], asked: Sequence[CorruptedParity]
) -> CorruptionResult:
    """Put new comparisons in the place of old ones."""
    references = {each.corruption: each for each in before.references}
    kept = {(each.corruption, each.name): each for each in before.artifacts}
    for task in tasks:
        references[task.corruption] = describe_reference(
            task.corruption, task.answers_sha256, task.evaluation
        )
    kept.update({(each.corruption, each.name): each for each in asked})
    return replace(
        before,
        references=tuple(references[each] for each in Corruption if each in references),
        artifacts=tuple(
            kept[corruption, name]
            for name in ARTIFACT_NAMES
            for corruption in Corruption
            if (corruption, name) in kept
        ),
    )
