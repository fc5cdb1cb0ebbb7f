"""From pictures to what is rounded: ranges, strengths, figures; networks of several kinds."""

import math
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from converters.errors import ModelConversionError
from converters.quantization import calibration_sample, equalized_level
from converters.quantization.activation_extremes import Extremes
from converters.quantization.answer_metrics import agreement, sqnr_db
from converters.quantization.calibration import calibrate
from converters.quantization.calibration_sample import sample_pictures
from converters.quantization.equalized_level import STRENGTHS, VECTOR_MARGIN, Candidate
from converters.quantization.integer_simulation import simulate
from converters.quantization.range_stability import unstable_layers
from converters.quantization.scheme import WIDE_MARGIN, share_ranges
from converters.quantization.settings import Level, QuantizationSettings
from converters.quantization.tensor_range import Range
from converters.quantization.tflite import quantize_static


def quantized(made, level: Level, pictures: np.ndarray | None = None):
    method = QuantizationSettings(level, few_pictures=True)
    pictures = made.pictures if pictures is None else pictures
    return calibrate(made.float32, pictures, method, made.layers)


def test_sqnr_by_hand() -> None:
    expected = np.array([3.0, 4.0])
    assert sqnr_db(expected, np.array([3.5, 4.0])) == pytest.approx(20)
    assert sqnr_db(expected, expected) == math.inf
    assert math.isnan(sqnr_db(expected, np.array([3, np.nan])))
    assert math.isnan(sqnr_db(expected, np.array([3, np.inf])))


def test_agreement_by_hand() -> None:
    one = np.array([[1, 2], [2, 1], [0, 5], [1, 0]])
    assert agreement(one, one[:, ::-1]) == 0
    assert agreement(one, np.array([[0, 1], [0, 1], [0, 1], [0, 1]])) == 0.5


@pytest.mark.parametrize("level", [Level.FAST, Level.EQUALIZED])
@pytest.mark.parametrize("integer_only", [False, True])
def test_files_answer_right(each, classify, level: Level, integer_only: bool) -> None:
    found = quantized(each, level)
    data = quantize_static(each.float32, found.network, found.scheme, integer_only=integer_only)
    expected = classify(each.float32, each.pictures)
    np.testing.assert_allclose(classify(data, each.pictures), expected, atol=0.06)


@pytest.mark.parametrize("level", [Level.FAST, Level.EQUALIZED])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_few_pictures(residual, classify, level: Level, count: int) -> None:
    pictures = residual.pictures[-count:]
    found = quantized(residual, level, pictures)
    data = quantize_static(residual.float32, found.network, found.scheme, integer_only=False)
    expected = classify(residual.float32, pictures)
    np.testing.assert_allclose(classify(data, pictures), expected, atol=0.06)


@pytest.mark.parametrize("level", [Level.FAST, Level.EQUALIZED])
@pytest.mark.parametrize(
    "value", [0, *(pytest.param(v, marks=pytest.mark.slow) for v in (128, 255))]
)
def test_constant_pictures(each, classify, level: Level, value: int) -> None:
    pictures = np.full_like(each.pictures, value)
    found = quantized(each, level, pictures)
    data = quantize_static(each.float32, found.network, found.scheme, integer_only=False)
    actual = classify(data, pictures[:1])
    np.testing.assert_allclose(actual, classify(each.float32, pictures[:1]), atol=0.06)


def test_figures(residual) -> None:
    figures = quantized(residual, Level.EQUALIZED).figures
    assert figures.strength in (None, *STRENGTHS, 0.0)
    assert figures.ranges.removesuffix(" with margins") in ("extremes", "least error")
    assert 20 < figures.held_out_sqnr_db <= 60
    assert figures.held_out == 10
    assert figures.groups == 4
    assert quantized(residual, Level.FAST).figures is None


def scripted(monkeypatch: pytest.MonkeyPatch, figures: dict[Candidate, float]) -> list[Candidate]:
    """Give every candidate a figure, 10 dB if none is given. Return those that are tried."""
    tried = []
    measure = equalized_level._Trial._measure

    def scripted_measure(self, fit, candidate):
        tried.append(candidate)
        return replace(measure(self, fit, candidate), sqnr_db=figures.get(candidate, 10.0))

    monkeypatch.setattr(equalized_level._Trial, "_measure", scripted_measure)
    return tried


