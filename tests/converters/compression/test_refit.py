"""What is fitted anew gives back what the network gave, as far as what is left can."""

import keras
import numpy as np
import pytest
from keras import layers

from converters.compression import patches, refit
from converters.compression.flat_graph import FlatGraph, read_flat_graph
from converters.compression.slimming import Slimmed, slim
from converters.compression.tied_channels import find_tied_channels


def without(model: keras.Model, **gone: tuple[int, ...]) -> Slimmed:
    """The model without channels, given by the names of groups and the places in them."""
    graph = read_flat_graph(model)
    channels = find_tied_channels(graph)
    by_name = {group.name: group.channels for group in channels.groups}
    removed = [by_name[name][place] for name, places in gone.items() for place in places]
    return slim(graph, channels, removed)


def fit(slimmed: Slimmed, photos: np.ndarray) -> None:
    refit.refit(slimmed, photos, 12, lambda *_: None)


def error(slimmed: Slimmed, photos: np.ndarray) -> float:
    """Squared error of the logits, relative to their variance."""
    before, after = (np.asarray(g.logits(photos)) for g in (slimmed.before, slimmed.after))
    return float(np.square(after - before).sum() / np.square(before - before.mean(0)).sum())


def named(graph: FlatGraph, name: str):
    return next(call.layer for call in graph.calls if call.name == name)


def copy_channel(model: keras.Model, producer: str, norm: str) -> None:
    """Make the second channel of a layer with a batch normalization a copy of the first, and both
    matter."""
    for layer in (model.get_layer(producer), model.get_layer(norm)):
        weights = [np.array(w) for w in layer.get_weights()]
        weights[0] *= 3
        for weight in weights:
            weight[..., 1] = weight[..., 0]
        layer.set_weights(weights)


def test_a_copy_is_made_up_for_exactly(make, photos, monkeypatch) -> None:
    monkeypatch.setattr(refit, "RIDGES", (1e-7,))
    model = make("residual")
    copy_channel(model, "block0_1", "block0_1_bn")
    slimmed = without(model, block0_1=(1,))
    before = error(slimmed, photos)
    fit(slimmed, photos)
    assert error(slimmed, photos) < 0.001 * before


def test_what_is_lost_can_be_lessened(network, photos) -> None:
    graph = read_flat_graph(network)
    channels = find_tied_channels(graph)
    gone = [c for group in channels.groups if not group.fixed for c in group.channels[::3]]
    slimmed = slim(graph, channels, gone)
    before = error(slimmed, photos)
    fit(slimmed, photos)
    assert error(slimmed, photos) < 0.6 * before


def test_a_lost_constant_moves_into_the_bias_or_the_statistics(make, photos) -> None:
    """A channel that gives the same everywhere: no kernel is needed to make up for it."""
    for group, consumer in (("block0_1", "block0_2_bn"), ("block0_2", "block0_3_bn")):
        model = make("residual")
        norm = model.get_layer(f"{group}_bn")
        gamma, beta, mean, variance = (np.array(w) for w in norm.get_weights())
        gamma[3], beta[3] = 0, 2
        norm.set_weights([gamma, beta, mean, variance])
        slimmed = without(model, **{group: (3,)})
        statistics = np.array(named(slimmed.after, consumer).moving_mean.numpy())
        fit(slimmed, photos)
        assert (
            np.abs(np.array(named(slimmed.after, consumer).moving_mean.numpy()) - statistics).max()
            > 0.1
        )
        assert error(slimmed, photos) < 0.05


