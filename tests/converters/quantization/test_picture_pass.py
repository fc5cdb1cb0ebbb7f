"""Passes over pictures, spread as other machines would: the calibration has the same bytes."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from converters.quantization import tensorflow_execution
from converters.quantization.calibrated_file import save_calibrated
from converters.quantization.calibration import calibrate
from converters.quantization.picture_pass import (
    Advance,
    Arrays,
    PicturePass,
    cut,
    merge_parts,
    run_here,
)
from converters.quantization.settings import Level, QuantizationSettings

EQUALIZED = {"extremes", "means", "features", "histograms"}


@dataclass
class Elsewhere:
    """Measures shards of some batches, the last one first, by a pass that was sent there."""

    batches: int
    """Of a shard."""
    titles: set[str] = field(default_factory=set)
    shards: int = 0

    def __call__(
        self,
        work: PicturePass,
        pictures: np.ndarray,
        parts: Sequence[np.ndarray],
        advance: Advance,
    ) -> list[Arrays]:
        self.titles.add(work.title)
        sent = pickle.dumps(work)
        batches = cut(parts, work.batch)
        found: list[dict[int, Arrays]] = []
        for start in reversed(range(0, len(batches), self.batches)):
            there: PicturePass = pickle.loads(sent)
            measure = there.open()
            chosen = batches[start : start + self.batches]
            rows = ((batch.part, measure(pictures[batch.places])) for batch in chosen)
            found.append(merge_parts(there, rows))
            advance(sum(len(batch.places) for batch in chosen))
        self.shards += len(found)
        both = (one for shard in reversed(found) for one in shard.items())
        return list(merge_parts(work, both).values())


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorflow_execution, "PIXELS_PER_BATCH", 10 * 16 * 16)


def kept(folder: Path, made, level: Level, spread=run_here) -> bytes:
    found = calibrate(
        made.float32, made.pictures, QuantizationSettings(level), made.layers, spread=spread
    )
    save_calibrated(folder / "quantization.npz", made.float32, found)
    return (folder / "quantization.npz").read_bytes()


def test_a_spread_level_fast_has_the_same_bytes(each, tmp_path: Path):
    spread = Elsewhere(2)
    assert kept(tmp_path, each, Level.FAST, spread) == kept(tmp_path, each, Level.FAST)
    assert spread.titles == {"ranges"}
    assert spread.shards == 20


def plain_layers(x: keras.KerasTensor) -> keras.KerasTensor:
    y = layers.Conv2D(4, 3, strides=2, activation="relu", name="conv")(x)
    y = layers.Conv2D(6, 3, activation="relu", name="last")(y)
    return layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(y))


def nested_layers(x: keras.KerasTensor) -> keras.KerasTensor:
    inside = keras.Input((16, 16, 6))
    y = layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same")(inside))
    inner = keras.Model(inside, layers.ReLU()(y), name="inner")
    y = inner(layers.Conv2D(6, 3, padding="same", name="outer")(x))
    return layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling2D()(y))


def sine_layers(x: keras.KerasTensor) -> keras.KerasTensor:
    y = keras.ops.sin(layers.Conv2D(4, 3, activation="elu", name="conv")(x))
    return layers.Dense(2, activation="softmax")(layers.Flatten()(y))


def test_a_spread_level_equalized_has_the_same_bytes(small, tmp_path: Path):
    assert_same_bytes(small(plain_layers), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("build", [nested_layers, sine_layers])
def test_nested_networks_and_operators_that_litert_computes(small, tmp_path: Path, build):
    assert_same_bytes(small(build), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["residual", "mobile"])
def test_networks_with_shortcuts(networks, tmp_path: Path, kind: str):
    assert_same_bytes(networks[kind], tmp_path)


def assert_same_bytes(made, tmp_path: Path) -> None:
    spread = Elsewhere(2)
    found = kept(tmp_path, made, Level.EQUALIZED, spread)
    assert found == kept(tmp_path, made, Level.EQUALIZED)
    assert spread.titles == EQUALIZED
    assert spread.shards > len(spread.titles)


def test_the_lower_level_is_spread_too(small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tensorflow_execution, "can_run", lambda *_: False)
    made, spread = small(sine_layers), Elsewhere(3)
    found = kept(tmp_path, made, Level.EQUALIZED, spread)
    assert found == kept(tmp_path, made, Level.EQUALIZED)
    assert spread.titles == {"ranges"}


def test_a_network_is_sent_without_what_is_derived_from_it(residual):
    assert residual.network.parameters
    sent = pickle.loads(pickle.dumps(residual.network))
    assert "parameters" not in vars(sent)
    assert sent.operations[0].layer == residual.network.operations[0].layer
    np.testing.assert_array_equal(
        sent.parameters[residual.operation("head")].kernel,
        residual.network.parameters[residual.operation("head")].kernel,
    )


@dataclass(frozen=True)
class Seen:
    """The levels of the pictures, in their order."""

    batch: int
    title: str = "seen"

    def open(self):
        return lambda pictures: (pictures.reshape(-1),)

    def merge(self, first: Arrays, second: Arrays) -> Arrays:
        return (np.concatenate([first[0], second[0]]),)


@settings(max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    batch=st.integers(1, 9),
    shard=st.integers(1, 5),
)
def test_every_picture_is_measured_once(sizes: list[int], batch: int, shard: int):
    order = np.random.default_rng(1).permutation(sum(sizes))
    parts = np.split(order, np.cumsum(sizes)[:-1])
    pictures = np.arange(sum(sizes), dtype=np.uint8).reshape(-1, 1, 1, 1)
    steps: list[int] = []
    for spread in (run_here, Elsewhere(shard)):
        steps.clear()
        found = spread(Seen(batch), pictures, parts, steps.append)
        assert [one.tolist() for (one,) in found] == [part.tolist() for part in parts]
        assert sum(steps) == sum(sizes)
    assert all(len(each.places) <= batch for each in cut(parts, batch))
