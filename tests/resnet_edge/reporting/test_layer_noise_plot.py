import math
import re
from xml.etree import ElementTree

import pytest

from resnet_edge.reporting.layer_noise_plot import plot_shares, spread


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("text")]


def names(svg):
    return [text for text in texts(svg) if text.startswith("conv")]


def test_the_ten_noisiest_are_named_in_graph_order(layer):
    shares = [0.0001, 0.12, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.0002]
    layers = tuple(layer(f"conv{i}", share) for i, share in enumerate(shares))
    svg = plot_shares(layers)
    assert names(svg) == [f"conv{i}" for i in (1, 3, 4, 5, 6, 7, 8, 9, 10, 11)]
    assert {"0 %", "10 %"} <= set(texts(svg))
    assert "12 %" not in texts(svg)


def test_the_plot_is_the_same_bytes_twice_and_needs_nothing_else(layer):
    layers = tuple(layer(f"conv{i}", 0.1) for i in range(10))
    svg = plot_shares(layers)
    assert svg == plot_shares(layers)
    assert "var(--orange)" in svg
    assert not re.search(r"#0[1-8]0[1-8]0[1-8]", svg)
    assert "http" not in svg
    referenced = set(re.findall(r"#([\w-]+)", svg))
    assert referenced <= set(re.findall(r'id="([^"]+)"', svg))


@pytest.mark.parametrize("shares", [(), (0.0,), (math.nan,), (math.nan, 0.0, -0.1)])
def test_without_any_share_there_is_no_plot(layer, shares):
    assert plot_shares(tuple(layer(f"conv{i}", s) for i, s in enumerate(shares))) is None


def test_layers_without_a_share_are_not_named(layer):
    layers = (layer("conv0", math.nan), layer("conv1", 0.0), layer("conv2", 1.0))
    svg = plot_shares(layers)
    assert names(svg) == ["conv2"]
    assert {"1", "2", "3", "100 %"} <= set(texts(svg))


@pytest.mark.parametrize("count", [1, 70, 1000])
def test_any_number_of_layers(layer, count):
    svg = plot_shares(tuple(layer(f"conv{i}", 1 / count) for i in range(count)))
    assert len(names(svg)) == min(10, count)


def test_a_long_name_keeps_both_ends_and_odd_letters_do_no_harm(layer):
    odd = "猫 $x_1$ <b>\n\x07\u202e"
    svg = plot_shares((layer("backbone/conv2_block1/first/convolution_17", 0.5), layer(odd, 0.5)))
    assert "backbone/con…nvolution_17" in texts(svg)
    assert "猫 $x_1$ <b>" in texts(svg)


def test_spread_keeps_the_gap_and_the_limits():
    assert spread([10, 50], 20, [100, 100]) == [10, 50]
    assert spread([10, 11, 12], 20, [100, 100, 100]) == [10, 30, 50]
    assert spread([10, 90, 91], 20, [100, 100, 95]) == [10, 75, 95]
    assert spread([98], 20, [60]) == [60]
    assert spread([], 20, []) == []
