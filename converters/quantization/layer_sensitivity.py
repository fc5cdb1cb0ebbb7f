"""The noise of each layer in the answers, when only this layer is rounded.

The reference is the network with the scheme's own weights and biases, not rounded. At level
``fast`` that is the original model. At the other levels, biases correct the mean errors of rounding
all layers, so the reference differs from the original model by these corrections. Every trial has
the same biases, and the difference cancels. For the same reason the channels of a trial get the
reference's means after every kernel, as corrected biases do it in the rounded network. An error of
the mean that a later bias corrects, for instance of a rounded preprocessing constant, is then not
counted.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from converters.errors import RequestError
from converters.quantization.answer_metrics import agreement, decibels, sqnr_db
from converters.quantization.calibrated_network import Progress
from converters.quantization.findings import LayerSensitivity
from converters.quantization.integer_simulation import round_parameters, with_rounded_constants
from converters.quantization.rounding import fake_quantize, widened
from converters.quantization.scheme import Scheme, rounded_tensors
from converters.quantization.tensor_range import not_finite
from converters.quantization.tensorflow_execution import (
    PIXELS_PER_BATCH,
    Weights,
    activate,
    batches,
    centred_logits,
    channel_means,
    check_operations,
    compute,
    constant_weights,
    weighted_sum,
)
from converters.quantization.tensorflow_operators import Tensor
from converters.quantization.tflite_network import SAME_VALUES, Operation, TfliteNetwork

MOST_PICTURES = 64
"""More pictures change little: the noise of a layer is an average over many logits."""

FEWEST_OF_LARGE = 4
"""Fewest pictures, if they are large: a large picture gives many values of every layer. Even at
64x64 the shares measured with 4 pictures correlate by 0.95 to 0.97 with those of 64, and four of
the five noisiest layers are the same (a trained ResNet50)."""


def measure_sensitivity(
    network: TfliteNetwork,
    scheme: Scheme,
    pictures: np.ndarray,
    progress: Progress | None = None,
) -> tuple[LayerSensitivity, ...]:
    """Measure the effect of rounding each layer on the logits.

    A layer rounds its kernel, the constants of its sums and products, and the tensors that it
    writes, as far as the scheme rounds them. The dense layer of the float head rounds its kernel
    only, if it is stored in 8 bits. A layer that only moves values rounds nothing.

    Args:
        network: The float graph.
        scheme: Weights, ranges and float operators.
        pictures: uint8 ``(count, height, width, 3)``, may be a memory map. At most
            ``MOST_PICTURES`` of them are used, evenly spread, and fewer large ones. The float
            tensors of one batch are kept: about 0.5 GB for ResNet50 at any picture size.
        progress: See ``converters.quantization.calibrated_network.Progress``.

    Returns:
        A record for every layer before the logits that rounds something, in graph order.

    Raises:
        RequestError: There are no pictures.
        ModelConversionError: An operator cannot be simulated, or a tensor holds NaN or infinity.
            The message names its layer.
    """
    if not len(pictures):
        raise RequestError(
            "sensitivity: no pictures; expected at least one; pass --calibration DIR"
        )
    check_operations(network)
    rounding = _Rounding.of(network, scheme)
    layers = rounding.layers()
    tallies = {layer: _Tally() for layer in layers}
    reference: list[np.ndarray] = []
    chosen = list(batches(network, _spread(network, pictures)))
    for part, batch in enumerate(chosen):
        exact = rounding.run_float(batch)
        reference.append(centred_logits(network, exact.values[network.logits]).numpy())
        rounding.compare_outputs(exact, layers, tallies)
        for done, (layer, operations) in enumerate(layers.items(), start=1):
            logits = rounding.run_from(exact, {operation.index for operation in operations})
            tallies[layer].logits.append(centred_logits(network, logits).numpy())
            if progress is not None:
                progress(
                    "measuring layers", part * len(layers) + done, len(chosen) * len(layers), ""
                )
    return _rows(scheme, layers, tallies, np.concatenate(reference))


@dataclass
class _Tally:
    """Sums over the batches for one layer."""

    signal: float = 0.0
    noise: float = 0.0
    logits: list[np.ndarray] = field(default_factory=list)


@dataclass(frozen=True)
class _Exact:
    """Values of the float network for one batch."""

    values: Mapping[int, Tensor]
    """Every tensor up to the logits."""
    means: Mapping[int, Tensor]
    """Mean of every output channel before the fused activation, by index of the operator."""


@dataclass(frozen=True)
class _Rounding:
    """A network with all data to run any part of it rounded."""

    network: TfliteNetwork
    operations: tuple[Operation, ...]
    """Operators before the logits, with the one that writes them."""
    constants: TfliteNetwork
    """The network with rounded constants."""
    scheme: Scheme
    exact: Mapping[int, Weights]
    rounded: Mapping[int, Weights]
    tensors: frozenset[int]
    """Tensors that are rounded when they are written."""
    corrects: bool
    """True if the scheme's biases differ from the network's own."""

    @classmethod
    def of(cls, network: TfliteNetwork, scheme: Scheme) -> _Rounding:
        tensors = rounded_tensors(network, scheme.float_operations)
        exact = constant_weights(network, scheme.parameters)
        return cls(
            network,
            tuple(_to_logits(network)),
            with_rounded_constants(network, scheme.float_operations),
            scheme,
            exact,
            round_parameters(network, scheme),
            frozenset(
                tensor
                for op in network.operations
                for tensor in op.outputs
                if tensor in tensors and op.kind not in SAME_VALUES
            ),
            any(
                not np.array_equal(p.bias, scheme.parameters[index].bias)
                for index, p in network.parameters.items()
            ),
        )

    def layers(self) -> dict[str, tuple[Operation, ...]]:
        """Return the operators that round something, by layer, in graph order."""
        found: dict[str, tuple[Operation, ...]] = {}
        for op in self.operations:
            grid = self.scheme.grid_of(self.network, op)
            kernel = op.index in self.rounded and grid is not None
            if kernel or op.output in self.tensors:
                found[op.layer] = (*found.get(op.layer, ()), op)
        return found

    def run_float(self, batch: Tensor) -> _Exact:
        """Run all operators in float."""
        values: dict[int, Tensor] = {self.network.image: batch}
        means: dict[int, Tensor] = {}
        for op in self.operations:
            if op.index in self.exact:
                found = weighted_sum(op, values[op.inputs[0]], self.exact[op.index])
                means[op.index] = channel_means(found)
                values[op.output] = _finite(op, activate(op, found))
            else:
                found = [_finite(op, one) for one in compute(self.network, op, values)]
                values |= zip(op.outputs, found, strict=True)
        return _Exact(values, means)

    def run_from(self, exact: _Exact, indices: Collection[int]) -> Tensor:
        """Return the logits if only some operators round. Only dependent tensors are computed."""
        changed: dict[int, Tensor] = {}
        values = ChainMap(changed, dict(exact.values))
        means = exact.means if self.corrects else {}
        for op in self.operations:
            if op.index in indices or not changed.keys().isdisjoint(op.inputs):
                changed |= self._step(op, values, op.index in indices, means)
                self._forget(op, changed)
        return _finite(self.operations[-1], values[self.network.logits])

    def compare_outputs(
        self,
        exact: _Exact,
        layers: Mapping[str, tuple[Operation, ...]],
        tallies: Mapping[str, _Tally],
    ) -> None:
        """Run everything rounded and add up signal and noise of every layer's output."""
        outputs = {operations[-1].index for operations in layers.values()}
        values: dict[int, Tensor] = {self.network.image: exact.values[self.network.image]}
        for op in self.operations:
            values |= self._step(op, values, True, {})
            if op.index in outputs:
                expected = tf.cast(exact.values[op.output], tf.float64)
                error = tf.cast(values[op.output], tf.float64) - expected
                tallies[op.layer].signal += float(tf.reduce_sum(tf.square(expected)))
                tallies[op.layer].noise += float(tf.reduce_sum(tf.square(error)))
            self._forget(op, values)

    def _step(
        self,
        op: Operation,
        values: Mapping[int, Tensor],
        rounds: bool,
        means: Mapping[int, Tensor],
    ) -> dict[int, Tensor]:
        """Return one operator's outputs. If means are given, its channels get them."""
        weights = (self.rounded if rounds else self.exact).get(op.index)
        if weights is not None:
            found = weighted_sum(op, values[op.inputs[0]], weights)
            if op.index in means and math.prod(found.shape[:-1]) >= _FEWEST_VALUES:
                found += means[op.index] - channel_means(found)
            outputs: tuple[Tensor, ...] = (activate(op, found),)
        else:
            outputs = compute(self.constants if rounds else self.network, op, values)
        named = dict(zip(op.outputs, outputs, strict=True))
        if not rounds:  # a value that is not finite stays so, up to the logits
            return named
        return {tensor: self._round(op, tensor, output) for tensor, output in named.items()}

    def _round(self, op: Operation, tensor: int, output: Tensor) -> Tensor:
        output = _finite(op, output)  # before a range could hide that it is not
        if tensor in self.tensors:
            span = widened(self.scheme.ranges[tensor])
            output = fake_quantize(output, span.low, span.high)
        return output

    def _forget(self, op: Operation, values: dict[int, Tensor]) -> None:
        """Drop what no later operator reads."""
        for tensor in op.inputs:
            if tensor in values and self.network.readers[tensor][-1].index == op.index:
                del values[tensor]


