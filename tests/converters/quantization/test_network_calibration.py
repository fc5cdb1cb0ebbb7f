"""The front door: what it refuses and in which words, what it saves, and what it repeats."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from converters.errors import IntermediateFileError, RequestError
from converters.learning.labelled_pictures import LabelledPictures
from converters.onnx import conversion as to_onnx
from converters.quantization import tensorflow_execution
from converters.quantization.calibrated_file import load_calibrated, save_calibrated
from converters.quantization.calibration import (
    calibrate,
    check_pictures,
    for_int16_activations,
    for_litert,
    operations_of,
)
from converters.quantization.float_layers import needs_float
from converters.quantization.labelled_training import Course
from converters.quantization.onnx import quantize_int8
from converters.quantization.settings import (
    FEWEST_PICTURES,
    Level,
    QuantizationSettings,
    Target,
    WeightGrid,
)
from converters.quantization.tflite import quantize_static
from converters.quantization.tflite_network import Parameters

LEVELS = (Level.FAST, Level.EQUALIZED)


@pytest.fixture(scope="module")
def found(residual):
    return {
        level: calibrate(
            residual.float32, residual.pictures, QuantizationSettings(level), residual.layers
        )
        for level in LEVELS
    }


def test_no_pictures(residual) -> None:
    with pytest.raises(RequestError) as caught:
        calibrate(residual.float32, residual.pictures[:0], QuantizationSettings(few_pictures=True))
    assert str(caught.value) == (
        "calibration: no pictures; expected at least one; pass --calibration DIR"
    )


def test_too_few_pictures(residual) -> None:
    with pytest.raises(RequestError) as caught:
        calibrate(residual.float32, residual.pictures[:31], QuantizationSettings())
    assert str(caught.value) == (
        "calibration: 31 pictures; expected at least 32: ranges of fewer say little about other "
        "pictures; add some, or pass --few-pictures"
    )
    check_pictures(residual.pictures[:FEWEST_PICTURES], QuantizationSettings())
    check_pictures(residual.pictures[:1], QuantizationSettings(few_pictures=True))


def test_globs_of_layers(residual) -> None:
    network = residual.network

    def names(*patterns: str) -> set[str]:
        return {network.operations[index].layer for index in operations_of(network, patterns)}

    assert names() == set()
    assert names("stem") == {"stem"}
    assert names("b_*") == {"b_reduce", "b_expand", "b_sum"}
    assert names("stem", "?_reduce") == {"stem", "a_reduce", "b_reduce"}


def test_a_glob_that_fits_nothing(residual) -> None:
    method = QuantizationSettings(keep_float=("stem", "conv9_*"))
    with pytest.raises(RequestError) as caught:
        calibrate(residual.float32, residual.pictures, method, residual.layers)
    message = str(caught.value)
    assert message.startswith("--keep-float: no layer fits 'conv9_*'; expected globs of Keras ")
    listed = message.partition("names: ")[2].split(", ")
    assert sorted(listed) == [
        "a_expand", "a_reduce", "b_expand", "b_reduce", "head", "shortcut", "stem",
    ]  # fmt: skip


@pytest.mark.parametrize("level", LEVELS)
def test_layers_kept_in_float(residual, classify, level: Level) -> None:
    method = QuantizationSettings(level, keep_float=("b_*",))
    kept = calibrate(residual.float32, residual.pictures, method, residual.layers)
    network, scheme = kept.network, kept.scheme
    layers_in_float = {network.operations[index].layer for index in scheme.float_operations}
    assert {"b_reduce", "b_expand", "b_sum", "head"} <= layers_in_float
    data = quantize_static(residual.float32, network, scheme, integer_only=False)
    expected = classify(residual.float32, residual.pictures)
    np.testing.assert_allclose(classify(data, residual.pictures), expected, atol=0.06)


def test_everything_in_float_is_the_float_network(residual, classify) -> None:
    """But for the head's 8-bit weights."""
    method = QuantizationSettings(Level.FAST, keep_float=("*",))
    kept = calibrate(residual.float32, residual.pictures, method, residual.layers)
    data = quantize_static(residual.float32, kept.network, kept.scheme, integer_only=False)
    expected = classify(residual.float32, residual.pictures[:5])
    np.testing.assert_allclose(classify(data, residual.pictures[:5]), expected, atol=0.01)


