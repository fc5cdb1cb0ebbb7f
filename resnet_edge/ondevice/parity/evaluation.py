"""The pictures of a comparison with the reference's answers, and the record that comes of it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from resnet_edge.ondevice.measurements import ArtifactParity, ParityResult, Unmeasured
from resnet_edge.ondevice.parity.compare import EvaluationSet
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.parity.judging import accuracy_gates
from resnet_edge.ondevice.reference_file import Reference


def evaluation_set(
    reference: Reference, probabilities: npt.NDArray[np.floating] | None = None
) -> EvaluationSet:
    """Return the labelled pictures with the reference's answers to them.

    Args:
        reference: Pictures, labels and answers.
        probabilities: Other answers to compare with, for instance to corrupted pictures; None takes
            the reference's own.
    """
    return EvaluationSet(
        reference=reference.probabilities if probabilities is None else probabilities,
        labels=reference.classes,
        label_names=reference.info.labels,
        pictures=reference.info.pictures,
        hashes=reference.info.hashes,
    )


def parity_result(
    evaluation: EvaluationSet,
    model_sha256: str,
    reference_sha256: str,
    gates: Gates,
    artifacts: Iterable[ArtifactParity],
    elsewhere: Iterable[ArtifactParity] = (),
    refused: Iterable[Unmeasured] = (),
) -> ParityResult:
    """Return the record of all comparisons, with the reference's own accuracy.

    Args:
        evaluation: What was compared with.
        model_sha256: The model's hash.
        reference_sha256: The hash of the whole reference.
        gates: The limits that judged.
        artifacts: Each artifact in its preferred runtime.
        elsewhere: The same in further runtimes.
        refused: Further runtimes that refused one.
    """
    pictures = len(evaluation.pictures)
    return ParityResult(
        model_sha256=model_sha256,
        reference_sha256=reference_sha256,
        images=pictures,
        labels=evaluation.label_names,
        reference_top1=float(evaluation.figures.right.mean()) if pictures else math.nan,
        reference_top5=float(evaluation.figures.top5.mean()) if pictures else math.nan,
        artifacts=tuple(artifacts),
        gates=accuracy_gates(gates),
        elsewhere=tuple(elsewhere),
        refused=tuple(refused),
    )
