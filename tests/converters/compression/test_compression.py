"""From a model and pictures to a smaller model."""

import keras
import numpy as np
import pytest
from keras import layers

from converters.compression import compression
from converters.compression.compression import measure
from converters.compression.flat_graph import read_flat_graph
from converters.compression.input_size import at_input_size
from converters.compression.slimming import slim
from converters.compression.widths import channels_of, multiply_adds, parameters
from converters.errors import ModelConversionError
from converters.multiply_adds import count_multiply_adds
from converters.preprocessing import PREPROCESSINGS

AS_THEY_ARE = PREPROCESSINGS["none"]


def silent(what: str, done: int, total: int) -> None:
    """Progress of a test."""


@pytest.mark.parametrize("share", [0.8, 0.5])
def test_a_share_of_the_multiply_adds(network, photos, answers, share: float) -> None:
    found = measure(network, AS_THEY_ARE, photos, silent).slimmed(share, silent)
    cost = count_multiply_adds(found.model) / count_multiply_adds(network)
    assert cost == pytest.approx(found.widths.share)
    assert 0.5 * share < cost <= share
    assert found.model.input_shape == network.input_shape
    assert found.model.output_shape == network.output_shape
    assert np.isfinite(answers(found.model, photos)).all()


def test_a_model_of_many_shares_from_one_measurement(make, photos) -> None:
    measured = measure(make("residual"), AS_THEY_ARE, photos, silent)
    parameters = [measured.slimmed(share, silent).model.count_params() for share in (0.9, 0.6, 0.3)]
    assert parameters == sorted(parameters, reverse=True)
    assert len(set(parameters)) == 3


def test_the_same_inputs_give_the_same_weights(make, photos) -> None:
    one, two = (
        measure(make("mobile"), AS_THEY_ARE, photos, silent)
        .slimmed(0.6, silent)
        .model.get_weights()
        for _ in range(2)
    )
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)


def test_progress_names_what_is_done(make, photos) -> None:
    seen: list[tuple[str, int, int]] = []
    measure(make("plain"), AS_THEY_ARE, photos, lambda *call: seen.append(call)).slimmed(
        0.6, lambda *call: seen.append(call)
    )
    assert list(dict.fromkeys(words for words, *_ in seen)) == [
        "measuring layers",
        "ordering channels",
        "fitting",
    ]
    assert all(1 <= done <= total for _, done, total in seen)


def test_fixed_groups_say_why(make, photos) -> None:
    measured = measure(make("nested"), AS_THEY_ARE, photos, silent)
    assert {group.name: group.fixed for group in measured.fixed} == {
        "head": "they are the network's answers"
    }


def test_a_network_without_a_channel_that_may_go(photos) -> None:
    image = keras.Input((16, 16, 3))
    x = layers.LayerNormalization(name="ln")(layers.Conv2D(4, 3, name="only")(image))
    model = keras.Model(image, layers.Dense(3, name="head")(layers.Flatten()(x)), name="small")
    with pytest.raises(ModelConversionError) as problem:
        measure(model, AS_THEY_ARE, photos, silent)
    assert str(problem.value) == (
        "small has no channel that can be removed; head: they are the network's answers; "
        "only: ln (LayerNormalization) reads them in a way that is not known"
    )


def test_a_network_without_a_kernel(photos) -> None:
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(image), name="mean")
    with pytest.raises(ModelConversionError, match="mean has no convolution or dense layer"):
        measure(model, AS_THEY_ARE, photos, silent)


def test_pictures_have_bounds(make, photos, monkeypatch) -> None:
    """The largest tensor of the network has 14 * 14 * 8 values for a picture."""
    assert compression.most_pictures(read_flat_graph(make("plain"))) == 1000
    monkeypatch.setattr(compression, "MOST_VALUES", 40 * 14 * 14 * 8)
    measured = measure(make("plain"), AS_THEY_ARE, photos, silent)
    assert len(measured.pictures) == 40
    monkeypatch.setattr(compression, "MOST_VALUES", 1)
    assert compression.most_pictures(measured.graph) == 1


def test_no_pictures(make, photos) -> None:
    with pytest.raises(ModelConversionError, match="no pictures"):
        measure(make("plain"), AS_THEY_ARE, photos[:0], silent)


def test_answers_that_are_not_finite(make, photos) -> None:
    model = make("plain")
    model.get_layer("head").bias.assign([np.nan] * 5)
    with pytest.raises(ModelConversionError, match="plain gives answers that are not finite"):
        measure(model, AS_THEY_ARE, photos, silent)


def test_one_answer_is_no_choice(photos) -> None:
    image = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    model = keras.Model(image, layers.Dense(1, activation="sigmoid")(x), name="score")
    with pytest.raises(ModelConversionError, match=r"score answers \(1,\) values; expected one"):
        measure(model, AS_THEY_ARE, photos, silent)


def test_several_limits_are_held_at_once(make, photos) -> None:
    measured = measure(make("residual"), AS_THEY_ARE, photos, silent)
    adds = multiply_adds(measured.graph)
    calls = measured.graph.calls
    full = [
        sum(cost(call, *channels_of(measured.graph, call)) for call in calls)
        for cost in (adds, parameters)
    ]
    for shares in ((0.5, 0.9), (0.9, 0.5), (0.6, 0.6)):
        limits = [(adds, shares[0] * full[0]), (parameters, shares[1] * full[1])]
        widths = measured.within(limits)
        assert widths is not None
        model = slim(measured.graph, measured.channels, widths.removed).model
        graph = read_flat_graph(model)
        for cost, limit in ((multiply_adds(graph), limits[0][1]), (parameters, limits[1][1])):
            spent = sum(cost(call, *channels_of(graph, call)) for call in graph.calls)
            assert 0.5 * limit < spent <= limit * (1 + 1e-9)


def test_limits_that_all_channels_hold_remove_none(make, photos) -> None:
    measured = measure(make("residual"), AS_THEY_ARE, photos, silent)
    widths = measured.within([(parameters, 1e9)])
    assert widths is not None
    assert widths.removed == ()


def test_limits_that_the_narrowest_network_exceeds(make, photos) -> None:
    measured = measure(make("residual"), AS_THEY_ARE, photos, silent)
    assert measured.within([(parameters, 1.0)]) is None
    assert measured.within([(parameters, 1e9), (multiply_adds(measured.graph), 1.0)]) is None


@pytest.mark.parametrize("kind", ["residual", "mobile", "dense"])
def test_another_size_takes_the_same_order(make, photos, answers, kind: str) -> None:
    model = make(kind)
    measured = measure(model, AS_THEY_ARE, photos, silent)
    larger = read_flat_graph(at_input_size(model, 24, 24))
    pictures = np.random.default_rng(0).uniform(0, 255, (12, 24, 24, 3)).astype(np.float32)
    other = measured.at(larger, pictures)
    found = other.narrowed(other.widths(0.6), silent)
    assert found.model.input_shape == (None, 24, 24, 3)
    assert count_multiply_adds(found.model) < 0.61 * count_multiply_adds(larger.model)
    assert np.isfinite(answers(found.model, pictures)).all()
