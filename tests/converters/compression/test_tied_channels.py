"""Which channels go one by one, which together, and which never."""

import keras
import numpy as np
import pytest
from keras import layers

from converters.compression.flat_graph import read_flat_graph
from converters.compression.tied_channels import Group, find_tied_channels


def groups(model: keras.Model) -> dict[str, Group]:
    return {group.name: group for group in find_tied_channels(read_flat_graph(model)).groups}


def names(calls) -> list[str]:
    return [call.name for call in calls]


def test_sums_tie_all_that_they_add(make) -> None:
    found = groups(make("residual"))
    assert names(found["stem"].producers) == ["stem", "block0_3"]
    assert names(found["stem"].consumers) == ["block0_1", "block1_1", "block1_0"]
    assert len(found["stem"].channels) == 8
    (last,) = (group for name, group in found.items() if name in ("block1_0", "block1_3"))
    assert set(names(last.producers)) == {"block1_0", "block1_3"}
    assert names(last.consumers) == ["head"]
    assert names(found["block0_2"].consumers) == ["block0_3"]
    assert not any(found[name].fixed for name in ("stem", "block0_1", "block0_2"))
    assert found["head"].fixed == "they are the network's answers"


def test_a_product_ties_the_gate_to_what_it_scales(make) -> None:
    found = groups(make("mobile"))
    tied = found["block0_expand"]
    assert names(tied.producers) == ["block0_expand", "block0_gate"]
    assert names(tied.consumers) == ["block0_reduce", "block0_project"]
    assert names(found["block0_reduce"].consumers) == ["block0_gate"]


def test_concatenated_channels_go_one_by_one(make) -> None:
    found = groups(make("dense"))
    assert names(found["stem"].consumers) == ["grow0", "grow1", "grow2", "head"]
    assert names(found["grow1"].consumers) == ["grow2", "head"]


def test_a_flattening_repeats_channels_at_every_position(make) -> None:
    graph = read_flat_graph(make("plain"))
    channels = find_tied_channels(graph)
    hidden = next(call for call in graph.calls if call.name == "hidden")
    read = channels.of[hidden.inputs[0]]
    two = next(group for group in channels.groups if group.name == "two")
    np.testing.assert_array_equal(read, np.tile(two.channels, 9))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (layers.LayerNormalization(name="ln"), "ln (LayerNormalization) reads them in a way"),
        (layers.Conv2D(8, 1, groups=2, name="two"), "two (Conv2D) reads them in a way"),
        (layers.Softmax(name="shares"), "shares (Softmax) reads them in a way"),
        (layers.Reshape((4, 2), name="fold"), "fold (Reshape) reads them in a way"),
        (layers.Permute((2, 3, 1), name="turn"), "turn (Permute) reads them in a way"),
        (layers.Activation("log_softmax", name="logs"), "logs (Activation) reads them in a way"),
        (layers.Rescaling(list(range(8)), name="scale"), "scale (Rescaling) reads them in a way"),
        (layers.DepthwiseConv2D(1, depth_multiplier=2, name="more"), "more (DepthwiseConv2D) re"),
        (layers.Conv2D(4, 1, activation=layers.PReLU(), name="own"), "own (Conv2D) reads them in"),
        (layers.BatchNormalization(axis=1, name="rows"), "rows (BatchNormalization) reads them"),
    ],
)
def test_what_reads_all_channels_together_fixes_them(layer: layers.Layer, reason: str) -> None:
    image = keras.Input((1, 1, 3))
    x = layer(layers.Conv2D(8, 1, name="made")(image))
    model = keras.Model(image, layers.Dense(2, name="head")(layers.Flatten()(x)))
    assert groups(model)["made"].fixed.startswith(reason)


@pytest.mark.parametrize("activation", ["sparsemax", "log_softmax", "softmax"])
def test_an_activation_that_joins_channels_fixes_its_own(activation: str) -> None:
    image = keras.Input((4, 4, 3))
    x = layers.Conv2D(8, 1, activation=activation, name="shares")(image)
    model = keras.Model(image, layers.Dense(2, name="head")(layers.Flatten()(x)))
    reason = f"the activation of shares ({activation}) joins them"
    assert groups(model)["shares"].fixed == reason


@pytest.mark.parametrize(
    ("function", "is_fixed"),
    [
        (lambda x: x * 3.0, False),
        (lambda x: keras.ops.maximum(x, 0.1), False),
        (lambda x: x * np.arange(8.0), True),
        (lambda x: x + np.ones((1, 1, 8)), True),
        (lambda x: keras.ops.mean(x, axis=-1, keepdims=True) * x, True),
    ],
)
def test_functions_of_constants(function, is_fixed: bool) -> None:
    image = keras.Input((4, 4, 3))
    x = function(layers.Conv2D(8, 1, name="made")(image))
    model = keras.Model(image, layers.Dense(2, name="head")(layers.Flatten()(x)))
    assert bool(groups(model)["made"].fixed) == is_fixed


def test_a_reshaping_to_positions_fixes_channels() -> None:
    image = keras.Input((4, 4, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1, name="made")(image))
    x = layers.Dense(5)(layers.Reshape((4, 1), name="turn")(x))
    model = keras.Model(image, layers.Dense(2, name="head")(layers.Flatten()(x)))
    assert groups(model)["made"].fixed == "turn (Reshape) reads them in a way that is not known"


def test_groups_that_begin_at_the_same_layer_have_names_of_their_own() -> None:
    image = keras.Input((4, 4, 3))
    whole = layers.Conv2D(8, 1, name="whole")(image)
    halves = [layers.Conv2D(4, 1, name=name)(image) for name in ("left", "right")]
    x = layers.Add()([whole, layers.Concatenate()(halves)])
    model = keras.Model(image, layers.Dense(2, name="head")(layers.GlobalMaxPooling2D()(x)))
    found = groups(model)
    tied = [set(names(group.producers)) for name, group in found.items() if name != "head"]
    assert len(tied) == 2
    assert {"whole", "left"} in tied
    assert {"whole", "right"} in tied


def test_channels_that_are_read_unequally_often_are_fixed() -> None:
    image = keras.Input((4, 4, 3))
    one, other = (layers.Conv2D(4, 1, name=name)(image) for name in ("one", "other"))
    x = layers.Add()([layers.Concatenate()([one, one]), layers.Concatenate()([one, other])])
    model = keras.Model(image, layers.Dense(2, name="head")(layers.GlobalMaxPooling2D()(x)))
    read_flat_graph(model)
    for group in find_tied_channels(read_flat_graph(model)).groups:
        assert group.name == "head" or not group.fixed or "more often" in group.fixed


def test_layers_that_are_called_twice_are_fixed() -> None:
    image = keras.Input((4, 4, 3))
    shared = layers.Conv2D(3, 1, name="shared")
    x = layers.GlobalAveragePooling2D()(shared(shared(image)))
    found = groups(keras.Model(image, layers.Dense(2, name="head")(x)))
    assert found["shared"].fixed


def test_channels_that_no_kernel_reads_are_fixed() -> None:
    image = keras.Input((4, 4, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 1, name="scores")(image))
    assert groups(keras.Model(image, x))["scores"].fixed == "they are the network's answers"


def test_channels_first_are_not_known() -> None:
    image = keras.Input((3, 4, 4))
    x = layers.Conv2D(4, 1, data_format="channels_first", name="first")(image)
    model = keras.Model(image, layers.Dense(2, name="head")(layers.Flatten()(x)))
    assert "first" not in groups(model)