def test_the_best_candidate_is_taken(residual, monkeypatch: pytest.MonkeyPatch) -> None:
    least = Candidate(0.75, least_error=True)
    tried = scripted(monkeypatch, {Candidate(0.75): 20.0, Candidate(0.5): 19.0, least: 21.0})
    figures = quantized(residual, Level.EQUALIZED).figures
    assert tried == [
        Candidate(None),
        Candidate(0.75),
        Candidate(0.5),  # worse than the one before: 0.25 is not tried
        least,
        Candidate(0.0, corrects=False),
        replace(least, corrects=False),
        replace(least, has_margins=True),
    ]
    assert (figures.strength, figures.ranges, figures.corrects) == (0.75, "least error", True)


def test_margins_are_taken_where_they_are_better(residual, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, {Candidate(0.75): 20.0})
    without = quantized(residual, Level.EQUALIZED)
    wider = Candidate(0.75, has_margins=True)
    scripted(monkeypatch, {Candidate(0.75): 20.0, wider: 21.0})
    found = quantized(residual, Level.EQUALIZED)
    assert found.figures.ranges == "extremes with margins"
    pairs = [(found.scheme.ranges[t], span) for t, span in without.scheme.ranges.items()]
    assert all(one.low <= span.low and one.high >= span.high for one, span in pairs)
    assert any(one.high > span.high for one, span in pairs)


def test_level_fast_is_taken_where_it_is_better(residual, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, {Candidate(0.0, corrects=False): 11.0})
    found, fast = (quantized(residual, level) for level in (Level.EQUALIZED, Level.FAST))
    assert (found.figures.strength, found.figures.corrects) == (0.0, False)
    assert found.float_outputs is None
    for index, p in fast.scheme.parameters.items():
        if index in residual.network.head:  # which is rounded by its errors
            continue
        np.testing.assert_array_equal(found.scheme.parameters[index].kernel, p.kernel)
        np.testing.assert_array_equal(found.scheme.parameters[index].bias, p.bias)


def test_an_answer_that_is_not_finite_is_never_the_best(
    residual, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, {Candidate(0.75): math.nan, Candidate(0.5): 12.0})
    assert quantized(residual, Level.EQUALIZED).figures.strength == 0.5


