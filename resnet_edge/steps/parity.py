"""Every artifact in its real runtime against the reference: ``results/parity.json``."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnet_edge.data.decoded import decode_pictures, decoded_path
from resnet_edge.data.manifest import read_manifest
from resnet_edge.display import Display, Silent
from resnet_edge.errors import InferenceError, ReferenceFileError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES, artifact_kind
from resnet_edge.ondevice.formats.sidecar import (
    Artifact,
    exported_names,
    load_artifacts,
    recorded_hashes,
    sidecar_path,
)
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.machine import available_cores
from resnet_edge.ondevice.measurements import ArtifactParity, ParityResult
from resnet_edge.ondevice.parity.answer_worker import AnswerJob
from resnet_edge.ondevice.parity.answering import answer_pictures
from resnet_edge.ondevice.parity.compare import EvaluationSet, compare_artifact, unchecked_artifact
from resnet_edge.ondevice.parity.judging import accuracy_gates, judge_again
from resnet_edge.ondevice.parity.metrics import topk_hits
from resnet_edge.ondevice.reference_file import Reference, check_model, read_reference
from resnet_edge.ondevice.runtimes.installed import all_installed, further_runtimes
from resnet_edge.ondevice.versions import version_of
from resnet_edge.ondevice.workers.process import crew_of
from resnet_edge.options import Options
from resnet_edge.steps.up_to_date import digest, is_current, write_stamp


@dataclass(frozen=True)
class Compared:
    """What ``parity`` left behind."""

    result: ParityResult
    rebuilt: bool


def parity(options: Options, display: Display | None = None) -> Compared:
    """Let every artifact answer the whole test split and judge it.

    Answers do not depend on the gates: where only these are others, the saved answers are judged
    again and nothing is run. The same holds for a build that has answers and no artifacts any
    more, unless ``options`` names some.

    Args:
        options: Where the build is, which artifacts, and the gates.
        display: Where progress is shown.

    Raises:
        ResnetEdgeError: See the subclass for what was wrong.
    """
    display = display or Silent()
    layout, names = options.layout, options.formats
    if names is None:
        if _only_saved_answers(layout):
            return judge_saved(options, display)
        names = exported_names(layout.artifacts)
    reference = read_reference(layout.reference)
    artifacts = load_artifacts(layout.artifacts, names)
    for artifact in artifacts:
        check_model(reference, artifact.sidecar.model_sha256, artifact.name)
        check_preprocessing(reference, artifact)
    inputs = {
        "reference": hash_path(layout.reference),
        "artifacts": digest([(a.name, a.sidecar.sha256) for a in artifacts]),
        "versions": digest(
            all_installed(artifact.sidecar.format for artifact in artifacts),
            [version_of(package) for package in ("numpy", "pillow", "resnet-edge")],
        ),
    }
    if is_current(options.out, "parity", inputs):
        found = read_record(ParityResult, layout.parity, InferenceError)
        if (judged := judge_again(found, options.gates)) is not None:
            display.say(f"{layout.parity} is up to date")
            if judged != found:
                _write(options, judged, inputs)
            return Compared(_only(judged, names), rebuilt=False)
    compared = _compare_all(options, reference, artifacts, display)
    result = ParityResult(
        model_sha256=reference.info.model_sha256,
        reference_sha256=inputs["reference"],
        images=len(reference.classes),
        labels=reference.info.labels,
        reference_top1=_accuracy(reference, 1),
        reference_top5=_accuracy(reference, 5),
        artifacts=compared[: len(artifacts)],
        gates=accuracy_gates(options.gates),
        elsewhere=compared[len(artifacts) :],
    )
    _write(options, _with_others(result, options), inputs)
    return Compared(result, rebuilt=True)


def _only(result: ParityResult, names: Sequence[str]) -> ParityResult:
    return replace(
        result,
        artifacts=tuple(a for a in result.artifacts if a.name in names),
        elsewhere=tuple(a for a in result.elsewhere if a.name in names),
    )


def _with_others(result: ParityResult, options: Options) -> ParityResult:
    """Add what is known of the build's other artifacts: comparing a subset loses nothing.

    They have to be the very files, compared with the same reference; they are judged by the gates
    that are asked for now.
    """
    layout = options.layout
    if not layout.parity.exists():
        return result
    found = read_record(ParityResult, layout.parity, InferenceError)
    if found.reference_sha256 != result.reference_sha256:
        return result
    hashes = recorded_hashes(layout.artifacts)
    same = [a.name for a in found.artifacts if hashes.get(a.name) == a.sha256]
    kept = [name for name in same if name not in {a.name for a in result.artifacts}]
    others = judge_again(_only(found, kept), options.gates)
    if others is None:
        return result
    by_name = {a.name: a for a in (*others.artifacts, *result.artifacts)}
    return replace(
        result,
        artifacts=tuple(by_name[name] for name in ARTIFACT_NAMES if name in by_name),
        elsewhere=(*others.elsewhere, *result.elsewhere),
    )


def _only_saved_answers(layout: Layout) -> bool:
    present = any(sidecar_path(layout.artifacts / name).exists() for name in ARTIFACT_NAMES)
    return layout.parity.exists() and not present


def judge_saved(options: Options, display: Display | None = None) -> Compared:
    """Judge what ``parity`` wrote by other gates; neither artifacts nor runtimes are needed.

    Args:
        options: Where the build is, and the gates.
        display: Where progress is shown.

    Raises:
        InferenceError: There is no record, or it does not hold the answers.
    """
    display = display or Silent()
    layout = options.layout
    found = read_record(ParityResult, layout.parity, InferenceError)
    judged = judge_again(found, options.gates)
    if judged is None:
        raise InferenceError(
            f"{layout.parity}: an earlier version wrote it, without the answers picture by "
            "picture, and there are no artifacts to ask again; put them back or export them"
        )
    display.say(f"no artifacts in {layout.artifacts}: the saved answers are judged again")
    if judged != found:
        write_record(layout.parity, judged)
    return Compared(judged, rebuilt=False)


def _write(options: Options, result: ParityResult, inputs: dict[str, str]) -> None:
    write_record(options.layout.parity, result)
    write_stamp(options.out, "parity", inputs, (options.layout.parity,))


def check_preprocessing(reference: Reference, artifact: Artifact) -> None:
    """Refuse a reference that saw other inputs than the artifact does.

    Raises:
        ReferenceFileError: They were made with different preprocessing.
    """
    ours, theirs = reference.info.preprocessing, artifact.sidecar.preprocessing
    if ours != theirs:
        raise ReferenceFileError(
            f"{artifact.name}: exported with preprocessing {theirs!r}, the reference was made with "
            f"{ours!r}; run both steps with the same --preprocessing"
        )


def _accuracy(reference: Reference, k: int) -> float:
    if not len(reference.classes):
        return float("nan")
    return float(topk_hits(reference.probabilities, reference.classes, k).mean())


def _compare_all(
    options: Options, reference: Reference, artifacts: tuple[Artifact, ...], display: Display
) -> tuple[ArtifactParity, ...]:
    """Compare all artifacts in their preferred runtimes, then those that have others here."""
    if not len(reference.classes):
        display.warn("no test pictures: accuracy is not checked; pass --test DIR")
        why = "there is no test split; pass --test DIR"
        return tuple(
            unchecked_artifact(artifact_kind(a.name), a.sidecar.sha256, "none", why)
            for a in artifacts
        )
    pixels = decode_test(options, reference, artifacts[0], display)
    evaluation = EvaluationSet(
        reference=reference.probabilities,
        labels=reference.classes,
        label_names=reference.info.labels,
        pictures=reference.info.pictures,
        hashes=reference.info.hashes,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        display.bar("parity") as advance,
        crew_of(available_cores()) as crew,
    ):
        questions: list[tuple[Artifact, str | None]] = [(a, None) for a in artifacts]
        questions += [(a, name) for a in artifacts for name in further_runtimes(a.sidecar.format)]
        answered = dict.fromkeys(range(len(questions)), 0)
        everything = len(questions) * len(reference.classes)

        def compare(number: int) -> ArtifactParity:
            artifact, runtime = questions[number]

            def count(done: int) -> None:
                answered[number] = done
                advance(sum(answered.values()), everything)

            answers = Path(folder) / f"{number}.npy"
            job = AnswerJob(artifact.path.resolve(), pixels, answers, 1, runtime)
            found = answer_pictures(job, count, crew)
            return compare_artifact(
                artifact_kind(artifact.name),
                artifact.sidecar.sha256,
                found.runtime,
                evaluation,
                found.probabilities,
                options.gates,
            )

        return tuple(crew.pool.map(compare, range(len(questions))))


def decode_test(
    options: Options, reference: Reference, artifact: Artifact, display: Display
) -> Path:
    """Decode the reference's pictures into a file the workers map; check they are the same
    pictures.

    Raises:
        ReferenceFileError: They are not.
    """
    layout = options.layout
    manifest = read_manifest(layout.dataset)
    test = manifest.split.test
    if tuple(picture.sha256 for picture in test) != reference.info.hashes:
        raise ReferenceFileError(
            f"{layout.reference}: made for {len(reference.info.hashes)} other pictures than the "
            f"test split's {len(test)}; make it again with `resnet-edge reference`"
        )
    size, fit = artifact.sidecar.image_size, Fit(artifact.sidecar.fit)
    with display.bar("decoding test pictures") as advance:
        decode_pictures(test, size, fit, layout.cache, advance)
    return decoded_path(test, size, fit, layout.cache).resolve()
