import dataclasses
import math

import pytest

from resnet_edge.reporting.provenance import Fact, build_provenance
from resnet_edge.reporting.quantization_section import (
    LAYER_HEADINGS,
    TRIAL_HEADINGS,
    build_quantization,
    rank_layers,
)


@pytest.fixture
def section(content, quantization):
    def build(artifacts=(), **changes):
        return build_quantization(
            dataclasses.replace(
                content,
                artifacts=tuple(artifacts),
                quantization=dataclasses.replace(quantization, **changes),
            )
        )

    return build


def found(row, **findings):
    return dataclasses.replace(row, sidecar=dataclasses.replace(row.sidecar, findings=findings))


def test_nothing_known_is_none(content):
    assert build_quantization(content) is None


def test_the_noisiest_come_first_and_keep_their_numbers(section):
    built = section()
    assert [(r.number, r.layer, r.share) for r in built.noisiest] == [
        ("2", "conv2", "62.50 %"),
        ("1", "conv1", "25.00 %"),
        ("3", "head", "12.50 %"),
    ]
    assert [r.layer for r in built.layers] == ["conv1", "conv2", "head"]
    assert built.layers[0].cells == (
        "conv1", "CONV_2D", "1", "−1.50 to 20.2", "30.0 dB", "40.1 dB", "99.50 %", "25.00 %",
    )  # fmt: skip
    assert len(LAYER_HEADINGS) == len(built.layers[0].cells)
    assert built.summary == "3 layers, largest share first."


def test_fifteen_of_many_and_what_they_cause(section, layer):
    layers = tuple(layer(f"conv{i}", (i + 1) / 210) for i in range(20))  # 1 + … + 20 = 210
    built = section(layers=layers)
    assert (len(built.noisiest), len(built.layers)) == (15, 20)
    assert built.noisiest[0].layer == "conv19"
    # 6 + … + 20 = 195, and 195 / 210 = 92.86 %.
    assert built.summary == "Of 20 layers, the 15 noisiest cause 92.9 % of the noise."


def test_what_is_not_finite_is_a_dash_or_exact(section, layer):
    broken = layer(
        "pool",
        math.nan,
        low=math.nan,
        output_sqnr_db=-math.inf,
        logits_sqnr_db=math.inf,
        agreement=math.nan,
    )
    built = section(layers=(broken, layer("conv", 0.0001)))
    assert [r.layer for r in built.noisiest] == ["conv", "pool"]
    assert built.noisiest[0].share == "0.01 %"
    assert built.noisiest[1].cells == ("pool", "CONV_2D", "1", "–", "–", "exact", "–", "–")


def test_no_layer_and_no_share(section, layer):
    assert section(layers=()).summary == "No layer was measured by itself."
    summary = section(layers=(layer("a", math.nan),)).summary
    assert summary == "1 layer; no share of the noise is known."
    summary = section(layers=(layer("a", 0.0), layer("b", 0.0))).summary
    assert summary == "2 layers; none causes noise in the logits by itself."


def test_equal_shares_stay_in_graph_order(layer):
    assert rank_layers((layer("a", 0.2), layer("b", 0.4), layer("c", 0.2))) == [1, 0, 2]


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.0, 6.0, "0 to 6.00"),
        (-1e-30, 1234.5, "−1.00e−30 to 1,234"),
        (-2e9, 0.0123, "−2.00e+09 to 0.0123"),
        (-math.inf, 1.0, "–"),
    ],
)
def test_ranges(section, layer, low, high, text):
    assert section(layers=(layer("a", 1.0, low=low, high=high),)).layers[0].range == text


def test_operators_are_named_once(section, layer):
    built = section(layers=(layer("a", 1.0, kinds=("PAD", "CONV_2D", "PAD")),))
    assert built.layers[0].kinds == "PAD, CONV_2D"


def test_trials(section, trial):
    many = trial("d", "a", "b", "c", "d", agreement=math.nan, sqnr_db=math.inf, latency_s=math.nan)
    built = section(trials=(trial(""), trial("tail", "head"), many), best=0)
    assert [r.cells for r in built.trials] == [
        ("nothing yet", "none", "97.50 %", "21.3 dB", "25.9 MB", "18.1", "no, best"),
        ("tail to integers", "head", "97.50 %", "21.3 dB", "25.9 MB", "18.1", "no"),
        ("d to float", "a, b, c and 1 more", "–", "exact", "25.9 MB", "–", "no"),
    ]
    assert len(TRIAL_HEADINGS) == len(built.trials[0].cells)


def test_findings_are_told_once_and_single_artifacts_named(section, row):
    shared = {"equalisation": "strength 0.5, 3 groups of tensors", "layers in float": "conv2"}
    built = section(
        artifacts=(
            row("fp32.onnx"),
            found(row("int8.tflite"), **shared),
            found(row("int8.onnx"), **shared, processor="avx2: no VNNI"),
        )
    )
    assert built.facts == (
        Fact("method", "equalized"),
        Fact("calibration", "200 pictures"),
        Fact("equalisation", "strength 0.5, 3 groups of tensors"),
        Fact("layers in float", "conv2"),
        Fact("processor", "int8.onnx: avx2: no VNNI"),
    )


def test_findings_that_differ_are_told_apart(section, row):
    one = found(row("int8.tflite"), equalisation="none")
    facts = section(artifacts=(one, row("int16x8.tflite"))).facts
    assert facts[-1] == Fact("equalisation", "int8.tflite: none")


def test_provenance_has_the_findings_of_each_artifact(content, row):
    one = found(row("int8.onnx"), processor="avx2: no VNNI")
    sheet = build_provenance(dataclasses.replace(content, artifacts=(one,)))[-1]
    assert sheet.title == "int8.onnx"
    assert Fact("processor", "avx2: no VNNI") in sheet.facts