def elu_layers(x: keras.KerasTensor) -> keras.KerasTensor:
    y = layers.Conv2D(4, 3, activation="elu", name="conv")(x)
    y = keras.ops.sin(y)  # neither TensorFlow's table nor the quantizer has it
    return layers.Dense(2, activation="softmax", name="head")(layers.Flatten()(y))


@pytest.mark.parametrize("level", Level)
def test_no_operator_refuses_a_level(small, classify, level: Level) -> None:
    made = small(elu_layers, (8, 8, 3))
    known = LabelledPictures(made.pictures, np.arange(len(made.pictures)) % 2)
    course = Course(known, known, lambda pictures, _: pictures)
    method = QuantizationSettings(level)
    found = calibrate(made.float32, made.pictures, method, made.layers, course=course)
    data = quantize_static(made.float32, found.network, found.scheme, integer_only=False)
    expected = classify(made.float32, made.pictures)
    np.testing.assert_allclose(classify(data, made.pictures), expected, atol=0.05)
    kinds = {found.network.operations[i].kind for i in found.scheme.float_operations}
    assert "SIN" in kinds
    assert "ELU" not in kinds  # a table of 256 values
    lower = (f"level equalized instead of {level}: no gradient is known of SIN",)
    assert found.notes == (lower if level.learns else ())
    assert found.training is None


def test_an_operator_that_cannot_be_simulated_means_level_fast(
    small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tensorflow_execution, "can_run", lambda *_: False)
    made = small(elu_layers, (8, 8, 3))
    for level in (Level.EQUALIZED, Level.DISTILLED):
        found = calibrate(made.float32, made.pictures, QuantizationSettings(level), made.layers)
        reason = "SIN cannot be simulated, so ranges are LiteRT's own"
        assert found.notes == (f"level fast instead of {level}: {reason}",)
        assert found.figures is None
    exact = to_onnx.convert_float32(made.serving)
    assert quantize_int8(exact, found, made.pictures, Target.VNNI).own_ranges == ""
    save_calibrated(tmp_path / "calibrated", made.float32, found)
    assert load_calibrated(tmp_path / "calibrated")[1].notes == found.notes


def test_a_layer_of_wide_values_stays_float(small) -> None:
    """A variance of 0.001 beside one of 1 is less than a step of 8 bits."""

    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        y = layers.LayerNormalization(name="norm")(layers.Conv2D(4, 3, name="conv")(x))
        return layers.Dense(2, activation="softmax", name="head")(layers.Flatten()(y))

    network = small(build, (8, 8, 3)).network
    kept = {network.operations[i].layer for i in needs_float(network)}
    assert kept == {"norm"}
    assert all(op.index in needs_float(network) for op in network.operations if op.layer == "norm")


@pytest.mark.parametrize("level", LEVELS)
def test_the_same_inputs_give_the_same_bytes(residual, found, tmp_path: Path, level: Level) -> None:
    again = calibrate(
        residual.float32, residual.pictures, QuantizationSettings(level), residual.layers
    )
    files = []
    for name, quantization in (("one", found[level]), ("two", again)):
        save_calibrated(tmp_path / name, residual.float32, quantization)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_saved_is_loaded(residual, found, tmp_path: Path, level: Level) -> None:
    path = tmp_path / "folder" / "quantization.npz"
    before = found[level]
    save_calibrated(path, residual.float32, before)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    float32, after = load_calibrated(path)
    assert float32 == residual.float32
    assert after.scheme.ranges == before.scheme.ranges
    assert after.scheme.float_operations == before.scheme.float_operations
    assert after.figures == before.figures
    for mine, theirs in (
        (after.scheme.parameters, before.scheme.parameters),
        (after.float_parameters, before.float_parameters),
    ):
        assert mine.keys() == theirs.keys()
        for index, p in theirs.items():
            np.testing.assert_array_equal(mine[index].kernel, p.kernel)
            np.testing.assert_array_equal(mine[index].bias, p.bias)
    layers_before, layers_after = (
        [op.layer for op in quantization.network.operations] for quantization in (before, after)
    )
    assert layers_after == layers_before
    one, other = (
        quantize_static(float32, q.network, q.scheme, integer_only=False) for q in (before, after)
    )
    assert one == other


