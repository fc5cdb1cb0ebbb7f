"""Ranges that LiteRT's integer kernels can compute with, and biases that fit into 32 bits."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from converters.preprocessing import PREPROCESSINGS
from converters.quantization.calibration import calibrate
from converters.quantization.runtime_limits import (
    _ROOM,
    least_weight_steps,
    possible_ranges,
    step_of,
)
from converters.quantization.settings import Level, QuantizationSettings
from converters.quantization.tensor_range import Range
from converters.quantization.tflite import quantize_static
from converters.quantization.tflite_network import TfliteNetwork
from converters.rewrites.all_rewrites import optimize
from converters.serving import serving_model
from converters.tflite.conversion import convert_float32

ASK = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
for path in sys.argv[1:]:
    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    interpreter.set_tensor(image["index"], np.ones(image["shape"], image["dtype"]))
    interpreter.invoke()
"""


def chain(kind: str, **options: object) -> TfliteNetwork:
    """A network of one operator: tensors 0 and 1 in, 2 out."""
    from converters.quantization.tflite_network import Operation

    class Options:
        pass

    chosen = Options()
    chosen.__dict__.update(options)
    inputs = (0,) if kind in ("HARD_SWISH", "SOFTMAX") else (0, 1)
    operation = Operation(0, kind, inputs, (2,), "NONE", chosen, "layer")
    shapes = ((1, 4),) * 3
    return TfliteNetwork((operation,), ("a", "b", "c"), shapes, {}, 0, 2)


def span(step: float) -> Range:
    return Range(0.0, 255 * step)


def test_steps() -> None:
    assert step_of(Range(-1.0, 4.1)) == pytest.approx(5.1 / 255)
    assert step_of(Range(-2.0, 1.0), 16) == pytest.approx(2 / 32767)


@pytest.mark.parametrize(
    ("kind", "bits", "inputs", "least"),
    [
        # Twice the larger step, 20 or 15 bits lower.
        ("ADD", 8, (1.0, 1e-9), 2 / 2**20),
        ("SUB", 8, (1e-9, 3.0), 6 / 2**20),
        ("ADD", 16, (1.0, 1e-9), 2 / 2**15),
        # (2 * 0.5)^2 / 2^14
        ("SQUARED_DIFFERENCE", 8, (0.5, 1e-9), 1 / 2**14),
        ("HARD_SWISH", 8, (1.0, 0.0), 1 / 128),
        ("MUL", 8, (1.0, 1.0), 0.0),
    ],
)
def test_a_step_that_litert_aborts_on_is_widened(
    kind: str, bits: int, inputs: tuple[float, float], least: float
) -> None:
    unit = 255 if bits == 8 else 32767
    ranges = {t: Range(0.0, unit * step) for t, step in enumerate((*inputs, 1e-15)) if step}
    found = possible_ranges(chain(kind), ranges, {}, bits)
    assert step_of(found[2], bits) == pytest.approx(max(1e-15, _ROOM * least))
    enough = ranges | {2: Range(-2 * unit * least, 2 * unit * least)}
    assert possible_ranges(chain(kind), enough, {}, bits) == enough


def test_the_input_of_a_softmax_has_a_least_step() -> None:
    found = possible_ranges(chain("SOFTMAX"), {0: span(1e-12), 2: Range(0.0, 1.0)}, {})
    assert step_of(found[0]) == pytest.approx(_ROOM * 2.0**-25)


def test_a_product_is_at_most_256_steps_of_the_output() -> None:
    network = chain("CONV_2D")
    ranges = {0: span(0.5), 2: span(1e-6)}
    found = possible_ranges(network, ranges, {0: np.array([0.25, 2.0])})
    assert step_of(found[2]) == pytest.approx(_ROOM * 0.5 * 2.0 / 256)


def test_a_range_that_is_joined_is_widened_with_its_part() -> None:
    """A concatenation gives its own step to the convolution that writes a part."""
    network = chain("CONV_2D")
    join = replace(
        network.operations[0], index=1, kind="CONCATENATION", inputs=(2, 1), outputs=(3,)
    )
    network = replace(
        network,
        operations=(*network.operations, join),
        names=("a", "b", "c", "d"),
        shapes=((1, 4),) * 4,
        answer=3,
    )
    ranges = {0: span(0.5), 1: span(1.0), 2: span(1.0), 3: span(1e-6)}
    found = possible_ranges(network, ranges, {0: np.array([2.0])})
    assert step_of(found[3]) == pytest.approx(_ROOM * 0.5 * 2.0 / 256)
    assert found[2] == ranges[2]


