import dataclasses
import math
import re
from xml.etree import ElementTree

import pytest

from resnet_edge.reporting.artifact_plots import plot_accuracy_latency, plot_differences
from resnet_edge.reporting.content import EpochPoint
from resnet_edge.reporting.training_plot import plot_training


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("text")]


def test_scatter_names_every_artifact_and_the_reference(content):
    svg = plot_accuracy_latency(content)
    assert {row.name for row in content.artifacts} <= set(texts(svg))
    assert any(text.startswith("reference") for text in texts(svg))


def test_plots_are_the_same_bytes_twice(content):
    assert plot_accuracy_latency(content) == plot_accuracy_latency(content)
    assert plot_training(content.history) == plot_training(content.history)


def test_plots_take_their_colours_from_the_page_and_need_nothing_else(content):
    for svg in (plot_accuracy_latency(content), plot_differences(content)):
        assert "var(--ink)" in svg
        assert not re.search(r"#0[1-8]0[1-8]0[1-8]", svg)
        assert "http" not in svg
        assert "<metadata" not in svg
        referenced = set(re.findall(r"#([\w-]+)", svg))
        assert referenced <= set(re.findall(r'id="([^"]+)"', svg))


def test_scatter_without_both_measurements_is_none(content, row):
    bare = dataclasses.replace(row("fp32.onnx"), bench=None)
    assert plot_accuracy_latency(dataclasses.replace(content, artifacts=(bare,))) is None
    broken = row("fp32.onnx", top1=math.nan)
    assert plot_accuracy_latency(dataclasses.replace(content, artifacts=(broken,))) is None
    assert plot_accuracy_latency(dataclasses.replace(content, artifacts=())) is None


def test_scatter_keeps_a_worthless_artifact_at_the_edge(content, row):
    rows = (row("fp32.onnx"), row("int8.onnx", top1=0.1))
    svg = plot_accuracy_latency(dataclasses.replace(content, artifacts=rows))
    assert "int8.onnx: 10.0 % ↓" in texts(svg)


def test_scatter_without_a_reference_and_over_decades(content, row, bench, latency):
    slow = dataclasses.replace(row("fp32.onnx"), bench=bench("fp32.onnx", latency(200.0)))
    rows = (slow, row("int8.onnx"))
    svg = plot_accuracy_latency(dataclasses.replace(content, reference=None, artifacts=rows))
    assert {"fp32.onnx", "int8.onnx", "100"} <= set(texts(svg))


def test_differences_without_intervals_is_none(content, row):
    gate = dataclasses.replace(row("fp32.onnx").parity.gate, interval=None)
    rows = (row("fp32.onnx", gate=gate),)
    assert plot_differences(dataclasses.replace(content, artifacts=rows)) is None


def test_training_skips_what_is_not_finite():
    points = (
        EpochPoint(1, "head", math.nan, 0.5, None, None),
        EpochPoint(2, "head", math.inf, 0.6, None, None),
    )
    assert len(plot_training(points)) == 1
    assert plot_training(()) == ()


@pytest.mark.parametrize("epochs", [1, 40])
def test_training_of_any_length(epochs):
    points = tuple(EpochPoint(i + 1, "head", 1.0, 1.0, 1.0, 1.0) for i in range(epochs))
    loss, accuracy = plot_training(points)
    assert "validation" in texts(loss)
    assert "100 %" in texts(accuracy)
