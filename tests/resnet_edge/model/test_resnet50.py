"""The topology: parameters, names, paddings, and equality with keras.applications."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from resnet_edge.model.layer_names import (
    APPLICATION_NAMES,
    CLASSIC_NAMES,
    CONVOLUTIONS,
    batch_norm_of,
    classic_name,
    shortcut_last,
)
from resnet_edge.model.resnet50 import conv_block, identity_block, resnet50

WIDTH = 1 / 16


@pytest.fixture(scope="module")
def full() -> keras.Model:
    return resnet50((64, 64, 3))


def test_parameters_and_summary(full: keras.Model) -> None:
    lines: list[str] = []
    full.summary(print_fn=lines.append)
    assert full.count_params() == 25_636_712
    assert "25,636,712" in "\n".join(lines)


def test_output_is_softmax_of_classes(full: keras.Model) -> None:
    assert full.output_shape == (None, 1000)
    assert full.layers[-1].activation is keras.activations.softmax


def test_layer_names(full: keras.Model) -> None:
    names = [layer.name for layer in full.layers]
    weighted = {layer.name for layer in full.layers if layer.weights}
    assert {"conv1", "bn_conv1", "res2a_branch2a", "bn2a_branch2a", "res2a_branch1"} < weighted
    assert weighted == {*APPLICATION_NAMES, "fc1000"}
    assert names[-2:] == ["avg_pool", "fc1000"]


def test_four_stages_of_3_4_6_3_blocks_with_the_stride_on_the_first_1x1(full: keras.Model) -> None:
    adds = [layer.name for layer in full.layers if isinstance(layer, keras.layers.Add)]
    assert adds == [
        f"res{stage}{block}"
        for stage, blocks in zip("2345", (3, 4, 6, 3), strict=True)
        for block in "abcdef"[:blocks]
    ]
    strided = {
        layer.name
        for layer in full.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.strides == (2, 2)
    }
    branches = ("branch1", "branch2a")
    assert strided == {
        "conv1",
        *(f"res{stage}a_{branch}" for stage in "345" for branch in branches),
    }


def test_equals_keras_applications(
    full: keras.Model,
    randomize: Callable[..., keras.Model],
    answers: Callable[..., np.ndarray],
) -> None:
    randomize(full, seed=3)
    theirs = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3))
    for layer in full.layers:
        if layer.weights:
            name = APPLICATION_NAMES.get(layer.name, "predictions")
            theirs.get_layer(name).set_weights(layer.get_weights())
    got, expected = answers(full, (64, 64, 3)), answers(theirs, (64, 64, 3))
    assert expected.std() > 1e-4
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def test_layer_orders_that_unnamed_weight_files_rely_on(full: keras.Model) -> None:
    theirs = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3))
    assert {layer.name for layer in theirs.layers if layer.weights} == {
        *CLASSIC_NAMES,
        "predictions",
    }
    ours_in_order = shortcut_last(CONVOLUTIONS)
    for model, expected in ((theirs, CONVOLUTIONS), (full, ours_in_order)):
        convolutions = [x.name for x in model.layers if isinstance(x, keras.layers.Conv2D)]
        norms = [x.name for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
        assert tuple(map(classic_name, convolutions)) == expected
        assert tuple(map(classic_name, norms)) == tuple(map(batch_norm_of, expected))


def test_pretrained_padding_is_explicit() -> None:
    model = resnet50((64, 64, 3), 2, width=WIDTH)
    assert model.get_layer("conv1_pad").padding == ((3, 3), (3, 3))
    assert model.get_layer("pool1_pad").padding == ((1, 1), (1, 1))
    assert model.get_layer("conv1").padding == "valid"
    assert model.get_layer("pool1").output.shape[1:3] == (16, 16)


def test_textbook_padding_has_no_explicit_one() -> None:
    model = resnet50((64, 64, 3), 2, width=WIDTH, padding="textbook")
    assert not [x for x in model.layers if isinstance(x, keras.layers.ZeroPadding2D)]
    assert model.get_layer("conv1").padding == "same"
    assert model.get_layer("pool1").output.shape[1:3] == (15, 15)


def test_both_paddings_have_the_same_weights() -> None:
    one, other = (
        resnet50((32, 32, 3), 2, width=WIDTH, padding=padding)
        for padding in ("pretrained", "textbook")
    )
    assert [w.shape for w in one.weights] == [w.shape for w in other.weights]


def test_options_reach_the_layers() -> None:
    model = resnet50((32, 32, 3), 2, width=WIDTH, weight_decay=1e-3, epsilon=0.5, dropout=0.25)
    assert model.get_layer("res5c_branch2c").kernel_regularizer.l2 == pytest.approx(1e-3)
    assert {
        layer.epsilon
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    } == {0.5}
    assert model.get_layer("head_dropout").rate == 0.25
    assert len(model.losses) == 53


def test_without_top_gives_pooled_features() -> None:
    assert resnet50((32, 32, 3), include_top=False, width=WIDTH).output_shape == (None, 128)


def test_blocks_are_public() -> None:
    image = keras.Input((8, 8, 4))
    wide = conv_block(image, (2, 2, 8), 2, "a", strides=2)
    same = identity_block(wide, (2, 2, 8), 2, "b")
    assert wide.shape == same.shape == (None, 4, 4, 8)
    with pytest.raises(ValueError, match=r"4 channels; expected filters\[2\] = 8; use conv_block"):
        identity_block(image, (2, 2, 8), 2, "c")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (16, 64, 3)}, r"got \(16, 64, 3\); expected .* at least 32"),
        ({"classes": 0}, "classes: got 0; expected at least 1"),
        ({"width": 0.001}, "width: got 0.001; expected at least"),
        ({"padding": "same"}, "got 'same'; expected 'pretrained' or 'textbook'"),
    ],
)
def test_impossible_settings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resnet50(**arguments)