def test_the_network_before_does_not_change(network, photos) -> None:
    weights = network.get_weights()
    graph = read_flat_graph(network)
    channels = find_tied_channels(graph)
    gone = [group.channels[0] for group in channels.groups if not group.fixed]
    fit(slim(graph, channels, gone), photos)
    for old, new in zip(weights, network.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_nothing_is_changed_where_nothing_is_lost(make, photos) -> None:
    model = make("residual")
    slimmed = without(model)
    weights = slimmed.model.get_weights()
    fit(slimmed, photos)
    for old, new in zip(weights, slimmed.model.get_weights(), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-4)


def test_a_sum_is_made_up_for_by_the_last_summand(randomize, photos) -> None:
    """Without activations the second branch can do all that the first one has lost."""
    image = keras.Input((16, 16, 3))
    stem = layers.Conv2D(8, 3, activation="relu", name="stem")(image)
    first = layers.Conv2D(4, 1, name="two")(layers.Conv2D(6, 1, name="one")(stem))
    first = layers.BatchNormalization()(first)
    second = layers.BatchNormalization()(layers.Conv2D(4, 1, name="three")(stem))
    x = layers.ReLU()(layers.Add()([first, second]))
    x = layers.GlobalAveragePooling2D()(x)
    model = randomize(keras.Model(image, layers.Dense(3, name="head")(x)))
    found = []
    for others in (refit._Fit._lack_of_other_summands, lambda self: None):
        slimmed = without(model, one=(0, 1, 2, 3, 4))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(refit._Fit, "_lack_of_other_summands", others)
            fit(slimmed, photos)
        found.append(error(slimmed, photos))
    together, alone = found
    assert together < 0.01 * alone


def test_a_summand_that_is_scaled_away_makes_up_for_nothing(make, photos) -> None:
    """The last batch normalization of a residual branch often begins at zero."""
    model = make("residual")
    norm = model.get_layer("block1_3_bn")
    gamma, *others = norm.get_weights()
    norm.set_weights([np.append(np.zeros(6), gamma[6:]), *others])
    slimmed = without(model, block0_1=(0, 1))
    fit(slimmed, photos)
    assert all(np.isfinite(w).all() for w in slimmed.model.get_weights())
    assert np.abs(named(slimmed.after, "block1_3").kernel.numpy()).max() < 20


def test_layers_with_many_rows(make, photos, monkeypatch) -> None:
    model = make("plain")
    gone = {"two": (0, 1, 2, 3)}
    slimmed = without(model, **gone)
    before = error(slimmed, photos)
    monkeypatch.setattr(patches, "MOST_ROWS", 50)  # of the flattened layer and the second
    fit(slimmed, photos)
    assert error(slimmed, photos) < 0.6 * before


def test_both_ways_to_solve_agree() -> None:
    """More vectors than values: the normal equations and the products of vectors."""
    rng = np.random.default_rng(0)
    read = np.append(rng.normal(size=(30, 5)), np.ones((30, 1)), axis=1)
    lacks = rng.normal(size=(30, 2))
    vectors = refit._Vectors.of(read[np.newaxis], lacks[np.newaxis], 1.0)
    moments = refit._Moments.of(read[np.newaxis], lacks[np.newaxis], 1.0)
    change = np.linalg.lstsq(read, lacks, rcond=None)[0]
    for found in (vectors, moments):
        np.testing.assert_allclose(found.solve(1e-9), change, atol=1e-5)
        assert found.error(change) == pytest.approx(np.square(lacks - read @ change).sum())
        assert found.unchanged == pytest.approx(np.square(lacks).sum())
        np.testing.assert_allclose(found.without_bias().solve(1e-9)[-1], 0, atol=1e-12)
    np.testing.assert_allclose((vectors + vectors).read[30:], read)
    np.testing.assert_allclose((moments + moments).gram, 2 * read.T @ read)


def test_every_fifth_picture_judges_in_batches_of_any_size(make, photos) -> None:
    """What is fitted does not depend on how many pictures run at once."""
    found = []
    for batch in (48, 7):
        slimmed = without(make("plain"), two=(0, 1, 2, 3))
        refit.refit(slimmed, photos, batch, lambda *_: None)
        found.append(np.asarray(slimmed.after.logits(photos)))
    np.testing.assert_allclose(found[1], found[0], atol=0.05 * np.ptp(found[0]))


def test_one_picture_is_enough(make, photos) -> None:
    slimmed = without(make("residual"), block0_1=(0,))
    fit(slimmed, photos[:1])
    assert np.isfinite(np.asarray(slimmed.after.logits(photos))).all()


def test_a_layer_without_bias_or_statistics_keeps_none(photos) -> None:
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, activation="relu", name="one")(image)
    x = layers.Conv2D(4, 3, activation="relu", use_bias=False, name="two")(x)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    slimmed = without(model, one=(0, 1, 2))
    fit(slimmed, photos)
    assert named(slimmed.after, "two").bias is None
