"""A few steps of distillation: never worse, repeatable, for networks of several kinds."""

import numpy as np
import pytest

from converters.learning.labelled_pictures import LabelledPictures
from converters.quantization import calibration, distillation
from converters.quantization.bias_correction import measure_float_outputs
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.calibration import calibrate
from converters.quantization.calibration_sample import sample_pictures
from converters.quantization.distillation import distill
from converters.quantization.exam import HELD_OUT
from converters.quantization.labelled_training import Course
from converters.quantization.settings import Level, QuantizationSettings, WeightGrid
from converters.quantization.student import Rates
from converters.quantization.tflite import quantize_static

STEPS = 4


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "DISTILLING_STEPS", STEPS)
    monkeypatch.setattr(distillation, "CHECK_EVERY", 2)


def silent(stage: str, done: int, total: int, words: str) -> None:
    """Show no progress."""


def equalized(made) -> CalibratedNetwork:
    return calibrate(
        made.float32, made.pictures, QuantizationSettings(Level.EQUALIZED), made.layers
    )


def begun_with(words: str) -> float:
    return float(words.split("at first ")[1].removesuffix(" dB"))


def test_never_worse_on_held_out_pictures(residual) -> None:
    seen: list[tuple[str, int, int, str]] = []
    start = equalized(residual)
    found = distill(start, residual.pictures, lambda *call: seen.append(call))
    assert [call[:3] for call in seen] == [("distilling", done, 4) for done in (1, 2, 3, 4)]
    assert [words.startswith("now") for *_, words in seen] == [False, True, True, True]
    assert found.figures.held_out_sqnr_db >= begun_with(seen[-1][3]) - 0.05
    assert found.figures.held_out == round(HELD_OUT * 40)
    assert found.figures.strength == start.figures.strength


def test_a_student_that_gets_worse_is_not_kept(residual, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "RATES", Rates(30.0, 30.0, 30.0))
    start = equalized(residual)
    found = distill(start, residual.pictures, silent)
    for index, p in start.scheme.parameters.items():
        np.testing.assert_allclose(found.scheme.parameters[index].kernel, p.kernel, atol=1e-7)
        np.testing.assert_allclose(found.scheme.parameters[index].bias, p.bias, atol=1e-7)


def test_the_same_inputs_give_the_same_weights(residual) -> None:
    start = equalized(residual)
    one, two = (distill(start, residual.pictures, silent).scheme for _ in range(2))
    assert one.ranges == two.ranges
    for index, p in one.parameters.items():
        np.testing.assert_array_equal(two.parameters[index].kernel, p.kernel)
        np.testing.assert_array_equal(two.parameters[index].bias, p.bias)


@pytest.mark.parametrize("name", ["mobile", "attention"])
def test_other_networks(networks, classify, name: str) -> None:
    """Depthwise convolutions, ReLU6, hard swish, products."""
    made = networks[name]
    method = QuantizationSettings(Level.DISTILLED)
    found = calibrate(made.float32, made.pictures, method, made.layers)
    data = quantize_static(made.float32, found.network, found.scheme, integer_only=False)
    expected = classify(made.float32, made.pictures)
    np.testing.assert_allclose(classify(data, made.pictures), expected, atol=0.06)


def test_weights_for_pairs_that_saturate(residual, classify) -> None:
    method = QuantizationSettings(Level.DISTILLED, grid=WeightGrid.PAIR_SAFE)
    found = calibrate(residual.float32, residual.pictures, method, residual.layers)
    assert found.scheme.grid is WeightGrid.PAIR_SAFE
    data = quantize_static(residual.float32, found.network, found.scheme, integer_only=False)
    expected = classify(residual.float32, residual.pictures)
    np.testing.assert_allclose(classify(data, residual.pictures), expected, atol=0.06)


def test_a_layer_kept_in_float_stays_so(residual, classify) -> None:
    method = QuantizationSettings(Level.DISTILLED, keep_float=("b_*",))
    found = calibrate(residual.float32, residual.pictures, method, residual.layers)
    assert residual.operation("b_reduce") in found.scheme.float_operations
    data = quantize_static(residual.float32, found.network, found.scheme, integer_only=False)
    expected = classify(residual.float32, residual.pictures)
    np.testing.assert_allclose(classify(data, residual.pictures), expected, atol=0.06)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_pictures(residual, count: int) -> None:
    method = QuantizationSettings(Level.DISTILLED, few_pictures=True)
    found = calibrate(residual.float32, residual.pictures[-count:], method, residual.layers)
    assert found.figures.held_out == 1
    assert all(np.isfinite(p.kernel).all() for p in found.scheme.parameters.values())


@pytest.mark.parametrize("kind", ["one picture again and again", "a constant"])
def test_pictures_of_a_single_class(residual, classify, kind: str) -> None:
    last = residual.pictures[-1:]
    picture = last if kind.startswith("one") else np.full_like(last, 128)
    pictures = picture.repeat(32, axis=0)
    method = QuantizationSettings(Level.DISTILLED)
    found = calibrate(residual.float32, pictures, method, residual.layers)
    for p in found.scheme.parameters.values():
        assert np.isfinite(p.kernel).all()
        assert np.isfinite(p.bias).all()
    for span in found.scheme.ranges.values():
        assert span.low <= 0 <= span.high
        assert np.isfinite(span.high - span.low)
    data = quantize_static(residual.float32, found.network, found.scheme, integer_only=False)
    expected = classify(residual.float32, picture)
    np.testing.assert_allclose(classify(data, picture), expected, atol=0.06)


def test_ranges_of_more_pictures_where_there_are_some(
    residual, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those given are dark: their ranges alone would be narrow. Biases still fit those given."""
    dark = (residual.pictures[:12] // 8).astype(np.uint8)
    known = LabelledPictures(residual.pictures, np.zeros(len(residual.pictures), int))
    seen = []
    measure = calibration.calibrate_equalized

    def seen_by(network, pictures, *others):
        seen.append(pictures)
        return measure(network, pictures, *others)

    monkeypatch.setattr(calibration, "calibrate_equalized", seen_by)
    monkeypatch.setattr(calibration, "START_PICTURES", 20)
    method = QuantizationSettings(Level.DISTILLED, few_pictures=True)
    course = Course(known, known)
    found = calibrate(residual.float32, dark, method, residual.layers, course=course)
    alone = calibrate(residual.float32, dark, method, residual.layers)
    assert len(seen[0]) == 20
    np.testing.assert_array_equal(seen[0][:12], dark)
    assert len({picture.tobytes() for picture in seen[0]}) == 20
    np.testing.assert_array_equal(seen[1], dark)
    monkeypatch.setattr(calibration, "START_PICTURES", 12)
    enough = calibration._more_pictures(dark, residual.pictures)
    np.testing.assert_array_equal(enough, dark)
    operation = residual.network.weighted[0].output
    widths = [one.scheme.ranges[operation].high for one in (found, alone)]
    assert widths[0] > 1.1 * widths[1]
    sample = sample_pictures(residual.network, dark).pictures
    expected = measure_float_outputs(residual.network, sample, found.float_parameters)
    if found.float_outputs is not None:
        np.testing.assert_array_equal(found.float_outputs.logits, expected.logits)
