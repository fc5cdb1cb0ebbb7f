"""``parity.json``: a confusion matrix that does not fit its labels and pictures is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.measurements import ClassResult, ParityResult
from resnet_edge.ondevice.measurements.picture_digits import SHARES, TOP5_BITS

LABELS = ("cat", "dog")
MATRIX = ((600, 1), (2, 397))


@pytest.fixture
def result(hand_parity) -> ParityResult:
    rows = (hand_parity("fp32.onnx"), replace(hand_parity("int8.onnx"), confusion=MATRIX))
    return ParityResult("ab" * 32, "cd" * 32, 1000, LABELS, 0.9, 1.0, rows)


def test_a_matrix_comes_back(result: ParityResult, tmp_path: Path) -> None:
    write_record(tmp_path / "parity.json", result)
    assert read_record(ParityResult, tmp_path / "parity.json", InferenceError) == result


SHAPE = "int8.onnx: its confusion matrix has {} rows; expected 2 rows and columns, one per label"
COUNTS = "int8.onnx: its confusion matrix counts {} pictures; expected 1000, none of them below 0"


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1000]], SHAPE.format(1)),
        ([[600, 1]], SHAPE.format(1)),
        ([[600, 1], [2, 397], [0, 0]], SHAPE.format(3)),
        ([[600, 1], [399]], SHAPE.format(2)),
        ([[600, 1], [2, 396, 1]], SHAPE.format(2)),
        ([[], []], SHAPE.format(2)),
        ([[600, 1], [2, 396]], COUNTS.format(999)),
        ([[601, -1], [2, 398]], COUNTS.format(1000)),
        ([[2**63 - 1, 0], [0, 0]], COUNTS.format(2**63 - 1)),
        ([[2**63, 0], [0, 0]], "the number 9223372036854775808 does not fit in 64 bits"),
        ([[600, 1], [2, 397.0]], "confusion[1][1]: got 397.0; expected int"),
    ],
)
@pytest.mark.parametrize("rows", ["artifacts", "elsewhere"])
def test_a_matrix_that_does_not_fit(
    matrix: object, message: str, rows: str, result: ParityResult, tmp_path: Path
) -> None:
    path = tmp_path / "parity.json"
    write_record(path, replace(result, **{"artifacts": (), rows: result.artifacts}))
    record = json.loads(path.read_text())
    record[rows][1]["confusion"] = matrix
    path.write_text(json.dumps(record))
    with pytest.raises(InferenceError) as raised:
        read_record(ParityResult, path, InferenceError)
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)


@pytest.mark.parametrize(("gained", "lost"), [(-1, 0), (0, -1), (6, 5)])
def test_counts_of_a_class_that_do_not_fit(
    gained: int, lost: int, result: ParityResult, tmp_path: Path
) -> None:
    path = tmp_path / "parity.json"
    cat = ClassResult("cat", 10, 0.9, 0.9, 0.9, gained=1, lost=1)
    write_record(path, replace(result, artifacts=(replace(result.artifacts[0], classes=(cat,)),)))
    record = json.loads(path.read_text())
    record["artifacts"][0]["classes"][0].update(gained=gained, lost=lost)
    path.write_text(json.dumps(record))
    with pytest.raises(InferenceError) as raised:
        read_record(ParityResult, path, InferenceError)
    assert str(raised.value).endswith(
        f"class cat: {gained} gained and {lost} lost; expected counts that add up to at most its "
        "10 pictures"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"confidence": "ffff"}, "probabilities: confidence: 4 hexadecimal digits; expected 4000"),
        ({"top5": "ff"}, "probabilities: top5: 2 hexadecimal digits; expected 250 for 1000 pict"),
        ({"confidence": "xy"}, "confidence: got 'xy'; expected whole bytes in hexadecimal"),
        ({"reference_top5": "f"}, "reference_top5: got 'f'; expected whole bytes in hexadecimal"),
    ],
)
def test_probabilities_that_do_not_fit(
    changes: dict[str, str], message: str, result: ParityResult, tmp_path: Path
) -> None:
    path = tmp_path / "parity.json"
    write_record(path, result)
    record = json.loads(path.read_text())
    whole = {**dict.fromkeys(SHARES, "00" * 2000), **dict.fromkeys(TOP5_BITS, "00" * 125)}
    record["artifacts"][0]["probabilities"] = {**whole, **changes}
    path.write_text(json.dumps(record))
    with pytest.raises(InferenceError) as raised:
        read_record(ParityResult, path, InferenceError)
    assert message in str(raised.value)
