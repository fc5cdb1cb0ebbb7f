"""Layers that go to float by themselves: which, when, and in which files."""

import math
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from converters.onnx import conversion as to_onnx
from converters.preprocessing import PREPROCESSINGS
from converters.quantization import distillation, float_fallback
from converters.quantization.answer_metrics import (
    agreement,
    centred_log_probabilities,
    mean_sqnr_db,
)
from converters.quantization.calibrated_file import load_calibrated, save_calibrated
from converters.quantization.calibrated_network import FloatFallback, HeldOutAnswers
from converters.quantization.calibration import calibrate, for_int16_activations, for_litert
from converters.quantization.findings import LayerSensitivity
from converters.quantization.float_fallback import (
    FEWEST_OF_LARGE,
    FLOOR_AGREEMENT,
    FLOOR_DB,
    MOST_PICTURES,
    _fewest,
    _first_number,
    find_fallback,
    held_out_pictures,
    is_enough,
)
from converters.quantization.onnx import float_operations, quantize_int8
from converters.quantization.scheme import Scheme
from converters.quantization.settings import Level, QuantizationSettings, Target, WeightGrid
from converters.quantization.tflite import quantize_static
from converters.rewrites.all_rewrites import optimize
from converters.serving import serving_model

LOUD = 4e5
"""Times as large as its neighbours is the channel that 8 bits cannot hold beside them."""


def loud_channel(x: keras.KerasTensor) -> keras.KerasTensor:
    """A swish whose input has a channel of large values, which the head hardly reads.

    A swish lets no channel scale pass, so equalisation cannot help.
    """
    x = layers.Rescaling(1 / 127.5, -1)(x)
    x = layers.Conv2D(8, 3, 2, activation="relu", name="stem")(x)
    x = layers.Conv2D(8, 1, name="loud")(x)
    x = layers.Activation("swish", name="swish")(x)
    x = layers.Conv2D(8, 3, 2, activation="relu", name="quiet")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return layers.Dense(4, activation="softmax", name="head")(x)


def with_factors(made, factors: dict[str, tuple[int, float]]):
    """Scale the first channel of an axis of some kernels, and spread the answers."""
    for name, (axis, factor) in factors.items():
        layer = made.model.get_layer(name)
        kernel, bias = layer.get_weights()
        np.moveaxis(kernel, axis, 0)[0] *= factor
        layer.set_weights([kernel, bias])
    head = made.model.get_layer("head")
    pooled = keras.Model(made.model.inputs, head.input).predict(made.pictures * 1.0, verbose=0)
    kernel = 1000 * head.get_weights()[0]
    head.set_weights([kernel, -(pooled @ kernel).mean(axis=0)])  # answers depend on the picture
    serving = serving_model(optimize(made.model).model, PREPROCESSINGS["none"])
    return replace(made, serving=serving)


@pytest.fixture(scope="module")
def loud(small):
    made = small(loud_channel, preprocessing="none")
    return with_factors(made, {"loud": (-1, LOUD), "quiet": (-2, LOUD**-2)})


@pytest.fixture(scope="module")
def found(loud):
    return calibrate(loud.float32, loud.pictures, QuantizationSettings(), loud.layers)


def test_the_guilty_layers_go_to_float(found, loud) -> None:
    fallback = found.fallback
    # "quiet" reads what the swish writes, and an integer operator would round it again
    assert fallback.layers == ("loud", "swish", "quiet", "pool")
    assert fallback.operations == {
        op.index for op in loud.network.operations if op.layer in fallback.layers
    }
    assert found.scheme.float_operations == loud.network.head | fallback.operations
    assert found.scheme.weight_only == fallback.operations
    assert not is_enough(fallback.integer)
    assert is_enough(fallback.mixed)
    assert fallback.integer.pictures == fallback.mixed.pictures == 10  # a fourth of 40


def test_their_cost(found) -> None:
    loud, quiet = 8 * 8, 3 * 3 * 8 * 8
    assert found.fallback.more_bytes == 3 * (loud + quiet)
    stem, head = 3 * 3 * 3 * 8, 8 * 4
    products = {"stem": 49 * stem, "loud": 49 * loud, "quiet": 9 * quiet, "head": head}
    share = (products["loud"] + products["quiet"]) / sum(products.values())
    assert found.fallback.multiply_adds == pytest.approx(share)


def test_the_file_answers_as_simulated(found, loud, classify) -> None:
    expected = centred_log_probabilities(classify(loud.float32, loud.pictures))

    def quality(data: bytes) -> tuple[float, float]:
        answers = centred_log_probabilities(classify(data, loud.pictures))
        return mean_sqnr_db(expected, answers), agreement(expected, answers)

    mixed, integer = (
        quality(
            quantize_static(
                loud.float32,
                found.network,
                for_litert(found, loud.pictures, integer_only=only),
                integer_only=only,
            )
        )
        for only in (False, True)
    )
    assert mixed[0] >= FLOOR_DB
    assert mixed[1] >= FLOOR_AGREEMENT
    assert integer[0] < FLOOR_DB