def test_ranges_are_the_extremes_with_a_margin_for_vectors(
    residual, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = residual.network
    scripted(monkeypatch, {Candidate(0.5): 20.0})
    found = quantized(residual, Level.EQUALIZED)
    ranges, wide = found.scheme.ranges, found.wide_ranges
    for operation in network.operations:
        if operation.output in (network.answer, network.logits):
            continue
        vector = math.prod(network.shapes[operation.output][1:-1]) == 1
        margin = VECTOR_MARGIN if vector else 1.0
        span = wide[operation.output]
        assert ranges[operation.output].high == pytest.approx(span.high / WIDE_MARGIN * margin)
    assert ranges[network.image] == wide[network.image] == Range(0.0, 255.0)


@pytest.mark.parametrize("level", [Level.FAST, Level.EQUALIZED])
def test_every_range_can_be_quantized(each, level: Level) -> None:
    ranges = quantized(each, level).scheme.ranges
    assert set(each.network.writers) <= set(ranges)
    for span in ranges.values():
        assert span.low <= 0 <= span.high
        assert span.low < span.high


def test_operators_that_move_values_share_a_range(networks) -> None:
    made = networks["branching"]
    ranges = quantized(made, Level.EQUALIZED).scheme.ranges
    (pool,) = [op for op in made.network.operations if op.kind == "MAX_POOL_2D"]
    assert ranges[pool.output] == ranges[pool.inputs[0]]
    moved = dict.fromkeys(ranges, Range(0.0, 1.0)) | {pool.inputs[0]: Range(-2.0, 2.0)}
    assert share_ranges(made.network, moved)[pool.output] == Range(-2.0, 2.0)


def test_sigmoids_have_the_step_of_their_kernel(networks) -> None:
    """LiteRT computes a sigmoid in steps of 1/256, whatever it was on the pictures."""
    made = networks["attention"]
    for level in (Level.FAST, Level.EQUALIZED):
        ranges = quantized(made, level).scheme.ranges
        sigmoids = [op for op in made.network.operations if op.kind == "LOGISTIC"]
        assert sigmoids
        for operation in sigmoids:
            assert ranges[operation.output] == Range(0.0, 255 / 256)


def test_the_reference_is_the_float_function(each, answers) -> None:
    found = quantized(each, Level.EQUALIZED)
    float_scheme = type(found.scheme)(
        found.float_parameters, {}, frozenset(op.index for op in each.network.operations)
    )
    logits = simulate(each.network, float_scheme, each.pictures)
    # The head's weights alone are rounded.
    expected = answers(each.serving, each.pictures)
    np.testing.assert_allclose(tf.nn.softmax(logits).numpy(), expected, atol=0.01)


def test_unstable_layers_worst_first(residual) -> None:
    network = residual.network

    def extremes(high: float) -> Extremes:
        return Extremes(np.zeros(3), np.array([1.0, high / 2, high]))

    stem, wide, narrow = (
        network.operations[residual.operation(name)].output
        for name in ("stem", "a_reduce", "b_reduce")
    )
    first = {stem: extremes(4), wide: extremes(4), narrow: extremes(4)}
    second = {stem: extremes(3.1), wide: extremes(2), narrow: extremes(8.2)}
    # 0.9 of 4 is stable; 2 of 4 and 4.2 of 8.2 are not.
    assert unstable_layers(network, first, second) == ("b_reduce", "a_reduce")
    assert unstable_layers(network, first, first) == ()


def test_pictures_of_one_kind_in_each_half_are_unstable(residual) -> None:
    calm = np.full((1, 16, 16, 3), 128, np.uint8)
    mixed = np.concatenate([calm.repeat(39, axis=0), residual.pictures[-1:]])
    found = quantized(residual, Level.EQUALIZED, mixed)
    assert "a_reduce" in found.unstable or "b_reduce" in found.unstable


def test_no_held_out_picture_is_fitted(residual) -> None:
    """Drawn by lot: a quarter judges, and joins the others for the last biases."""
    pictures = np.arange(40, dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones(
        (1, 16, 16, 3), np.uint8
    )
    sample = sample_pictures(residual.network, pictures)
    fitted, held_out, all_of_them = (
        list(found[:, 0, 0, 0]) for found in (sample.fitted, sample.held_out, sample.pictures)
    )
    assert (len(fitted), len(held_out)) == (30, 10)
    assert sorted(fitted + held_out) == sorted(all_of_them) == list(range(40))
    assert fitted != sorted(fitted)
    again = sample_pictures(residual.network, pictures)
    np.testing.assert_array_equal(again.pictures, sample.pictures)
    np.testing.assert_array_equal(again.held_out, sample.held_out)


def test_samples_are_bounded(residual, monkeypatch: pytest.MonkeyPatch) -> None:
    """More pictures judge than biases are corrected with."""
    monkeypatch.setattr(calibration_sample, "PIXELS_PER_BATCH", 6 * 16 * 16)
    pictures = np.resize(residual.pictures, (120, 16, 16, 3))
    sample = sample_pictures(residual.network, pictures)
    assert (len(sample.pictures), len(sample.fitted), len(sample.held_out)) == (12, 8, 24)


def test_broken_weights_are_named(small) -> None:
    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        y = layers.Conv2D(4, 3, activation="relu", name="fine")(x)
        y = layers.Conv2D(4, 3, activation="relu", name="broken")(y)
        return layers.Dense(2, activation="softmax", name="head")(layers.Flatten()(y))

    made = small(build, (8, 8, 3))
    kernel, bias = made.model.get_layer("broken").get_weights()
    for value in (np.nan, np.inf):
        for layer in made.serving._flatten_layers():
            if layer.name == "broken":
                layer.set_weights([np.full_like(kernel, value), bias])
        again = type(made)(made.model, made.serving, made.pictures)
        for level in (Level.FAST, Level.EQUALIZED):
            with pytest.raises(
                ModelConversionError, match=r"^calibration: tensor '.*broken.*' holds "
            ):
                quantized(again, level)
