from __future__ import annotations

from dataclasses import replace

import numpy as np

from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.parity.compare import EvaluationSet, compare_artifact
from resnet_edge.ondevice.parity.flips import MarginRow, flips_by_margin
from resnet_edge.ondevice.parity.gates import Gates

LABELS = np.array([0, 0, 1, 2])
# Margins 0.05, 0.7, 0.6 and 1; the third is wrong.
REFERENCE = np.array([[0.5, 0.45, 0.05], [0.8, 0.1, 0.1], [0.8, 0.2, 0.0], [0.0, 0.0, 1.0]])
# The first is lost, the second stays, the third flips from wrong to wrong, the fourth is lost.
ARTIFACT = np.array([[0.4, 0.6, 0.0], [0.5, 0.2, 0.3], [0.05, 0.15, 0.8], [0.1, 0.6, 0.3]])
NAMES = ("cat", "dog", "eel")


def compared(reference=REFERENCE, artifact=ARTIFACT):
    files = ("a", "b", "c", "d")
    evaluation = EvaluationSet(reference, LABELS, NAMES, files, files)
    kind = artifact_kind("int8.onnx")
    return compare_artifact(kind, "ab", "onnxruntime 1", evaluation, artifact, Gates())


def test_by_hand():
    rows = flips_by_margin(compared())
    assert rows[0] == MarginRow(0.0, 0.1, 1, lost=1, gained=0, wrong_twice=0)
    assert rows[3] == MarginRow(0.5, 0.75, 2, lost=0, gained=0, wrong_twice=1)
    assert rows[5] == MarginRow(0.9, 1.0, 1, lost=1, gained=0, wrong_twice=0)
    assert [row.flips for row in rows] == [1, 0, 0, 1, 0, 1]
    assert [row.pictures for row in flips_by_margin(compared(ARTIFACT, REFERENCE))] == [
        *(0, 2, 1, 1, 0, 0)
    ]
    assert sum(row.gained for row in flips_by_margin(compared(ARTIFACT, REFERENCE))) == 2


def test_not_known_of_an_earlier_version():
    assert flips_by_margin(replace(compared(), probabilities=None)) is None
