"""The search is right about every file it makes, and does what its table of trials says."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from converters.errors import IntermediateFileError, ModelConversionError, RequestError
from converters.preprocessing import PREPROCESSINGS
from converters.quantization import trial_runner
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.calibration import Level, calibrate, operations_of
from converters.quantization.findings import LayerSensitivity, PrecisionTrial
from converters.quantization.layer_sensitivity import measure_sensitivity
from converters.quantization.mixed_precision import SearchStep, search
from converters.quantization.settings import QuantizationSettings
from converters.quantization.tflite import quantize_static
from converters.quantization.tflite_network import Parameters, write_parameters
from converters.serving import serving_model
from converters.tflite.conversion import convert_float32


def paint(count: int) -> np.ndarray:
    """Noise of different colours, so that answers differ."""
    rng = np.random.default_rng(4)
    colours = rng.uniform(0, 1, (count, 1, 1, 3))
    return (rng.integers(0, 256, (count, 8, 8, 3)) * colours).astype(np.uint8)


def build(pictures: np.ndarray) -> keras.Model:
    """A residual block in which one channel of a tensor is 300 times as large as the others.

    On these pictures every logit is 0 on average.
    """
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
    scale(model.get_layer("stem"), 1 / 60)
    scale(model.get_layer("hard"), np.array([300, 1, 1, 1, 1, 1]))
    scale(model.get_layer("branch"), np.array([1 / 300, 1, 1, 1, 1, 1]).reshape(6, 1))
    features = keras.Model(image, pool)(pictures.astype(np.float32)).numpy()
    kernel, _ = model.get_layer("head").get_weights()
    model.get_layer("head").set_weights([kernel, -features.mean(axis=0) @ kernel])
    return model


def scale(layer: keras.Layer, factor: float | np.ndarray) -> None:
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel * factor, bias])


@dataclass(frozen=True)
class Block:
    float32: bytes
    calibrated: CalibratedNetwork
    sensitivities: tuple[LayerSensitivity, ...]
    pictures: np.ndarray

    def search(self, budget_s: float = 1e9, **options: object) -> list[SearchStep]:
        arguments = (self.float32, self.calibrated, self.sensitivities, self.pictures, budget_s)
        return list(search(*arguments, **options))


@pytest.fixture(scope="module")
def block() -> Block:
    pictures = paint(128)
    model = build(pictures)
    float32 = convert_float32(serving_model(model, PREPROCESSINGS["none"]))
    names = [layer.name for layer in model.layers]
    calibrated = calibrate(float32, pictures[:64], QuantizationSettings(Level.FAST), names)
    found = measure_sensitivity(calibrated.network, calibrated.scheme, pictures[:64])
    return Block(float32, calibrated, found, pictures[64:])


@pytest.fixture(scope="module")
def everything(block: Block) -> list[SearchStep]:
    """A search without a limit. Not to be changed."""
    return block.search()


def answers(data: bytes, pictures: np.ndarray) -> np.ndarray:
    """Probabilities as a user of the file gets them."""
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    (image,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for picture in pictures:
        levels = picture.astype(np.int64) - (128 if image["dtype"] == np.int8 else 0)
        interpreter.set_tensor(image["index"], levels[np.newaxis].astype(image["dtype"]))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(answer["index"])[0])
    return np.float64(rows)


def centred_logs(probabilities: np.ndarray) -> np.ndarray:
    logits = np.log(probabilities)
    return logits - logits.mean(axis=1, keepdims=True)


def better(one: PrecisionTrial, other: PrecisionTrial) -> bool:
    """True if the first is the better one; written without a sort key."""
    if one.holds != other.holds:
        return one.holds
    if one.holds:
        return one.bytes < other.bytes
    if one.agreement != other.agreement:
        return one.agreement > other.agreement
    return one.sqnr_db > other.sqnr_db


def without_latency(found: Sequence[SearchStep]) -> list[PrecisionTrial]:
    return [replace(item.trial, latency_s=0.0) for item in found]


def test_figures_are_those_of_the_files(block: Block, everything: list[SearchStep]) -> None:
    reference = answers(block.float32, block.pictures)
    expected = centred_logs(reference)
    for item in everything:
        assert item.best in [other.trial for other in everything]
        assert len(item.data) == item.best.bytes
        probabilities = answers(item.data, block.pictures)
        agreeing = (probabilities.argmax(axis=1) == reference.argmax(axis=1)).mean()
        assert item.best.agreement == agreeing
        noise = np.square(centred_logs(probabilities) - expected).sum()
        decibels = 10 * np.log10(np.square(expected).sum() / noise)
        assert item.best.sqnr_db == pytest.approx(decibels, abs=1e-6)
        assert item.best.latency_s > 0
        assert item.best.holds == (agreeing >= 0.99)


def test_it_goes_from_integers_to_answers_that_hold(everything: list[SearchStep]) -> None:
    first, last = everything[0], everything[-1]
    assert (first.trial.layer, first.trial.float_layers) == ("", ())
    assert not first.trial.holds
    assert last.best.holds
    assert "hard" in last.best.float_layers
    assert last.best.sqnr_db > first.trial.sqnr_db + 6


def test_the_best_is_kept_after_every_trial(everything: list[SearchStep]) -> None:
    for place, item in enumerate(everything, start=1):
        trials = [other.trial for other in everything[:place]]
        assert not any(better(trial, item.best) for trial in trials)


def test_no_set_of_layers_is_tried_twice(everything: list[SearchStep]) -> None:
    sets = [item.trial.float_layers for item in everything]
    assert len(set(sets)) == len(sets)


def test_scheme_and_names_give_the_same_file_again(
    block: Block, everything: list[SearchStep]
) -> None:
    last, network = everything[-1], block.calibrated.network
    made = quantize_static(block.float32, network, last.scheme, integer_only=False)
    assert made == last.data
    named = operations_of(network, last.best.float_layers)
    kept = block.calibrated.scheme.float_operations
    assert last.scheme.float_operations == kept | named


def test_files_take_int8_pixels_even_where_the_first_layer_is_float(block: Block) -> None:
    (stem,) = (op.index for op in block.calibrated.network.operations if op.layer == "stem")
    scheme = block.calibrated.scheme
    scheme = replace(scheme, float_operations=scheme.float_operations | {stem})
    data = quantize_static(block.float32, block.calibrated.network, scheme, integer_only=False)
    (image,) = Interpreter(model_content=data).get_input_details()
    assert image["dtype"] == np.int8


def test_the_same_inputs_give_the_same_trials(block: Block, everything: list[SearchStep]) -> None:
    assert without_latency(block.search()) == without_latency(everything)


def test_without_a_budget_everything_is_integer(block: Block, everything: list[SearchStep]) -> None:
    (only,) = block.search(0)
    assert only.trial == only.best
    assert without_latency([only]) == without_latency(everything[:1])


def test_no_trial_begins_after_the_budget(block: Block) -> None:
    now_s = 0.0
    arguments = (block.float32, block.calibrated, block.sensitivities, block.pictures, 10)
    found = search(*arguments, clock=lambda: now_s)
    next(found)
    now_s = 9.9
    assert next(found).trial.layer == "hard"
    now_s = 10.0
    assert list(found) == []


def test_a_search_goes_on_where_it_was_cut_off(block: Block, everything: list[SearchStep]) -> None:
    for done in range(1, len(everything) + 1):
        rows = [item.trial for item in everything[:done]]
        again = block.search(earlier=rows)
        assert again[0] == replace(
            everything[done - 1], trial=everything[done - 1].best, repeated=True
        )
        assert without_latency(again[1:]) == without_latency(everything[done:])
        assert not any(item.repeated for item in again[1:])
        assert again[-1].data == everything[-1].data


def test_an_interrupt_comes_through(block: Block) -> None:
    calls = itertools.count()

    def clock() -> float:
        if next(calls) > 6 * len(block.pictures):  # in the second trial
            raise KeyboardInterrupt
        return 0.0

    arguments = (block.float32, block.calibrated, block.sensitivities, block.pictures, 10)
    found = search(*arguments, clock=clock)
    kept = [next(found)]
    with pytest.raises(KeyboardInterrupt):
        kept += found
    assert len(kept) == 1


SHARES = {"stem": 0.4, "hard": 0.3, "branch": 0.2, "pool": 0.1, "head": 0.0}


@pytest.fixture
def staged(block: Block, monkeypatch: pytest.MonkeyPatch) -> Block:
    """The block with invented answers: "hard" and "branch" are needed, "stem" is only suspected."""
    names = [op.layer for op in block.calibrated.network.operations]
    classes = np.tile(np.arange(5), 2)

    def quantize(float32: bytes, network: object, scheme: object, **options: object) -> bytes:
        """The layers in float; longer with each."""
        return "".join(f"{names[index]} " for index in sorted(scheme.float_operations)).encode()

    def run(bench: object, data: bytes) -> tuple[np.ndarray, float]:
        inside = set(data.decode().split()) if data != block.float32 else set(names)
        wrong = 0 if {"hard", "branch"} <= inside else 4 if "hard" in inside else 5
        found = np.concatenate([(classes[:wrong] + 1) % 5, classes[wrong:]])
        return np.eye(5)[found] - 0.2, 0.001

    monkeypatch.setattr(trial_runner, "quantize_static", quantize)
    monkeypatch.setattr(trial_runner.TrialRunner, "run", run)
    rows = tuple(replace(r, share=SHARES.get(r.layer, 0.0)) for r in block.sensitivities)
    return replace(block, sensitivities=rows)


def test_layers_are_put_back_and_taken_out_by_guilt(staged: Block) -> None:
    trials = [item.trial for item in staged.search()]
    join = next(op.layer for op in staged.calibrated.network.operations if op.kind == "ADD")
    assert [(t.layer, t.float_layers, t.agreement, t.holds) for t in trials] == [
        ("", (), 0.5, False),
        # Alone it frees its kernel and changes nothing; with what reads it, its output too.
        ("stem", ("stem",), 0.5, False),
        ("stem", ("stem", "hard", join, "pool"), 0.6, False),
        # The sum follows it, so that the tensor between stays float.
        ("branch", ("stem", "hard", "branch", join, "pool"), 1.0, True),
        (join, ("stem", "hard", "branch", join), 1.0, True),
        ("branch", ("stem", "hard", join), 0.6, False),
        ("hard", ("stem", "branch", join), 0.5, False),
        ("stem", ("hard", "branch", join), 1.0, True),
    ]
    assert staged.search()[-1].best == trials[-1]


def test_a_sum_between_integers_and_the_float_head_bring_nothing(staged: Block) -> None:
    """Neither is tried, whatever its share of the noise; a mean in front of the float head is."""
    shares = {"head": 0.7, "pool": 0.3}
    rows = tuple(replace(r, share=shares.get(r.layer, 0.0)) for r in staged.sensitivities)
    trials = [item.trial for item in replace(staged, sensitivities=rows).search()]
    assert [trial.float_layers for trial in trials] == [(), ("pool",)]


def test_an_agreement_that_is_enough_already_needs_no_trial(staged: Block) -> None:
    assert [item.trial.float_layers for item in staged.search(required=0.5)] == [()]


def test_no_pictures_are_refused(block: Block) -> None:
    with pytest.raises(RequestError, match="search: no pictures; expected at least one"):
        replace(block, pictures=block.pictures[:0]).search()


def test_rows_of_other_networks_are_refused(block: Block, everything: list[SearchStep]) -> None:
    other = replace(block.sensitivities[0], layer="conv5")
    with pytest.raises(
        IntermediateFileError, match="a sensitivity names layer 'conv5', which this net"
    ):
        replace(block, sensitivities=(other,)).search()
    row = replace(everything[0].trial, float_layers=("conv5",))
    with pytest.raises(IntermediateFileError, match="an earlier trial names layer 'conv5'"):
        block.search(earlier=[row])


def test_rows_of_another_quantization_are_refused(
    block: Block, everything: list[SearchStep]
) -> None:
    row = replace(everything[0].trial, bytes=1)
    with pytest.raises(IntermediateFileError, match="had 1 bytes, made again it has"):
        block.search(earlier=[row])


def test_answers_that_are_not_finite_are_refused(block: Block) -> None:
    network = block.calibrated.network
    head = max(network.parameters)
    p = network.parameters[head]
    broken = write_parameters(block.float32, {head: Parameters(p.kernel * np.nan, p.bias)}).data
    with pytest.raises(ModelConversionError, match="holds NaN or infinite values"):
        replace(block, float32=broken).search()


def test_a_file_that_the_runtime_refuses_is_an_error(
    block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_runner, "quantize_static", lambda *a, **k: b"no flatbuffer")
    with pytest.raises(
        ModelConversionError, match="LiteRT refuses a file of integer and float layers"
    ):
        block.search()
