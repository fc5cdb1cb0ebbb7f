"""Learned rounding of all layers: better on other pictures, never worse, for every network."""

from dataclasses import replace

import numpy as np
import pytest

from converters.quantization import layer_rounding
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.calibration import calibrate
from converters.quantization.integer_simulation import simulate
from converters.quantization.layer_rounding import round_layers
from converters.quantization.rounding import weight_scales
from converters.quantization.settings import QuantizationSettings, WeightGrid
from converters.quantization.tensorflow_execution import constant_weights, run
from converters.quantization.tflite import quantize_static
from converters.quantization.tflite_network import DEPTHWISE


def silent(stage: str, done: int, total: int, words: str) -> None:
    """Show no progress."""


def equalized(made, grid: WeightGrid = WeightGrid.FULL) -> CalibratedNetwork:
    return calibrate(made.float32, made.pictures, QuantizationSettings(grid=grid), made.layers)


def held_out_db(found: CalibratedNetwork) -> float:
    return found.figures.held_out_sqnr_db


def kernels_apart(found: CalibratedNetwork) -> set[str]:
    exact, scheme = found.float_parameters, found.scheme
    return {
        found.network.operations[index].kind
        for index, p in scheme.parameters.items()
        if not np.array_equal(p.kernel, exact[index].kernel)
    }


def test_kernels_are_multiples_of_their_steps(residual) -> None:
    start = equalized(residual, WeightGrid.PAIR_SAFE)
    scheme = layer_rounding._learn(start, residual.pictures, silent)
    for operation in start.network.weighted:
        grid = scheme.grid_of(start.network, operation)
        if operation.kind == DEPTHWISE or grid is None:
            continue
        kernel = scheme.parameters[operation.index].kernel
        exact = start.float_parameters[operation.index].kernel
        steps = weight_scales(exact, operation.kind, grid).numpy()
        np.testing.assert_allclose(kernel / steps, np.rint(kernel / steps), atol=1e-3)
        np.testing.assert_allclose(weight_scales(kernel, operation.kind, grid), steps, rtol=1e-5)


def test_the_error_of_a_layer_s_sums_is_smaller(residual) -> None:
    """The first layer reads the same pixels in both, so its sums can be compared alone."""
    network, start = residual.network, equalized(residual)
    scheme = layer_rounding._learn(start, residual.pictures[:30], silent)
    first = network.weighted[0]
    seen: list[np.ndarray] = []

    def weigh(operation, sums):
        if operation.index == first.index:
            seen.append(np.asarray(sums))
        return sums

    picture = residual.pictures[30:].astype(np.float32)
    exact = start.float_parameters
    nearest = dict(exact)
    nearest[first.index] = replace(
        exact[first.index], kernel=rounded(start, exact[first.index].kernel, first.kind)
    )
    learned = dict(exact)
    learned[first.index] = replace(exact[first.index], kernel=scheme.parameters[first.index].kernel)
    for parameters in (exact, nearest, learned):
        run(network, constant_weights(network, parameters), picture, weigh=weigh)
    right, by_nearest, by_learning = (each - each.mean(axis=(0, 1, 2)) for each in seen)
    assert np.square(by_learning - right).sum() < 0.8 * np.square(by_nearest - right).sum()


def rounded(start: CalibratedNetwork, kernel: np.ndarray, kind: str) -> np.ndarray:
    steps = weight_scales(kernel, kind, start.scheme.grid).numpy()
    return (np.rint(kernel / steps) * steps).astype(np.float32)


def test_never_worse_on_held_out_pictures(each) -> None:
    start = equalized(each)
    found = round_layers(start, each.pictures, silent)
    assert found is start or held_out_db(found) > 0
    logits = simulate(each.network, found.scheme, each.pictures)
    assert np.isfinite(logits).all()


def test_rounding_that_is_worse_is_not_kept(residual, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_rounding, "round_kernel", lambda kernel, *_: np.zeros_like(kernel))
    start = equalized(residual)
    assert round_layers(start, residual.pictures, silent) is start


def test_files_hold_the_learned_integers(residual, classify) -> None:
    start = equalized(residual)
    learned = layer_rounding._learn(start, residual.pictures, silent)
    data = quantize_static(residual.float32, residual.network, learned, integer_only=False)
    simulated = simulate(residual.network, learned, residual.pictures)
    simulated = np.exp(simulated - simulated.max(axis=1, keepdims=True))
    simulated /= simulated.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classify(data, residual.pictures), simulated, atol=5e-3)


def test_progress_names_layers_and_the_same_inputs_give_the_same_kernels(residual) -> None:
    start = equalized(residual)
    seen: list[tuple[str, int, int, str]] = []
    one = layer_rounding._learn(start, residual.pictures, lambda *call: seen.append(call))
    two = layer_rounding._learn(start, residual.pictures, silent)
    names = [operation.layer for operation in residual.network.weighted]
    assert seen == [("rounding", n, len(names), name) for n, name in enumerate(names, start=1)]
    for index, p in one.parameters.items():
        np.testing.assert_array_equal(p.kernel, two.parameters[index].kernel)
        np.testing.assert_array_equal(p.bias, two.parameters[index].bias)


def test_inputs_are_what_a_convolution_multiplies(residual) -> None:
    """Inputs times the kernel are the convolution's sums, by rows."""
    network = residual.network
    operation = next(op for op in network.weighted if op.kind == "CONV_2D")
    p, seen = network.parameters[operation.index], {}

    def choose(current, read):
        if current.index == operation.index:
            seen["inputs"] = layer_rounding._inputs(operation, p.kernel, read)
        return constant_weights(network)[current.index]

    def weigh(current, sums):
        if current.index == operation.index:
            seen["sums"] = np.asarray(sums).reshape(-1, sums.shape[-1])
        return sums

    picture = residual.pictures[:3].astype(np.float32)
    run(network, constant_weights(network), picture, weigh=weigh, choose=choose)
    found = seen["inputs"] @ p.kernel.reshape(-1, p.kernel.shape[-1]) + p.bias
    np.testing.assert_allclose(found, seen["sums"], rtol=1e-3, atol=1e-3)
