"""The test split as every artifact answers it, and the comparison with the reference's answers."""

from __future__ import annotations

import tempfile
from pathlib import Path

from resnet_edge.data.decoded import decode_pictures, decoded_path
from resnet_edge.data.manifest import read_manifest
from resnet_edge.display import Display
from resnet_edge.errors import ReferenceFileError
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.measurements import ArtifactParity
from resnet_edge.ondevice.parity.answer_worker import AnswerJob
from resnet_edge.ondevice.parity.answering import answer_pictures
from resnet_edge.ondevice.parity.compare import EvaluationSet, compare_artifact, unchecked_artifact
from resnet_edge.ondevice.reference_file import Reference
from resnet_edge.ondevice.runtimes.installed import further_runtimes
from resnet_edge.ondevice.workers.process import crew_of
from resnet_edge.options import Options


def check_preprocessing(reference: Reference, artifact: Artifact) -> None:
    """Refuse a reference that was made with other preprocessing than the artifact.

    Raises:
        ReferenceFileError: They were made with different preprocessing.
    """
    ours, theirs = reference.info.preprocessing, artifact.sidecar.preprocessing
    if ours != theirs:
        raise ReferenceFileError(
            f"{artifact.name}: exported with preprocessing {theirs!r}, the reference was made with "
            f"{ours!r}; run both steps with the same --preprocessing"
        )


def decode_test(
    options: Options, reference: Reference, artifact: Artifact, display: Display
) -> Path:
    """Decode the test pictures into a file that workers map.

    Args:
        options: The build.
        reference: Its pictures must be those of the test split.
        artifact: Gives size and fit of the pictures.
        display: Shows the progress.

    Returns:
        A ``.npy`` file: uint8 ``(n, height, width, 3)``.

    Raises:
        ReferenceFileError: The reference is of other pictures.
    """
    layout = options.layout
    test = read_manifest(layout.dataset).split.test
    if tuple(picture.sha256 for picture in test) != reference.info.hashes:
        raise ReferenceFileError(
            f"{layout.reference}: made for {len(reference.info.hashes)} other pictures than the "
            f"test split's {len(test)}; make it again with `resnet-edge reference`"
        )
    size, fit = artifact.sidecar.image_size, Fit(artifact.sidecar.fit)
    with display.bar("decoding test pictures") as advance:
        decode_pictures(test, size, fit, layout.cache, advance)
    return decoded_path(test, size, fit, layout.cache).resolve()


def compare_all(
    options: Options, reference: Reference, artifacts: tuple[Artifact, ...], display: Display
) -> tuple[ArtifactParity, ...]:
    """Let every artifact answer the test split and compare the answers with the reference's.

    Args:
        options: The build and the gates.
        reference: The answers to compare with.
        artifacts: At least one.
        display: Shows the progress.

    Returns:
        One result for each artifact in its preferred runtime, then one for each further runtime
        that is installed.

    Raises:
        ResnetEdgeError: An artifact cannot be loaded or run.
    """
    if not len(reference.classes):
        display.warn("no test pictures: accuracy is not checked; pass --test DIR")
        why = "there is no test split; pass --test DIR"
        return tuple(
            unchecked_artifact(artifact_kind(a.name), a.sidecar.sha256, "none", why)
            for a in artifacts
        )
    pixels = decode_test(options, reference, artifacts[0], display)
    evaluation = _evaluation_set(reference)
    questions: list[tuple[Artifact, str | None]] = [(a, None) for a in artifacts]
    questions += [(a, name) for a in artifacts for name in further_runtimes(a.sidecar.format)]
    answered = dict.fromkeys(range(len(questions)), 0)
    everything = len(questions) * len(reference.classes)
    with (
        tempfile.TemporaryDirectory() as folder,
        display.bar("parity") as advance,
        crew_of(available_cores()) as crew,
    ):

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


def _evaluation_set(reference: Reference) -> EvaluationSet:
    return EvaluationSet(
        reference=reference.probabilities,
        labels=reference.classes,
        label_names=reference.info.labels,
        pictures=reference.info.pictures,
        hashes=reference.info.hashes,
    )
