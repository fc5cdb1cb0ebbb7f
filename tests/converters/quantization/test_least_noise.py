"""Scales with the least noise: gains by hand, an exact function, less noise than by strength."""

import numpy as np
import pytest

from converters.quantization.activation_extremes import Statistics, measure_activations
from converters.quantization.equalization import equalize, find_channels, strength_scales
from converters.quantization.least_noise import Gains, least_noise_scales, measure_gains
from converters.quantization.rounding import LEVELS
from converters.quantization.scheme import rounded_tensors
from converters.quantization.tensorflow_execution import Weights, batches, constant_weights, run
from converters.quantization.tflite_network import DEPTHWISE, SAME_VALUES, TfliteNetwork


def measured(made) -> Statistics:
    return measure_activations(made.network, constant_weights(made.network), made.pictures)[0]


def scales_of(made, found: Statistics) -> dict[int, np.ndarray]:
    gains = measure_gains(made.network, made.pictures)
    assert gains is not None
    return least_noise_scales(find_channels(made.network), found, gains, made.network.head)


def noise_of(
    network: TfliteNetwork, found: Statistics, gains: Gains, scales: dict[int, np.ndarray]
) -> float:
    """The formula of the module, in NumPy and with true extremes."""
    total = 0.0
    for tensor in rounded_tensors(network, network.head) & gains.outputs.keys():
        if network.writers[tensor].kind in SAME_VALUES:
            continue
        scale = scales.get(tensor, np.ones(len(found[tensor].low)))
        high, low = (found[tensor].high / scale).max(), (found[tensor].low / scale).min()
        step = (max(high, 0) - min(low, 0)) / 255
        total += step**2 / 12 * (scale**2 * gains.outputs[tensor]).sum()
    for operation in network.weighted:
        if operation.kind == DEPTHWISE:
            continue
        kernel = network.parameters[operation.index].kernel
        source = operation.inputs[0]
        scale = scales.get(source, np.ones(kernel.shape[-2]))
        columns = np.abs(kernel * scale[:, np.newaxis]).reshape(-1, kernel.shape[-1])
        positions = columns.shape[0] // kernel.shape[-2]
        steps = columns.max(axis=0) / LEVELS
        carried = (gains.variances.get(source, np.ones(len(scale))) / scale**2).sum()
        total += (steps**2 / 12 * gains.sums[operation.index]).sum() * positions * carried
    return total


def test_the_gain_of_a_feature_is_the_head_s_weights(residual) -> None:
    """What a head reads passes noise on with its weights; centred logits have no common part."""
    network = residual.network
    gains = measure_gains(network, residual.pictures)
    head = network.dense_head
    kernel = network.parameters[head.index].kernel
    centred = kernel - kernel.mean(axis=1, keepdims=True)
    # One combination of random signs for each picture has the sum over classes as its mean.
    expected = np.square(centred).sum(axis=1)
    found = gains.outputs[head.inputs[0]]
    assert np.corrcoef(found, expected)[0, 1] > 0.8
    assert found.sum() == pytest.approx(expected.sum(), rel=0.35)


def test_variances_by_hand(residual) -> None:
    network, seen = residual.network, {}

    def observe(operation, output):
        seen.setdefault(operation.output, []).append(np.asarray(output))
        return output

    for batch in batches(network, residual.pictures):
        run(network, constant_weights(network), batch, observe)
    gains = measure_gains(network, residual.pictures)
    for tensor, variance in gains.variances.items():
        values = np.concatenate(seen[tensor])
        expected = values.reshape(-1, values.shape[-1]).var(axis=0)
        np.testing.assert_allclose(variance, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_the_function_stays_and_the_noise_falls(each) -> None:
    network, found = each.network, measured(each)
    gains, channels = measure_gains(network, each.pictures), find_channels(network)
    if gains is None or not channels.groups:
        pytest.skip("no derivatives, or nothing to scale")
    scales = least_noise_scales(channels, found, gains, network.head)
    least = noise_of(network, found, gains, scales)
    for strength in (0.0, 0.5, 0.75):
        by_strength = strength_scales(channels, found, strength)
        assert least <= 1.02 * noise_of(network, found, gains, by_strength)
    result = equalize(network, found, scales)
    weights = {index: Weights(p.kernel, p.bias) for index, p in result.parameters.items()}
    picture = each.pictures[:4].astype(np.float32)
    before = np.asarray(run(network, constant_weights(network), picture))
    after = np.asarray(run(network, weights, picture))
    assert np.abs(after - before).max() <= 2e-5 * max(1.0, np.abs(before).max())


def test_a_channel_that_no_class_reads_gives_its_range_to_the_others(residual) -> None:
    """The same channel, with the same values, is scaled by what the answers make of it."""
    network, found = residual.network, measured(residual)
    gains, channels = measure_gains(network, residual.pictures), find_channels(network)
    tensor = next(t for t in channels.members if t in gains.outputs and not channels.fixed.all())
    tensor = next(iter(strength_scales(channels, found, 0.5)))
    ids = channels.members[tensor]
    loudest = int(found[tensor].high.argmax())
    others = {t: np.where(i == ids[loudest], 0.0, 1.0) for t, i in channels.members.items()}
    deaf = Gains(
        {t: gain * others[t] for t, gain in gains.outputs.items()}, gains.sums, gains.variances
    )

    def relative(gains: Gains) -> float:
        scale = least_noise_scales(channels, found, gains, network.head)[tensor]
        return float(scale[loudest] / np.median(scale))

    assert relative(deaf) > relative(gains)


def test_a_channel_without_values_keeps_its_scale(residual) -> None:
    network, found = residual.network, dict(measured(residual))
    tensor = next(iter(strength_scales(find_channels(network), found, 0.5)))
    channels = find_channels(network)
    group = channels.members[tensor][0]
    for each, ids in channels.members.items():
        if each in found:
            keep = np.where(ids == group, 0.0, 1.0)
            found[each] = found[each].scaled(keep)
    gains = measure_gains(network, residual.pictures)
    scales = least_noise_scales(channels, found, gains, network.head)
    assert scales[tensor][0] == pytest.approx(1.0)


def test_no_value_meets_relu6_s_bound_that_did_not_meet_it(networks) -> None:
    made = networks["mobile"]
    found = measured(made)
    result = equalize(made.network, found, scales_of(made, found))
    for operation in made.network.operations:
        if operation.activation == "RELU6":
            assert result.statistics[operation.output].high.max() <= 6.0001


def test_without_derivatives_there_are_no_gains(residual, monkeypatch: pytest.MonkeyPatch) -> None:
    from converters.quantization import least_noise

    operation = residual.network.operations[0]
    monkeypatch.setattr(least_noise, "runtime_operations", lambda network: (operation,))
    assert measure_gains(residual.network, residual.pictures) is None
