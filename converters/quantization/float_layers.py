"""The operators that compute in float if some layers are put into float."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from converters.errors import IntermediateFileError
from converters.quantization.integer_kinds import INTEGER_KINDS
from converters.quantization.scheme import rounded_tensors
from converters.quantization.tflite_network import (
    ELEMENTWISE,
    SAME_VALUES,
    Operation,
    TfliteNetwork,
)

LIGHT = ELEMENTWISE | {
    "AVERAGE_POOL_2D",
    "HARD_SWISH",
    "LEAKY_RELU",
    "LOGISTIC",
    "MEAN",
    "RELU",
    "RELU6",
    "TANH",
}
"""Operators that follow a layer into float, if its output is then no longer rounded."""


WIDE = frozenset({"DIV", "EXP", "LOG", "POW", "RSQRT", "SQRT", "SQUARE", "SQUARED_DIFFERENCE"})
"""Operators whose values span several orders of magnitude, for instance variances. Most of them
are smaller than a step of 8 bits."""


def needs_float(network: TfliteNetwork) -> frozenset[int]:
    """Return the operators that compute in float in a file that need not be integer only.

    They are those that have no integer kernel, and all of a layer that has one of ``WIDE``: layer,
    group and unit normalization.
    """
    wide = {op.layer for op in network.operations if op.kind in WIDE}
    return frozenset(
        op.index
        for op in network.operations
        if op.layer in wide or (op.kind not in INTEGER_KINDS and _computes_floats(network, op))
    )


def _computes_floats(network: TfliteNetwork, operation: Operation) -> bool:
    tensors = {*operation.inputs, *operation.outputs} - {-1} - network.constants.keys()
    return not tensors <= network.integers


class FloatLayers:
    """The operators in float for any choice of layers, and the roundings that this avoids."""

    def __init__(self, network: TfliteNetwork, base: frozenset[int]) -> None:
        self._network, self._base = network, base
        self._layers: dict[str, tuple[Operation, ...]] = {}
        for operation in network.operations:
            found = self._layers.get(operation.layer, ())
            self._layers[operation.layer] = (*found, operation)

    def check(self, layers: Collection[str], owner: str) -> None:
        """Refuse layers that this network does not have.

        Raises:
            IntermediateFileError: A layer is unknown.
        """
        if unknown := [layer for layer in layers if layer not in self._layers]:
            raise IntermediateFileError(
                f"search: {owner} names layer {unknown[0]!r}, which this network does not have; "
                "measure the sensitivities anew and search without earlier trials"
            )

    def layers(self, chosen: Collection[str]) -> tuple[str, ...]:
        """Return the chosen layers and those that follow them into float, in graph order."""
        found = set(chosen)
        inside = self._base | self._indices(chosen)
        for layer in chosen:
            for operation in self._layers[layer]:
                readers = self._network.readers.get(operation.output, ())
                if all(op.index in inside or self._is_light(op.layer) for op in readers):
                    found.update(op.layer for op in readers if op.index not in inside)
        return tuple(layer for layer in self._layers if layer in found)

    def joined(self, chosen: Collection[str]) -> tuple[str, ...]:
        """Return the layers and those without a kernel that have only layers in float around them.

        In integers these would only round what is float before and behind. In graph order.
        """
        kernels = self._network.constants.keys()
        weighted = {
            op.layer
            for op in self._network.operations
            if op.index in self._network.parameters
            or (op.kind == "TRANSPOSE_CONV" and kernels & {*op.inputs})
        }
        between = {
            layer
            for layer in self._layers.keys() - {*chosen, *weighted}
            if chosen and not self._indices((layer,)) <= self._base
        }
        while True:
            inside = self._base | self._indices((*chosen, *between))
            edge = {layer for layer in between if not self._neighbours(layer) <= inside}
            if not edge:
                return tuple(x for x in self._layers if x in between or x in chosen)
            between -= edge

    def _neighbours(self, layer: str) -> set[int]:
        """Return the operators that write what a layer reads, or read what it writes, by index."""
        network, operations = self._network, self._layers[layer]
        read = {tensor for op in operations for tensor in op.inputs}
        written = {tensor for op in operations for tensor in op.outputs}
        before = {op.index for tensor in read if (op := network.writers.get(tensor)) is not None}
        return before | {op.index for tensor in written for op in network.readers.get(tensor, ())}

    def operations(self, layers: Collection[str]) -> frozenset[int]:
        """Return all operators that compute in float for exactly these layers, by index."""
        return self._base | self._indices(layers)

    def with_readers(self, layer: str) -> Iterator[tuple[str, ...]]:
        """Yield the layer alone, then the layer with all layers that read it."""
        yield (layer,)
        if any(op in self._network.weighted for op in self._layers[layer]):
            found = [name for op in self._layers[layer] for name in self._behind(op.output)]
            yield tuple(dict.fromkeys((layer, *found)))

    def freed(self, before: Collection[str], after: Collection[str]) -> frozenset[str]:
        """Return names of the kernels and tensors that are no longer rounded."""
        return self._rounded(before) - self._rounded(after)

    def _rounded(self, chosen: Collection[str]) -> frozenset[str]:
        kept = self.operations(self.layers(chosen))
        kernels = {op.index for op in self._network.weighted} - kept
        tensors = {self._origin(tensor) for tensor in rounded_tensors(self._network, kept)}
        written = tensors - {self._network.image}  # pixels are exact
        return frozenset(
            [f"kernel {index}" for index in kernels] + [f"tensor {index}" for index in written]
        )

    def _origin(self, tensor: int) -> int:
        """Return the tensor that this one is a copy of, through operators that only move values."""
        while (op := self._network.writers.get(tensor)) is not None and op.kind in SAME_VALUES:
            tensor = op.moved
        return tensor

    def _behind(self, tensor: int) -> Iterator[str]:
        """Yield the layers that read a tensor, also through operators that only move values."""
        for op in self._network.readers.get(tensor, ()):
            if op.index not in self._base:
                yield op.layer
                if op.kind in SAME_VALUES:
                    yield from self._behind(op.output)

    def _indices(self, layers: Collection[str]) -> frozenset[int]:
        return frozenset(op.index for layer in layers for op in self._layers[layer])

    def _is_light(self, layer: str) -> bool:
        return all(operation.kind in LIGHT for operation in self._layers[layer])
