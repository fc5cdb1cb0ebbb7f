"""Activation ranges, against a graph whose activations are known."""

from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from converters.errors import IntermediateFileError, ModelConversionError, RequestError
from converters.preprocessing import PREPROCESSINGS
from converters.quantization.measured_ranges import load_measured, measure_ranges, save_measured
from converters.quantization.tensor_range import Range
from converters.serving import serving_model
from converters.tflite import conversion as to_tflite


@pytest.fixture(scope="module")
def float32() -> bytes:
    """Subtracts 127.5, scales by 1/127.5, then a 1x1 convolution that doubles, then a mean."""
    x = keras.Input((2, 2, 3))
    conv = layers.Conv2D(3, 1, use_bias=False, name="double")
    y = layers.GlobalAveragePooling2D()(layers.ReLU()(conv(x)))
    model = keras.Model(x, layers.Softmax()(y))
    conv.set_weights([2 * np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3)])
    return to_tflite.convert_float32(serving_model(model, PREPROCESSINGS["tf"]))


def ranges_of(*arguments: object, **options: object) -> dict[str, Range]:
    (measured,) = measure_ranges(*arguments, **options)
    return measured.ranges()


def pictures(*levels: int) -> np.ndarray:
    return np.stack([np.full((2, 2, 3), level, np.uint8) for level in levels])


def named(ranges: dict[str, Range], part: str) -> Range:
    (found,) = [value for name, value in ranges.items() if part in name]
    return found


def test_by_hand(float32: bytes) -> None:
    ranges = dict(ranges_of(float32, pictures(51, 204, 153), threads=1))
    assert named(ranges, "image") == Range(0.0, 255.0)
    assert named(ranges, "Sub") == Range(51 - 127.5, 204 - 127.5)
    relu = named(ranges, "double")
    assert relu.low == 0.0
    assert relu.high == pytest.approx(2 * 76.5 / 127.5, rel=1e-6)
    assert named(ranges, "Mean").high == pytest.approx(2 * 76.5 / 127.5, rel=1e-6)


def test_the_order_of_pictures_does_not_matter(tiny) -> None:
    backwards = ranges_of(tiny.tflite_float32, tiny.pictures[::-1], threads=1)
    assert backwards == tiny.ranges


def test_parts_merge_to_the_whole(tiny, tmp_path: Path) -> None:
    """Also when they come from two machines, by way of files."""
    some = tiny.pictures[:4]
    (whole,) = measure_ranges(tiny.tflite_float32, some, threads=1)
    first, second = measure_ranges(tiny.tflite_float32, some, threads=1, parts=2)
    save_measured(tmp_path / "first.json", first)
    merged = second.merge(load_measured(tmp_path / "first.json"))
    assert merged.extremes == whole.extremes
    assert merged.ranges() == whole.ranges()
    assert first.ranges() != whole.ranges()


def test_what_cannot_be_merged(float32: bytes, tiny) -> None:
    two = pictures(51, 204)
    (one,) = measure_ranges(float32, two, threads=1)
    (other,) = measure_ranges(tiny.tflite_float32, tiny.pictures[:1], threads=1)
    with pytest.raises(IntermediateFileError) as caught:
        one.merge(other)
    assert str(caught.value) == (
        f"calibration: ranges of {len(one.extremes)} tensors and of {len(other.extremes)} cannot "
        "be merged; expected those of one model; measure them anew"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"image": "x"}',
        '{"method": "mse", "image": "x", "extremes": {}, "histograms": {}}',
    ],
)
def test_damaged_measurements_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "measured.json"
    path.write_text(text)
    with pytest.raises(IntermediateFileError) as caught:
        load_measured(path)
    assert str(caught.value).startswith(f"{path}: cannot be read as measured ranges (")
    assert str(caught.value).endswith("); measure them anew")


def test_every_convolution_has_a_range(tiny) -> None:
    assert len(tiny.ranges) > 53
    assert all(value.low <= value.high for value in tiny.ranges.values())


@given(st.tuples(*[st.floats(-9, 9)] * 4))
def test_a_union_holds_both(ends: tuple[float, float, float, float]) -> None:
    a, b = Range(*sorted(ends[:2])), Range(*sorted(ends[2:]))
    assert a.union(b) == b.union(a) == Range(min(ends), max(ends))


def test_progress(float32: bytes) -> None:
    seen: list[tuple[int, int]] = []
    measure_ranges(
        float32, pictures(1, 2), threads=1, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 2), (2, 2)]


def test_no_pictures(float32: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        measure_ranges(float32, np.empty((0, 2, 2, 3), np.uint8), threads=1)
    assert str(caught.value) == (
        "calibration: no pictures; expected at least one; pass --calibration DIR"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_activations_name_the_tensor(value: float) -> None:
    x = keras.Input((2, 2, 3))
    dense = layers.Dense(2, name="broken", activation="softmax")
    model = keras.Model(x, dense(layers.Flatten()(x)))
    dense.set_weights([np.full((12, 2), value, np.float32), np.zeros(2, np.float32)])
    data = to_tflite.convert_float32(serving_model(model, PREPROCESSINGS["none"]))
    with pytest.raises(ModelConversionError) as caught:
        measure_ranges(data, pictures(3), threads=1)
    message = str(caught.value)
    assert message.startswith("calibration: tensor '")
    assert "broken" in message
    assert message.endswith(
        "' holds NaN or infinite values; the model's weights or the --preprocessing do not fit; "
        "check the float artifacts first"
    )


def test_constant_activations_keep_their_extremes(float32: bytes) -> None:
    """The lowest ReLU output of dark pictures is zero, everywhere."""
    relu = named(dict(ranges_of(float32, pictures(0, 0), threads=1)), "double")
    assert (relu.low, relu.high) == (0.0, 0.0)
