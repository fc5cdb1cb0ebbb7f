"""Sensitivities are those that a second, plain NumPy network finds."""

from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest
from keras import layers

from converters.errors import ModelConversionError, RequestError
from converters.preprocessing import PREPROCESSINGS
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.calibration import Level, calibrate
from converters.quantization.findings import LayerSensitivity
from converters.quantization.layer_sensitivity import measure_sensitivity
from converters.quantization.scheme import Scheme
from converters.quantization.settings import QuantizationSettings
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import Parameters, TfliteNetwork
from converters.serving import serving_model
from converters.tflite.conversion import convert_float32

LAYERS = ("stem", "hard", "branch", "join", "pool", "head")
"""Those that round; in graph order."""


def build() -> keras.Model:
    """A residual block in which one channel of a tensor is 300 times as large as the others."""
    image = keras.Input((8, 8, 3))
    stem = layers.Conv2D(6, 3, padding="same", activation="relu", name="stem")(image)
    hard = layers.Conv2D(6, 1, activation="relu", name="hard")(stem)
    branch = layers.Conv2D(6, 3, padding="same", name="branch")(hard)
    join = layers.ReLU(name="out")(layers.Add(name="join")([stem, branch]))
    pool = layers.GlobalAveragePooling2D(name="pool")(join)
    model = keras.Model(image, layers.Dense(5, name="head")(pool))
    rng = np.random.default_rng(3)
    for layer in model.layers:
        for weight in layer.weights:
            fan_in = max(1, int(np.prod(weight.shape[:-1])))
            weight.assign(rng.normal(0, np.sqrt(1 / fan_in), weight.shape))
    (kernel, bias), following = model.get_layer("hard").get_weights(), model.get_layer("branch")
    model.get_layer("hard").set_weights([kernel * [300, 1, 1, 1, 1, 1], bias])
    weights = following.get_weights()
    weights[0][:, :, 0] /= 300
    following.set_weights(weights)
    stem = model.get_layer("stem").get_weights()
    model.get_layer("stem").set_weights([stem[0] / 60, stem[1]])
    return model


@dataclass(frozen=True)
class Block:
    model: keras.Model
    calibrated: CalibratedNetwork
    equalized: CalibratedNetwork
    pictures: np.ndarray

    @property
    def network(self) -> TfliteNetwork:
        return self.calibrated.network


@pytest.fixture(scope="module")
def block() -> Block:
    model = build()
    data = convert_float32(serving_model(model, PREPROCESSINGS["none"]))
    pictures = np.random.default_rng(4).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    names = [layer.name for layer in model.layers]
    fast, equalized = (
        calibrate(data, pictures, QuantizationSettings(level), names)
        for level in (Level.FAST, Level.EQUALIZED)
    )
    return Block(model, fast, equalized, pictures)


@pytest.fixture(scope="module")
def rows(block: Block) -> dict[str, LayerSensitivity]:
    measured = measure_sensitivity(block.network, block.calibrated.scheme, block.pictures)
    return {row.layer: row for row in measured}


def ranges_of(network: TfliteNetwork, scheme: Scheme) -> dict[str, Range]:
    return {
        op.layer if op.kind != "ADD" else "join": scheme.ranges[op.output]
        for op in network.operations
    }


def step_of(span: Range) -> float:
    return (max(0.0, span.high) - min(0.0, span.low)) / 255


def rounded(x: np.ndarray, span: Range) -> np.ndarray:
    """To 256 levels, zero being one of them."""
    low, step = min(0.0, span.low), step_of(span)
    zero = np.rint(-low / step)
    return (np.clip(np.rint(x / step) + zero, 0, 255) - zero) * step


def rounded_weights(
    kernel: np.ndarray, bias: np.ndarray, step: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """To -127 to 127, with a step for every output channel; the bias in the steps of the sums."""
    steps = np.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0) / 127
    if step is not None:
        bias = np.rint(bias / (steps * step)) * steps * step
    return np.rint(kernel / steps) * steps, bias


def convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    pad = kernel.shape[0] // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    return np.einsum("nyxcij,ijco->nyxo", windows, kernel) + bias


def forward(
    block: Block, spans: dict[str, Range], rounding: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Every layer's output in float64; those in ``rounding`` round weights and output."""

    read = {"stem": 1.0, "hard": step_of(spans["stem"]), "branch": step_of(spans["hard"])}

    def kernel_of(name: str) -> tuple[np.ndarray, np.ndarray]:
        kernel, bias = (np.float64(w) for w in block.model.get_layer(name).get_weights())
        is_rounded = name in rounding
        return rounded_weights(kernel, bias, read.get(name)) if is_rounded else (kernel, bias)

    def written(name: str, x: np.ndarray) -> np.ndarray:
        return rounded(x, spans[name]) if name in rounding else x

    found = {}
    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    found["stem"] = written("stem", relu(convolve(np.float64(block.pictures), *kernel_of("stem"))))
    found["hard"] = written("hard", relu(convolve(found["stem"], *kernel_of("hard"))))
    found["branch"] = written("branch", convolve(found["hard"], *kernel_of("branch")))
    found["join"] = written("join", relu(found["stem"] + found["branch"]))
    found["pool"] = written("pool", found["join"].mean(axis=(1, 2)))
    kernel, bias = kernel_of("head")
    found["head"] = found["pool"] @ kernel + bias  # stays float, so its output is not rounded
    return found


def centred(logits: np.ndarray) -> np.ndarray:
    return logits - logits.mean(axis=1, keepdims=True)


def decibels(signal: np.ndarray, noise: np.ndarray) -> float:
    return 10 * np.log10(np.square(signal).sum() / np.square(noise).sum())


def canonical(layer: str) -> str:
    """The sum and the ReLU fused into it are one operator, known by either name."""
    return "join" if layer == "out" else layer


def test_there_is_a_row_for_every_layer_that_rounds(rows: dict[str, LayerSensitivity]) -> None:
    assert tuple(canonical(layer) for layer in rows) == LAYERS
    kinds = [row.kinds for row in rows.values()]
    convolution = ("CONV_2D",)
    assert kinds == [convolution] * 3 + [("ADD",), ("MEAN",), ("FULLY_CONNECTED",)]


def test_figures_are_those_of_plain_numpy(block: Block, rows: dict[str, LayerSensitivity]) -> None:
    spans = ranges_of(block.network, block.calibrated.scheme)
    exact = forward(block, spans, ())
    logits = centred(exact["head"])
    everything = forward(block, spans, LAYERS)
    noise = {}
    for layer, row in rows.items():
        name = canonical(layer)
        found = centred(forward(block, spans, (name,))["head"])
        noise[layer] = np.square(found - logits).sum()
        assert row.logits_sqnr_db == pytest.approx(decibels(logits, found - logits), abs=0.2)
        agreeing = (found.argmax(axis=1) == logits.argmax(axis=1)).mean()
        assert row.agreement == pytest.approx(agreeing, abs=1.5 / 64)
        error = everything[name] - exact[name]
        assert row.output_sqnr_db == pytest.approx(decibels(exact[name], error), abs=0.2)
        assert (row.low, row.high) == (spans[name].low, spans[name].high)
    for layer, row in rows.items():
        assert row.share == pytest.approx(noise[layer] / sum(noise.values()), rel=0.05, abs=1e-4)


def test_the_layer_made_hard_is_the_guiltiest(rows: dict[str, LayerSensitivity]) -> None:
    assert max(rows.values(), key=lambda row: row.share).layer == "hard"
    assert rows["hard"].share > 0.5
    assert sum(row.share for row in rows.values()) == pytest.approx(1)


def test_a_float_layer_between_integer_ones_still_rounds_its_output(
    block: Block, rows: dict[str, LayerSensitivity]
) -> None:
    """Its row is that of the output alone."""
    scheme = block.calibrated.scheme
    (hard,) = (op for op in block.network.operations if op.layer == "hard")
    kept = replace(scheme, float_operations=scheme.float_operations | {hard.index})
    found = {r.layer: r for r in measure_sensitivity(block.network, kept, block.pictures)}
    spans = ranges_of(block.network, scheme)
    exact = forward(block, spans, ())
    hidden = rounded(exact["hard"], spans["hard"])
    kernels = [np.float64(w) for w in block.model.get_layer("branch").get_weights()]
    join = np.maximum(exact["stem"] + convolve(hidden, *kernels), 0)
    kernel, bias = block.model.get_layer("head").get_weights()
    logits, expected = centred(join.mean(axis=(1, 2)) @ kernel + bias), centred(exact["head"])
    assert found["hard"].logits_sqnr_db == pytest.approx(
        decibels(expected, logits - expected), abs=0.2
    )
    assert found["hard"].logits_sqnr_db > rows["hard"].logits_sqnr_db


def test_a_network_in_float_but_for_its_head_has_one_row(block: Block) -> None:
    everything = frozenset(op.index for op in block.network.operations)
    scheme = replace(block.calibrated.scheme, float_operations=everything)
    (row,) = measure_sensitivity(block.network, scheme, block.pictures)
    assert (row.layer, row.share) == ("head", 1.0)


def test_a_mean_that_corrected_biases_make_good_is_no_guilt(block: Block) -> None:
    """A range that clips the stem shifts means; a scheme with biases of its own is spared those."""
    fast = block.calibrated.scheme
    (stem,) = (op for op in block.network.operations if op.layer == "stem")
    span = fast.ranges[stem.output]
    clipped = replace(fast, ranges={**fast.ranges, stem.output: Range(0.0, span.high / 3)})
    p = fast.parameters[stem.index]
    other = {**fast.parameters, stem.index: Parameters(p.kernel, p.bias + np.float32(1e-6))}
    corrected = replace(clipped, parameters=other)
    before, after = (
        measure_sensitivity(block.network, scheme, block.pictures)[0]
        for scheme in (clipped, corrected)
    )
    assert (before.layer, after.layer) == ("stem", "stem")
    assert after.logits_sqnr_db > before.logits_sqnr_db + 3


def test_equalisation_takes_the_guilt_off_the_hard_layer(
    block: Block, rows: dict[str, LayerSensitivity]
) -> None:
    found = measure_sensitivity(block.network, block.equalized.scheme, block.pictures)
    hard = next(row for row in found if row.layer == "hard")
    assert hard.logits_sqnr_db > rows["hard"].logits_sqnr_db + 10


def test_few_pictures_of_many_are_used_and_all_batches_are_counted(
    block: Block, rows: dict[str, LayerSensitivity], monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme, seen = block.calibrated.scheme, []
    many = np.concatenate([block.pictures] * 3)
    measure_sensitivity(block.network, scheme, many, lambda *a: seen.append(a[:3]))
    assert seen == [("measuring layers", done, 6) for done in range(1, 7)]
    monkeypatch.setattr("converters.quantization.tensorflow_execution.PIXELS_PER_BATCH", 8 * 8 * 20)
    parts = measure_sensitivity(block.network, scheme, block.pictures)
    for row in parts:
        assert row.logits_sqnr_db == pytest.approx(rows[row.layer].logits_sqnr_db, abs=0.1)


def test_no_pictures_are_refused(block: Block) -> None:
    with pytest.raises(RequestError, match="sensitivity: no pictures; expected at least one"):
        measure_sensitivity(block.network, block.calibrated.scheme, block.pictures[:0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named_by_their_layer(block: Block, value: float) -> None:
    scheme = block.calibrated.scheme
    (branch,) = (op for op in block.network.operations if op.layer == "branch")
    p = scheme.parameters[branch.index]
    bias = p.bias.copy()
    bias[0] = value
    broken = {**scheme.parameters, branch.index: Parameters(p.kernel, bias)}
    with pytest.raises(ModelConversionError, match="tensor 'branch' holds NaN or infinite values"):
        measure_sensitivity(block.network, replace(scheme, parameters=broken), block.pictures)