def test_the_step_of_weights_beside_a_large_bias() -> None:
    # 1024 / 2^30 = 2^-20, in steps of the input of 2^-4: 2^-16
    least = least_weight_steps(np.array([0.0, -1024.0], np.float32), span(2.0**-4))
    np.testing.assert_allclose(least, [0.0, 2.0**-16])


def dead_branch(x: keras.KerasTensor) -> keras.KerasTensor:
    """A residual branch of zeros beside a stream of 1e-8."""
    tiny = keras.initializers.RandomNormal(stddev=1e-10, seed=0)
    y = layers.Conv2D(4, 3, padding="same", kernel_initializer=tiny, name="tiny")(x)
    z = layers.Conv2D(4, 3, padding="same", activation="relu", name="branch")(y)
    z = layers.Conv2D(4, 1, name="dead", use_bias=False)(z)
    return layers.Dense(3, activation="softmax", name="head")(
        layers.GlobalAveragePooling2D()(layers.Add()([y, z]))
    )


def test_a_dead_branch_does_not_end_the_runtime(small, tmp_path: Path) -> None:
    """Without wider ranges LiteRT aborts with SIGABRT, so a process of its own asks."""
    made = small(dead_branch, preprocessing="unit")
    for layer in made.model.layers:
        weights = [np.asarray(w) for w in layer.get_weights()]
        if layer.name == "tiny":
            layer.set_weights([1e-10 * w for w in weights])
        if layer.name == "branch":
            layer.set_weights([weights[0], -np.ones_like(weights[1])])
    made = type(made)(made.model, made.serving, made.pictures)
    paths = []
    for level in (Level.FAST, Level.EQUALIZED):
        found = calibrate(made.float32, made.pictures, QuantizationSettings(level), made.layers)
        for kind in ("int8", "int8_full", "int16x8"):
            data = quantize_static(
                made.float32,
                found.network,
                found.scheme,
                integer_only=kind == "int8_full",
                activation_bits=16 if kind == "int16x8" else 8,
            )
            paths.append(tmp_path / f"{level}-{kind}.tflite")
            paths[-1].write_bytes(data)
    done = subprocess.run([sys.executable, "-c", ASK, *paths], capture_output=True, check=False)
    assert (done.returncode, done.stderr[-200:]) == (0, done.stderr[-200:])


def test_an_untrained_mobilenet_does_not_end_the_runtime(tmp_path: Path) -> None:
    """Values shrink from block to block: LiteRT aborted on sums of such different steps."""
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2((32, 32, 3), 0.35, weights=None, classes=4)
    float32 = convert_float32(serving_model(optimize(model).model, PREPROCESSINGS["tf"]))
    pictures = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
    found = calibrate(float32, pictures, QuantizationSettings(Level.FAST))
    path = tmp_path / "int8.tflite"
    path.write_bytes(quantize_static(float32, found.network, found.scheme, integer_only=False))
    done = subprocess.run([sys.executable, "-c", ASK, path], capture_output=True, check=False)
    assert (done.returncode, done.stderr[-200:]) == (0, done.stderr[-200:])


def test_a_bias_beside_tiny_weights_is_kept(small, classify) -> None:
    """Weights of 1e-9 and a bias of 1: the bias would be 1e11 steps, clipped to 2^31."""

    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        y = layers.Conv2D(4, 3, name="conv")(x)
        return layers.Dense(3, activation="softmax", name="head")(
            layers.GlobalAveragePooling2D()(y)
        )

    made = small(build, preprocessing="unit")
    conv = made.model.get_layer("conv")
    kernel, _ = (np.array(w) for w in conv.get_weights())
    kernel[..., :3] *= 1e-9
    conv.set_weights([kernel, np.array([1.0, -2.0, 3.0, 0.1], np.float32)])
    made = type(made)(made.model, made.serving, made.pictures)
    found = calibrate(made.float32, made.pictures, QuantizationSettings(Level.FAST), made.layers)
    data = quantize_static(made.float32, found.network, found.scheme, integer_only=False)
    expected = classify(made.float32, made.pictures)
    np.testing.assert_allclose(classify(data, made.pictures), expected, atol=0.02)
    interpreter = Interpreter(model_content=data)
    biases = [d for d in interpreter.get_tensor_details() if d["dtype"] == np.int32]
    largest = max(np.abs(interpreter.get_tensor(d["index"])).max() for d in biases)
    assert largest <= 2**30 + 1
