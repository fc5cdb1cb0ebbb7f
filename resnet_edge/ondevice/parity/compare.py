"""One artifact's answers compared with the reference's, over the whole test split."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from resnet_edge.errors import InferenceError, ReferenceFileError
from resnet_edge.ondevice.formats.kinds import ArtifactKind, Quantization
from resnet_edge.ondevice.measurements import (
    ArtifactParity,
    ChangedPicture,
    ClassResult,
    GateResult,
)
from resnet_edge.ondevice.parity import metrics
from resnet_edge.ondevice.parity.answers import (
    PictureOrder,
    picture_order,
    record_answers,
    record_probabilities,
)
from resnet_edge.ondevice.parity.collapse import find_collapse
from resnet_edge.ondevice.parity.confused_pairs import Confusions
from resnet_edge.ondevice.parity.further_gates import judge_further
from resnet_edge.ondevice.parity.gates import Evidence, Gates, judge_accuracy, not_checked
from resnet_edge.ondevice.parity.judging import weigh
from resnet_edge.ondevice.parity.picture_figures import PictureFigures, picture_figures


@dataclass(frozen=True)
class EvaluationSet:
    """The labelled pictures and the reference's answers to them."""

    reference: npt.NDArray[np.floating]
    """Probabilities, shape (n, classes); may be mapped from disk."""
    labels: npt.NDArray[np.integer]
    """Shape (n,), in [0, classes)."""
    label_names: tuple[str, ...]
    pictures: tuple[str, ...]
    """Names of the n pictures."""
    hashes: tuple[str, ...]
    """SHA-256 of the n files."""

    def __post_init__(self) -> None:
        count, classes = len(self.pictures), len(self.label_names)
        if self.reference.shape != (count, classes):
            raise ReferenceFileError(
                f"the reference's answers have shape {self.reference.shape}; expected "
                f"{(count, classes)} for {count} pictures and {classes} classes; "
                "run `resnet-edge reference` again"
            )
        if self.labels.shape != (count,) or len(self.hashes) != count:
            raise ReferenceFileError(
                f"{len(self.labels)} labels and {len(self.hashes)} hashes for {count} pictures; "
                "expected one each; run `resnet-edge reference` again"
            )
        if count and not (self.labels.min() >= 0 and self.labels.max() < classes):
            raise ReferenceFileError(
                f"labels from {self.labels.min()} to {self.labels.max()}; "
                f"expected 0 to {classes - 1}; run `resnet-edge reference` with this model"
            )
        if count and not (finite := self.figures.finite).all():
            raise ReferenceFileError(
                f"the reference answers NaN or infinity to {int(count - finite.sum())} of {count} "
                f"pictures, first {self.pictures[int(finite.argmin())]}; the model's weights are "
                "damaged or training diverged"
            )

    @functools.cached_property
    def figures(self) -> PictureFigures:
        """The figures of the reference's answers."""
        return picture_figures(self.reference, self.labels)

    @functools.cached_property
    def order(self) -> PictureOrder:
        """The order that records keep the pictures in."""
        labels = [self.label_names[label] for label in self.labels.tolist()]
        return picture_order(self.hashes, labels)


def probability_floor(kind: ArtifactKind) -> float:
    """Return the smallest probability that counts as more than 0 in a comparison.

    Half the smallest step of the artifact's own output, so that a rounded-down 0 is off by half a
    step rather than by 60 nats.
    """
    if kind.quantization is Quantization.INTEGER_ONLY:
        return metrics.UINT8_FLOOR
    return metrics.FLOAT_FLOOR