def test_other_files_need_no_fallback(found, loud) -> None:
    wide = for_int16_activations(found, loud.pictures)
    only = for_litert(found, loud.pictures, integer_only=True)
    for scheme in (wide, only):
        assert scheme.float_operations == loud.network.head
        assert not scheme.weight_only


def test_int8_onnx_computes_them_in_float_too(found, loud) -> None:
    kept = float_operations(found.network, found.scheme)
    assert found.fallback.operations <= kept


def test_it_travels(found, loud, tmp_path: Path) -> None:
    save_calibrated(tmp_path / "q.npz", loud.float32, found)
    loaded = load_calibrated(tmp_path / "q.npz")[1]
    assert loaded.fallback == found.fallback
    assert loaded.scheme.weight_only == found.scheme.weight_only


def test_no_fallback_where_8_bits_hold(residual) -> None:
    found = calibrate(residual.float32, residual.pictures, QuantizationSettings(), residual.layers)
    assert found.fallback is None
    assert found.without_fallback() is found.scheme


def test_weights_go_to_float_where_8_bits_are_too_coarse_for_them(small, classify) -> None:
    """A tiny channel whose next weights are 3,000 times as large: the others round to zero."""
    made = small(loud_channel, preprocessing="none")
    made = with_factors(made, {"loud": (-1, 1 / 3000), "quiet": (-2, 3000)})
    found = calibrate(made.float32, made.pictures, QuantizationSettings(), made.layers)
    fallback = found.fallback
    assert fallback.has_float_weights
    assert fallback.layers == ("loud", "swish", "quiet", "pool")  # the head is in float already
    assert is_enough(fallback.mixed)
    assert not found.scheme.weight_only
    data = quantize_static(
        made.float32, found.network, for_litert(found, made.pictures), integer_only=False
    )
    answers, exact = (
        centred_log_probabilities(classify(one, made.pictures)) for one in (data, made.float32)
    )
    assert mean_sqnr_db(exact, answers) >= FLOOR_DB


def twice_pooled(x: keras.KerasTensor) -> keras.KerasTensor:
    """A head that reads every feature twice, and can weigh their difference."""
    x = layers.Conv2D(8, 3, 2, activation="relu")(layers.Rescaling(1 / 127.5, -1)(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, 2)(x))
    return layers.Dense(4, activation="softmax", name="head")(layers.Concatenate()([x, x]))


def with_cancelling_head(made, size: float) -> bytes:
    """Give the head weights that cancel, of this many times the weights that are left."""
    head = made.model.get_layer("head")
    pooled = keras.Model(made.model.inputs, head.input).predict(made.pictures * 1.0, verbose=0)
    random = np.random.default_rng(0)
    left = random.normal(size=(8, 4)) / pooled[:, :8].std(axis=0)[:, None]
    large = size * np.abs(left).max() * random.normal(size=(8, 4))
    kernel = np.concatenate([left + large, -large])
    head.set_weights([kernel, -(pooled @ kernel).mean(axis=0)])
    serving = serving_model(optimize(made.model).model, PREPROCESSINGS["none"])
    return replace(made, serving=serving).float32


@pytest.mark.parametrize("size", [5, 60])
def test_the_noise_of_the_head_puts_no_layer_into_float(
    small, classify, classify_onnx, size: float, tmp_path: Path
) -> None:
    """Its weights are float, and those of all files that may hold some."""
    made = small(twice_pooled, preprocessing="none")
    float32 = with_cancelling_head(made, size)
    method = QuantizationSettings(grid=WeightGrid.PAIR_SAFE)
    found = calibrate(float32, made.pictures, method, made.layers)
    assert found.fallback is None
    assert found.scheme.has_float_head
    save_calibrated(tmp_path / "q.npz", float32, found)
    found = load_calibrated(tmp_path / "q.npz")[1]

    def ask(scheme: Scheme, **options: object) -> np.ndarray:
        data = quantize_static(float32, found.network, scheme, **options)
        return centred_log_probabilities(classify(data, made.pictures))

    serving = serving_model(optimize(made.model).model, PREPROCESSINGS["none"])
    graph = quantize_int8(to_onnx.convert_float32(serving), found, made.pictures, Target.AUTO).model
    expected = centred_log_probabilities(classify(float32, made.pictures))
    wide = for_int16_activations(found, made.pictures)
    for answers in (
        ask(for_litert(found, made.pictures), integer_only=False),
        ask(wide, integer_only=False, activation_bits=16),
        centred_log_probabilities(classify_onnx(graph, made.pictures)),
    ):
        assert mean_sqnr_db(expected, answers) > FLOOR_DB
    only = for_litert(found, made.pictures, integer_only=True)
    assert not only.has_float_head
    index = found.network.dense_head.index
    shift = only.parameters[index].bias - found.scheme.parameters[index].bias
    assert np.abs(shift).max() > 0.1  # it fits the integers, which the float weights need not


