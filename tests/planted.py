"""Planted answers: a reference, files like it, and files with a known harm."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.measurements import ArtifactParity
from resnet_edge.ondevice.parity.compare import EvaluationSet, compare_artifact
from resnet_edge.ondevice.parity.gates import Gates

Logits = npt.NDArray[np.float64]
CLASSES = 8


def softmax(logits: Logits) -> npt.NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def reference_logits(
    rng: np.random.Generator, pictures: int, classes: int = CLASSES, sharpness: float = 1.15
) -> tuple[Logits, npt.NDArray[np.int64]]:
    """Logits of a network that is right in 85 of 100 pictures, and the true classes.

    The classes are normal with distance 2.6, so the true posterior is known; ``sharpness`` 1 is
    perfect calibration, 1.15 a bit too sure, as trained networks are.
    """
    labels = np.arange(pictures) % classes
    points = rng.normal(size=(pictures, classes))
    points[np.arange(pictures), labels] += 2.6
    return 2.6 * sharpness * points, labels


def evaluation_of(logits: Logits, labels: npt.NDArray[np.int64]) -> EvaluationSet:
    pictures = tuple(f"{row}.png" for row in range(len(labels)))
    hashes = tuple(f"{row:064x}" for row in range(len(labels)))
    names = tuple(f"class {number}" for number in range(logits.shape[1]))
    return EvaluationSet(softmax(logits), labels, names, pictures, hashes)


def noisy(rng: np.random.Generator, logits: Logits, noise: float = 0.2) -> Logits:
    """An honest file: small noise, as of good 8 bit integers (25 dB)."""
    return logits + noise * rng.normal(size=logits.shape)


def without_class(
    rng: np.random.Generator, logits: Logits, labels: npt.NDArray[np.int64], share: float = 0.3
) -> Logits:
    """A file that gives the answer 1 to a share of the pictures of class 0."""
    hurt = noisy(rng, logits)
    rows = np.flatnonzero(labels == 0)
    rows = rows[: round(share * len(rows))]
    hurt[rows, 1] = hurt[rows].max(axis=1) + 0.5
    return hurt


def compare(
    evaluation: EvaluationSet, logits: Logits, gates: Gates, name: str = "int8.tflite"
) -> ArtifactParity:
    kind = artifact_kind(name)
    return compare_artifact(kind, "ab" * 32, "LiteRT 2.3", evaluation, softmax(logits), gates)
