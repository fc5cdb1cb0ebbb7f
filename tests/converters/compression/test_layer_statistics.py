"""Second moments by hand, and what they foretell of the logits."""

import keras
import numpy as np
import pytest
from keras import layers

from converters.compression import patches
from converters.compression.flat_graph import FlatGraph, read_flat_graph
from converters.compression.layer_statistics import measure_layers


def quiet(done: int, total: int) -> None:
    """Progress of a test."""


def linear() -> keras.Model:
    """Two positions, two channels, two classes, no bias, no activation."""
    image = keras.Input((1, 2, 3))
    x = layers.Conv2D(2, 1, use_bias=False, name="first")(image)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, layers.Dense(2, use_bias=False, name="head")(x))
    model.set_weights([np.ones((1, 1, 3, 2)), np.array([[3.0, 1.0], [0.0, 4.0]])])
    return model


def named(graph: FlatGraph, name: str):
    return next(call for call in graph.calls if call.name == name)


def test_moments_and_slopes_by_hand() -> None:
    graph = read_flat_graph(linear())
    photos = np.arange(12, dtype=np.float32).reshape(2, 1, 2, 3)
    found = measure_layers(graph, photos, 1, quiet)
    first = found[named(graph, "first")]
    rows = np.append(photos.reshape(4, 3), np.ones((4, 1)), axis=1)
    np.testing.assert_allclose(first.gram, rows.T @ rows / 2)
    np.testing.assert_allclose(first.energy, np.diagonal(rows.T @ rows / 2))
    # Centred logits are (a - 2b, 2b - a). Two equal signs see nothing of them, others twice the
    # difference: the squared slope by a is 0 or 4, by b 0 or 16, and a position has half of a.
    share = first.slopes[0]
    assert 0 < share < 1
    np.testing.assert_allclose(first.slopes, share * np.array([1.0, 4.0]), rtol=1e-6)
    # By a class: 1/2 of its own minus 1/2 of the other, which two equal signs do not see either.
    np.testing.assert_allclose(found[named(graph, "head")].slopes, [share, share], rtol=1e-6)


def test_the_error_of_the_logits_is_foretold(make, photos) -> None:
    """For a layer at the end, whose errors nothing changes any more."""
    graph = read_flat_graph(make("residual"))
    head = named(graph, "head")
    found = measure_layers(graph, photos, 16, quiet)[head]
    rng = np.random.default_rng(0)
    change = rng.normal(size=(12, 4)).astype(np.float32)
    moved = np.append(change, np.zeros((1, 4), np.float32), axis=0)
    foretold = float((found.slopes * np.einsum("io,ij,jo->o", moved, found.gram, moved)).sum())
    before = np.asarray(graph.logits(photos))
    head.layer.kernel.assign_add(change)
    after = np.asarray(graph.logits(photos))
    actual = float(np.square(after - before).sum(axis=1).mean())
    assert foretold == pytest.approx(actual, rel=0.3)


def test_batches_do_not_matter(make, photos, monkeypatch) -> None:
    monkeypatch.setattr(patches, "VECTORS_PER_ROW", 10**6)  # no sample: all positions
    graph = read_flat_graph(make("plain"))
    one, other = (measure_layers(graph, photos, size, quiet) for size in (48, 7))
    for call, found in one.items():
        np.testing.assert_allclose(other[call].gram, found.gram, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(other[call].energy, found.energy, rtol=1e-3, atol=1e-3)


def test_layers_with_many_rows_have_no_products(make, photos, monkeypatch) -> None:
    monkeypatch.setattr(patches, "MOST_ROWS", 50)
    graph = read_flat_graph(make("plain"))
    found = measure_layers(graph, photos, 16, quiet)
    assert found[named(graph, "hidden")].gram is None
    assert found[named(graph, "hidden")].energy.shape == (109,)
    assert found[named(graph, "one")].gram is not None


def test_vectors_are_those_that_the_kernel_reads(make, photos) -> None:
    """A sample of all positions, multiplied by the kernel, gives the layer's sums."""
    for name in ("residual", "plain", "mobile"):
        graph = read_flat_graph(make(name))

        def compare(call, read, value) -> None:
            if isinstance(call.layer, layers.Conv2D | layers.Dense):
                weight, (vectors, sums) = patches.Patches(call, 1).sample(read[0], value)
                assert weight == 1.0
                kernel = np.asarray(call.layer.kernel).reshape(-1, sums.shape[-1])
                bias = np.asarray(call.layer.bias) if call.layer.use_bias else 0
                found = vectors.numpy()[..., :-1] @ kernel + bias
                np.testing.assert_allclose(found, sums, atol=1e-3)

        graph.logits(keras.ops.convert_to_tensor(photos[:2]), compare)


def test_a_sample_stands_for_all_positions(make, photos) -> None:
    graph = read_flat_graph(make("residual"))
    call = named(graph, "block0_1")
    own = patches.Patches(call, 8)  # 8 channels, 8 vectors of each: 8 of 64 positions
    read = np.random.default_rng(0).normal(size=(5, 8, 8, 8)).astype(np.float32)
    weight, (vectors,) = own.sample(keras.ops.convert_to_tensor(read))
    assert vectors.shape == (5, 8, 9)
    assert weight == 8.0
    positions = read.reshape(5, 64, 8)
    for picture, found in enumerate(np.asarray(vectors)):
        for vector in found:
            assert (positions[picture] == vector[:-1]).all(axis=1).any()