_FEWEST_VALUES = 64  # for a channel's mean: the mean of fewer would remove a good part of the noise


def _finite(operation: Operation, output: Tensor) -> Tensor:
    if output.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(output)):
        raise not_finite(operation.layer)
    return output


def _to_logits(network: TfliteNetwork) -> Iterator[Operation]:
    """Yield the operators up to the one that writes the logits."""
    for operation in network.operations:
        yield operation
        if operation.output == network.logits:
            return


def _spread(network: TfliteNetwork, pictures: np.ndarray) -> np.ndarray:
    """Return a bounded number of evenly spread pictures."""
    height, width = network.shapes[network.image][1:3]
    most = max(FEWEST_OF_LARGE, PIXELS_PER_BATCH // (height * width))
    count = min(MOST_PICTURES, most, len(pictures))
    return np.asarray(pictures[np.linspace(0, len(pictures) - 1, count).astype(int)])


def _rows(
    scheme: Scheme,
    layers: Mapping[str, tuple[Operation, ...]],
    tallies: Mapping[str, _Tally],
    reference: np.ndarray,
) -> tuple[LayerSensitivity, ...]:
    logits = {layer: np.concatenate(tally.logits) for layer, tally in tallies.items()}
    noise = {
        layer: float(np.square(found.astype(np.float64) - reference).sum())
        for layer, found in logits.items()
    }
    total = sum(noise.values())
    rows = []
    for layer, operations in layers.items():
        span, tally = scheme.ranges[operations[-1].output], tallies[layer]
        rows.append(
            LayerSensitivity(
                layer=layer,
                kinds=tuple(dict.fromkeys(operation.kind for operation in operations)),
                low=span.low,
                high=span.high,
                output_sqnr_db=decibels(tally.signal, tally.noise),
                logits_sqnr_db=sqnr_db(reference, logits[layer]),
                agreement=agreement(reference, logits[layer]),
                share=noise[layer] / total if total else 0.0,
            )
        )
    return tuple(rows)
