import dataclasses
import math

import pytest

from resnet_edge.ondevice.measurements import ClassResult
from resnet_edge.reporting.class_table import build_class_table
from resnet_edge.reporting.confusion_matrices import build_confusion


def counts(matrix):
    return [[cell.count for cell in line] for line in matrix.cells]


def test_matrices_of_two_classes(content, row):
    same = row("fp32.onnx", confusion=content.reference.confusion)
    section = build_confusion(dataclasses.replace(content, artifacts=(same, row("int8.onnx"))))
    assert counts(section.reference) == [[10, 0], [1, 9]]
    assert section.same == ("fp32.onnx",)
    (matrix,) = section.artifacts
    assert matrix.names == ("int8.onnx",)
    assert matrix.columns == ("cat", "dog")
    assert counts(matrix) == [[9, 1], [1, 9]]
    assert [[cell.before for cell in line] for line in matrix.cells] == [[10, 0], [None, None]]
    assert matrix.cells[0][0].share == 0.9
    assert [cell.correct for cell in matrix.cells[0]] == [True, False]


def test_equal_matrices_are_shown_once_and_the_worst_first(content, row):
    rows = (row("fp32.onnx"), row("int8.onnx", agreement=0.2, confusion=((0, 10), (0, 10))))
    section = build_confusion(dataclasses.replace(content, artifacts=(*rows, row("fp16.onnx"))))
    assert [m.names for m in section.artifacts] == [("int8.onnx",), ("fp32.onnx", "fp16.onnx")]


def test_a_nan_agreement_comes_first(content, row):
    rows = (row("fp32.onnx"), row("int8.onnx", agreement=math.nan, confusion=((0, 10), (0, 10))))
    section = build_confusion(dataclasses.replace(content, artifacts=rows))
    assert section.artifacts[0].names == ("int8.onnx",)


def test_of_1000_classes_the_20_worst_are_shown(content, row):
    labels = tuple(f"class {i}" for i in range(1000))
    confusion = [[0] * 1000 for _ in labels]
    for i in range(1000):
        confusion[i][i] = 5
    for i in range(0, 500, 25):  # 20 classes with four wrong answers, all to class 999 or 998
        confusion[i][999 - i % 2] += 4
    one = row("int8.onnx", labels, confusion=tuple(map(tuple, confusion)))
    content = dataclasses.replace(
        content,
        model=dataclasses.replace(content.model, labels=labels),
        reference=None,
        artifacts=(one,),
    )
    section = build_confusion(content)
    (matrix,) = section.artifacts
    assert (section.classes, section.shown) == (1000, 20)
    assert matrix.columns[-1] == "other"
    assert {"class 998", "class 999"} & set(matrix.rows)
    assert all(sum(line) in (5, 9) for line in counts(matrix))
    assert len(build_class_table(content).rows) == 20


def test_a_matrix_of_another_size_is_refused(content, row):
    wrong = row("int8.onnx", confusion=((1,),))
    with pytest.raises(ValueError, match=r"shape \(1, 1\); expected \(2, 2\)"):
        build_confusion(dataclasses.replace(content, artifacts=(wrong,)))


def test_nothing_measured_is_none(content):
    bare = dataclasses.replace(content, reference=None, artifacts=())
    assert build_confusion(bare) is None
    assert build_class_table(bare) is None


def test_classes_are_ordered_by_their_loss(content, row):
    classes = (ClassResult("cat", 10, 0.9, 0.9, 1.0), ClassResult("dog", 10, 0.5, 0.9, 0.6))
    rows = (row("int8.onnx", classes=classes), row("fp32.onnx", classes=(classes[0],) * 2))
    table = build_class_table(dataclasses.replace(content, artifacts=rows))
    assert [r.label for r in table.rows] == ["dog", "cat"]
    assert (table.artifacts, table.same) == (("int8.onnx",), ("fp32.onnx",))
    assert [(c.top1, c.change) for c in table.rows[0].cells] == [("50.0 %", -1)]
    assert [(c.top1, c.change) for c in table.rows[1].cells] == [("90.0 %", 0)]


def test_classes_without_pictures_are_counted_not_judged(content, row):
    classes = (ClassResult("cat", 10, 0.9, 0.9, 1.0), ClassResult("dog", 0, math.nan, math.nan, 1))
    table = build_class_table(
        dataclasses.replace(content, artifacts=(row("int8.onnx", classes=classes),))
    )
    assert [r.label for r in table.rows] == ["cat"]
    assert (table.classes, table.untested, table.artifacts) == (1, 1, ())