def test_distilled_starts_with_it(loud, small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "DISTILLING_STEPS", 2)
    method = QuantizationSettings(Level.DISTILLED)
    found = calibrate(loud.float32, loud.pictures, method, loud.layers)
    assert found.fallback.operations <= found.scheme.float_operations
    made = small(twice_pooled, preprocessing="none")
    found = calibrate(with_cancelling_head(made, 60), made.pictures, method, made.layers)
    assert found.scheme.has_float_head


@pytest.mark.parametrize(
    ("answers", "enough"),
    [
        (HeldOutAnswers(FLOOR_DB, FLOOR_AGREEMENT, 8), True),
        (HeldOutAnswers(FLOOR_DB - 0.1, 1.0, 8), False),
        (HeldOutAnswers(40.0, FLOOR_AGREEMENT - 0.01, 8), False),
        (HeldOutAnswers(math.nan, 1.0, 8), False),
    ],
)
def test_what_is_enough(answers: HeldOutAnswers, enough: bool) -> None:
    assert is_enough(answers) is enough


@given(first=st.integers(1, 300), most=st.integers(0, 300), needed=st.integers(1, 400))
def test_the_fewest_layers(first: int, most: int, needed: int) -> None:
    tried = []

    def attempt(count: int) -> FloatFallback:
        tried.append(count)
        good = HeldOutAnswers(30.0, 1.0 if count >= needed else 0.0, 8)
        return FloatFallback(("x",) * count, frozenset(), good, good, 0, 0.0)

    found = _fewest(attempt, first, most, is_enough)
    if most == 0:
        assert found is None
    else:  # with all of them, if even they are not enough
        assert len(found.layers) == min(most, needed)
    assert len(tried) <= 2 * math.ceil(math.log2(max(2, most))) + 2


def test_the_first_number_by_hand() -> None:
    shares = [0.5, 0.3, 0.15, 0.05]
    rows = [LayerSensitivity(str(i), (), 0, 0, 0, 0, 0, share) for i, share in enumerate(shares)]
    integer = HeldOutAnswers(FLOOR_DB - 10, 1.0, 8)  # a tenth of the noise may stay
    assert _first_number(rows, integer) == 3
    assert _first_number(rows, HeldOutAnswers(FLOOR_DB - 3, 1.0, 8)) == 1  # half of it
    assert _first_number(rows, HeldOutAnswers(FLOOR_DB - 30, 1.0, 8)) == 4
    assert _first_number(rows, HeldOutAnswers(FLOOR_DB + 1, 0.5, 8)) == 1


def test_the_number_of_held_out_pictures(small) -> None:
    order = np.arange(500)
    few = small(loud_channel, (16, 16, 3), "none").network
    assert len(held_out_pictures(few, order)) == MOST_PICTURES
    large = replace(few, shapes=tuple((1, 224, 224, 3) for _ in few.shapes))
    assert len(held_out_pictures(large, order)) == FEWEST_OF_LARGE
    assert len(held_out_pictures(few, order[:7])) == 7


def test_weights_stay_in_8_bits(found, loud) -> None:
    """LiteRT converts them when it loads the file."""
    scheme = for_litert(found, loud.pictures)
    mixed = quantize_static(loud.float32, found.network, scheme, integer_only=False)
    wide = replace(scheme, weight_only=frozenset())
    floats = quantize_static(loud.float32, found.network, wide, integer_only=False)
    assert len(floats) - len(mixed) > found.fallback.more_bytes / 2  # steps take a part


@pytest.mark.parametrize("integer_db", [FLOOR_DB - 8, FLOOR_DB + 2])
def test_an_agreement_that_floats_do_not_reach_either(
    loud, found, integer_db: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights stay in 8 bits. Then only the SQNR counts, and above its floor all stay integer."""
    scheme = found.without_fallback()

    def scripted(self, trial: Scheme) -> HeldOutAnswers:
        added = len(trial.float_operations - scheme.float_operations)
        return HeldOutAnswers(integer_db + 4 * added, 0.9, 10)

    monkeypatch.setattr(float_fallback._Answers, "of", scripted)
    fallback = find_fallback(
        found.network, scheme, lambda trial: trial, loud.pictures[:10], lambda *_: None
    )
    if integer_db >= FLOOR_DB:
        assert fallback is None
    else:
        assert fallback.mixed.sqnr_db >= FLOOR_DB
        assert len(fallback.layers) < 4