def compare_artifact(
    kind: ArtifactKind,
    sha256: str,
    runtime: str,
    evaluation: EvaluationSet,
    probabilities: npt.NDArray[np.floating],
    gates: Gates,
) -> ArtifactParity:
    """Compare an artifact with the reference and judge it.

    Args:
        kind: The artifact.
        sha256: The file's hash.
        runtime: Name and version of the runtime that ran it.
        evaluation: Pictures, labels and the reference's answers.
        probabilities: The artifact's answers, shape (n, classes), in the pictures' order.
        gates: The limits.

    Returns:
        Every figure; NaN where there is none. Missing answers, NaN, collapse and no pictures at all
        fail.

    Raises:
        InferenceError: The answers are not of so many classes.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] != len(evaluation.label_names):
        raise InferenceError(
            f"{kind.name}: answers have shape {probabilities.shape}; expected "
            f"{evaluation.reference.shape}; the file is of another model, export it again"
        )
    if len(probabilities) != len(evaluation.pictures):
        images = len(evaluation.pictures)
        missing = f"answers are missing: {len(probabilities)} answers to {images} pictures"
        return _failed(kind, sha256, runtime, images, missing, gates)
    if not evaluation.pictures:
        return _failed(kind, sha256, runtime, 0, "no pictures were answered", gates)
    return _compare(kind, sha256, runtime, evaluation, probabilities, gates)


def unchecked_artifact(kind: ArtifactKind, sha256: str, runtime: str, why: str) -> ArtifactParity:
    """Return the record of an artifact for which there is no test split to check it with.

    Args:
        kind: The artifact.
        sha256: The file's hash.
        runtime: The runtime that would have run it.
        why: The missing thing, in words.
    """
    return _without_figures(kind, sha256, runtime, 0, None, not_checked(why))


def _failed(
    kind: ArtifactKind, sha256: str, runtime: str, images: int, collapse: str, gates: Gates
) -> ArtifactParity:
    evidence = Evidence(images, 0, 0, 0, 0, math.nan, math.nan, collapse)
    gate = judge_accuracy(kind.precision, evidence, gates)
    failed = _without_figures(kind, sha256, runtime, images, collapse, gate)
    return replace(failed, further_gates=judge_further(failed, gates))


def _without_figures(
    kind: ArtifactKind,
    sha256: str,
    runtime: str,
    images: int,
    collapse: str | None,
    gate: GateResult,
) -> ArtifactParity:
    return ArtifactParity(
        name=kind.name,
        sha256=sha256,
        runtime=runtime,
        images=images,
        top1=math.nan,
        top5=math.nan,
        agreement=math.nan,
        max_abs_logit=math.nan,
        mean_abs_logit=math.nan,
        logit_range=math.nan,
        cosine=math.nan,
        sqnr_db=math.nan,
        kl=math.nan,
        classes=(),
        confusion=(),
        changed=(),
        collapse=collapse,
        gate=gate,
    )


def _compare(
    kind: ArtifactKind,
    sha256: str,
    runtime: str,
    evaluation: EvaluationSet,
    probabilities: npt.NDArray[np.floating],
    gates: Gates,
) -> ArtifactParity:
    floor = probability_floor(kind)
    labels, names = evaluation.labels, evaluation.label_names
    ours, theirs = evaluation.figures, picture_figures(probabilities, labels)
    logits = metrics.compare_logits(evaluation.reference, probabilities, floor)
    collapse = find_collapse(theirs, labels, names, floor)
    agree = metrics.agreements(evaluation.reference, probabilities)
    confusions = Confusions(ours.answers, theirs.answers, labels, names)
    answers = record_answers(evaluation.order, theirs.right, ours.right, agree)
    evidence = weigh(answers, len(labels), logits.max_abs, logits.logit_range, collapse)
    compared = ArtifactParity(
        name=kind.name,
        sha256=sha256,
        runtime=runtime,
        images=len(labels),
        top1=float(theirs.right.mean()),
        top5=float(theirs.top5.mean()),
        agreement=float(agree.mean()),
        max_abs_logit=logits.max_abs,
        mean_abs_logit=logits.mean_abs,
        logit_range=logits.logit_range,
        cosine=logits.cosine,
        sqnr_db=logits.sqnr_db,
        kl=logits.kl,
        classes=_class_results(evaluation, theirs.right, agree),
        confusion=metrics.confusion_rows(theirs.answers, labels, len(names)),
        changed=_changed_pictures(evaluation, probabilities, theirs, agree),
        collapse=collapse,
        gate=judge_accuracy(kind.precision, evidence, gates),
        answers=answers,
        probabilities=record_probabilities(evaluation.order, theirs, ours),
        grown=confusions.grown(),
        confused=confusions.most(),
    )
    return replace(compared, further_gates=judge_further(compared, gates))


def _class_results(
    evaluation: EvaluationSet, hits: metrics.Booleans, agree: metrics.Booleans
) -> tuple[ClassResult, ...]:
    reference = evaluation.figures.right
    counted = (
        np.bincount(evaluation.labels[which], minlength=len(evaluation.label_names)).tolist()
        for which in (
            slice(None),
            hits,
            reference,
            agree,
            hits & ~reference,
            reference & ~hits,
        )
    )
    return tuple(
        ClassResult(
            label=name,
            images=images,
            top1=right / images if images else math.nan,
            reference_top1=before / images if images else math.nan,
            agreement=same / images if images else math.nan,
            gained=gained,
            lost=lost,
        )
        for name, images, right, before, same, gained, lost in zip(evaluation.label_names, *counted)
    )


def _changed_pictures(
    evaluation: EvaluationSet,
    probabilities: npt.NDArray[np.floating],
    figures: PictureFigures,
    agree: metrics.Booleans,
) -> tuple[ChangedPicture, ...]:
    names, before = evaluation.label_names, evaluation.figures
    return tuple(
        ChangedPicture(
            picture=evaluation.pictures[row],
            sha256=evaluation.hashes[row],
            label=names[evaluation.labels[row]],
            reference_answer=_answer_words(evaluation.reference, before, row, names),
            artifact_answer=_answer_words(probabilities, figures, row, names),
            reference_probability=float(before.largest[row]),
            artifact_probability=float(figures.largest[row]),
        )
        for row in np.flatnonzero(~agree).tolist()
    )


def _answer_words(
    probabilities: metrics.Floats, figures: PictureFigures, row: int, names: tuple[str, ...]
) -> str:
    tied = int(figures.ties[row])
    if not tied:
        return "no answer (NaN or infinity)"
    if tied == 1:
        return names[int(figures.first_best[row])]
    if tied > 3:
        return f"a tie of {tied} classes"
    best = np.flatnonzero(metrics.best_classes(probabilities[row : row + 1])[0])
    return " or ".join(names[index] for index in best.tolist())
