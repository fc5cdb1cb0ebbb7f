"""The reliability diagram draws both sides, from what there is to see, and the same each time."""

from __future__ import annotations

import re

import numpy as np
import pytest

from resnet_edge.ondevice.parity.calibration_error import Answered, compare_calibration
from resnet_edge.reporting.reliability_plot import plot_reliability


def change(confidence: float, right: int, of: int = 40):
    side = Answered(np.full(of, confidence), (np.arange(of) < right).astype(float))
    return compare_calibration(side, side, 0.95)


def test_both_sides_are_named_and_the_diagonal_is_dashed():
    svg = plot_reliability("int8.tflite", change(0.9, 30))
    assert 'aria-label="Reliability diagram of int8.tflite"' in svg
    assert ">reference<" in svg
    assert ">int8.tflite<" in svg
    assert "stroke-dasharray" in svg
    assert svg == plot_reliability("int8.tflite", change(0.9, 30))


@pytest.mark.parametrize(
    ("confidence", "right", "lowest"),
    # Wilson's lower bounds of 40 of 40, 30 of 40 and 0 of 40 are 91.2, 59.8 and 0 %.
    [(1.0, 40, "90 %"), (0.95, 30, "50 %"), (0.3, 0, "0 %")],
)
def test_the_axes_begin_where_there_is_something_to_see(confidence, right, lowest):
    svg = plot_reliability("int8.onnx", change(confidence, right))
    shares = re.findall(r">([0-9.]+ %)<", svg)
    assert min(shares, key=lambda text: float(text[:-2])) == lowest
    assert "100 %" in shares