@pytest.mark.parametrize("content", [None, b"", b"something else", b"PK\x03\x04"])
def test_damaged_files(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "quantization.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(IntermediateFileError) as caught:
        load_calibrated(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: cannot be read as a quantization (")
    assert message.endswith("); remove it and export again")


def test_a_file_cut_short(residual, found, tmp_path: Path) -> None:
    path = tmp_path / "quantization.npz"
    save_calibrated(path, residual.float32, found[Level.EQUALIZED])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(IntermediateFileError, match=r"cannot be read as a quantization \("):
        load_calibrated(path)


def test_progress_of_fast(residual) -> None:
    seen: list[tuple[str, int, int, str]] = []
    calibrate(
        residual.float32,
        residual.pictures[:3],
        QuantizationSettings(Level.FAST, few_pictures=True),
        progress=lambda *call: seen.append(call),
    )
    assert seen == [("calibrating", done, 3, "") for done in (1, 2, 3)]


def test_progress_of_equalized(residual) -> None:
    seen: list[tuple[str, int, int, str]] = []
    calibrate(
        residual.float32,
        residual.pictures,
        QuantizationSettings(),
        progress=lambda *call: seen.append(call),
    )
    assert seen[:4] == [("calibrating", done, 40, "") for done in (10, 20, 30, 40)]
    assert seen[4][:3] == ("choosing", 1, 8)
    assert seen[4][3].startswith("least noise, extremes: ")
    assert [done for _, done, *_ in seen[-4:]] == [5, 6, 7, 8]
    assert all("strength 0" in words or "least noise" in words for *_, words in seen[4:])
    assert all("best " in words for *_, words in seen[4:])


def test_litert_s_files_use_all_8_bits_of_a_weight(residual) -> None:
    """Pair-safe weights are for int8.onnx; those of a distilled network were learned so."""
    method = QuantizationSettings(grid=WeightGrid.PAIR_SAFE, few_pictures=True)
    calibrated = calibrate(residual.float32, residual.pictures, method, residual.layers)
    scheme = for_litert(calibrated, residual.pictures)
    assert (calibrated.scheme.grid, scheme.grid) == (WeightGrid.PAIR_SAFE, WeightGrid.FULL)
    assert scheme.ranges == calibrated.scheme.ranges
    index = next(i for i in scheme.parameters if i not in residual.network.head)
    moved = dict(calibrated.scheme.parameters)
    moved[index] = Parameters(moved[index].kernel + 0.01, moved[index].bias)
    learned = replace(calibrated, scheme=replace(calibrated.scheme, parameters=moved))
    assert for_litert(learned, residual.pictures) is learned.scheme


def test_16_bits_have_ranges_that_clip_nothing(residual) -> None:
    for level in (Level.FAST, Level.EQUALIZED):
        method = QuantizationSettings(level, few_pictures=True)
        calibrated = calibrate(residual.float32, residual.pictures, method, residual.layers)
        scheme = for_int16_activations(calibrated, residual.pictures)
        for tensor in residual.network.writers.keys() - {residual.network.answer}:
            if tensor in scheme.ranges:
                assert scheme.ranges[tensor].high >= calibrated.scheme.ranges[tensor].high
