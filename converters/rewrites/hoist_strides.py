"""Moving strides up to the convolution that computes the positions they discard.

If all readers of a tensor are 1x1 convolutions of stride 2, three quarters of it are never read.
The stages of ResNet v1 begin like this. A stride is a subsampling. A subsampling can move up
through all operators that work position by position, until a convolution adds it to its own stride
and computes a quarter. A shortcut that others read in full cannot be computed in part: there a 1x1
max-pool of that stride subsamples it.

There are two passes. The first goes from the answer to the picture and finds the positions of every
tensor that are read at all. The second goes from the picture to the answer and finds the positions
that are computed, where a convolution can leave out the rest. A tensor is subsampled only behind
such a convolution, so the number of multiply-adds always falls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import keras
from keras import layers

from converters.rewrites.convolution_windows import windows_of
from converters.rewrites.keras_graph import (
    Call,
    Change,
    KerasGraph,
    Rewritten,
    new_name,
    reconfigured,
    rewrite_graphs,
)
from converters.rewrites.subsampling import Role, role_of, subsample

NAME = "hoist_strides"

Step = tuple[int, int]
"""Distance between positions, in rows and in columns."""

_ALL: Step = (1, 1)


def hoist_strides(model: keras.Model) -> Rewritten:
    """Make convolutions compute only positions that are read.

    Args:
        model: A functional or Sequential model, also with models inside, with batch normalizations
            folded or not. It is not changed.

    Returns:
        A new model with the same function in inference and fewer multiply-adds, or the model itself
        if every computed position is read. The count is of convolutions that compute less. Layers
        keep their names. A new padding or pooling is named after the layer that reads it.
    """
    return rewrite_graphs(model, _find_change)


def _find_change(graph: KerasGraph) -> Change:
    roles = {call: role_of(graph, call) for call in graph.calls}
    steps = _computed_steps(graph, roles, _read_steps(graph, roles))
    edit = _Edit(graph, steps, {operation.name for operation in graph.model.operations})
    for call, role in roles.items():
        match role:
            case Role.ABSORBS:
                edit.give_stride(call)
            case Role.CARRIES | Role.PICKS:
                edit.fit_stride(call)
            case Role.COMMUTES:
                edit.subsample_inputs(call)
            case Role.STOPS:
                pass
    return edit.change()


def _read_steps(graph: KerasGraph, roles: dict[Call, Role]) -> dict[int, Step]:
    """Return the step between the positions that are read of every tensor, by its ``id``.

    For the output of a convolution, it is the step that the convolution can add to its stride.
    """
    read: dict[int, Step] = dict.fromkeys(graph.outputs, _ALL)
    for call in reversed(graph.calls):
        for output in call.outputs:
            read.setdefault(id(output), _ALL)
        output = id(call.outputs[0])
        wanted = read[output]
        match roles[call]:
            case Role.ABSORBS:
                read[output] = _less(call, _strideable(call, wanted))
                wanted = _ALL
            case Role.CARRIES:
                read[output] = _less(call, wanted)
                wanted = _times(read[output], call.layer.strides)
            case Role.PICKS:
                wanted = _times(wanted, call.layer.strides)
            case Role.STOPS:
                wanted = _ALL
        for tensor in call.inputs:
            others = read.get(id(tensor), (0, 0))
            read[id(tensor)] = (math.gcd(others[0], wanted[0]), math.gcd(others[1], wanted[1]))
    return read


def _computed_steps(
    graph: KerasGraph, roles: dict[Call, Role], read: dict[int, Step]
) -> dict[int, Step]:
    """Return the step between the computed positions of every tensor, by its ``id``."""
    steps = {id(tensor): _ALL for tensor in graph.model.inputs}
    for call in graph.calls:
        steps |= {id(tensor): _ALL for tensor in call.outputs}
        output = id(call.outputs[0])
        match roles[call]:
            case Role.ABSORBS | Role.CARRIES:
                steps[output] = read[output]
            case Role.PICKS:
                got, stride = steps[id(call.inputs[0])], call.layer.strides
                steps[output] = _over(_common([got, stride]), stride)
            case Role.COMMUTES:
                steps[output] = _common([steps[id(tensor)] for tensor in call.inputs])
    return steps


def _strideable(call: Call, step: Step) -> Step:
    """Return the part of a step that a convolution with neighbours can add to its stride."""
    if type(call.layer) is layers.DepthwiseConv2D:  # TensorFlow has them with equal strides only
        step = (math.gcd(*step), math.gcd(*step))
        if call.layer.strides[0] != call.layer.strides[1]:
            return _ALL
    rows, columns = windows_of(call.layer, call.inputs[0])
    return step if None not in (rows.before, columns.before) else _ALL


def _less(call: Call, step: Step) -> Step:
    """Return the step if a convolution computes fewer positions with it, else ``(1, 1)``."""
    sides = call.outputs[0].shape[1:3]
    gains = any(side != 1 and along > 1 for side, along in zip(sides, step, strict=True))
    return step if gains else _ALL


@dataclass
class _Edit:
    """The change to a graph, while it is collected."""

    graph: KerasGraph
    steps: dict[int, Step]
    names: set[str]
    """Names of all layers, old and new."""
    count: int = 0
    replaced: dict[str, layers.Layer] = field(default_factory=dict)
    between: dict[tuple[Call, int], layers.Layer] = field(default_factory=dict)
    pools: dict[tuple[int, Step], layers.Layer] = field(default_factory=dict)
    """New poolings by the tensor that they read: one serves several calls."""
    skipped: set[Call] = field(default_factory=set)

    def give_stride(self, call: Call) -> None:
        """Make a convolution with neighbours compute only the wanted positions."""
        step = self.steps[id(call.outputs[0])]
        if step == _ALL:
            return
        self.count += 1
        pairs = list(zip(windows_of(call.layer, call.inputs[0]), step, strict=True))
        zeros = [windows.zeros_for(factor) for windows, factor in pairs]
        padding = call.layer.padding
        if any(windows.strided(factor).before != windows.before for windows, factor in pairs):
            padding = "valid"
            name = new_name(f"{call.name}_pad", self.names)
            dtype = call.layer.dtype_policy
            self.between[call, id(call.inputs[0])] = layers.ZeroPadding2D(
                zeros, name=name, dtype=dtype
            )
        strides = _times(call.layer.strides, step)
        self.replaced[call.name] = reconfigured(call.layer, strides=strides, padding=padding)

    def fit_stride(self, call: Call) -> None:
        """Give a 1x1 convolution or pooling the stride between its input and its output."""
        got, made = self.steps[id(call.inputs[0])], self.steps[id(call.outputs[0])]
        self.count += made != _ALL and isinstance(call.layer, layers.Conv2D)
        strides = _over(_times(call.layer.strides, made), got)
        if strides == tuple(call.layer.strides):
            return
        if strides == _ALL and not isinstance(call.layer, layers.Conv2D):
            self.skipped.add(call)
        else:
            self.replaced[call.name] = reconfigured(call.layer, strides=strides)

    def subsample_inputs(self, call: Call) -> None:
        """Subsample the inputs of a sum that are not subsampled yet."""
        made = self.steps[id(call.outputs[0])]
        for tensor in call.inputs:
            step = _over(made, self.steps[id(tensor)])
            if step == _ALL:
                continue
            if (id(tensor), step) not in self.pools:
                name = new_name(f"{call.name}_subsample", self.names)
                dtype = getattr(call.layer, "dtype_policy", None) or tensor.dtype
                self.pools[id(tensor), step] = subsample(step, name, dtype)
            self.between[call, id(tensor)] = self.pools[id(tensor), step]

    def change(self) -> Change:
        """Return the collected change. It is empty if no convolution computes less."""
        weights = {
            call.name: call.layer.get_weights()
            for call in self.graph.calls
            if call.name in self.replaced
        }
        return Change(self.count, self.replaced, weights, frozenset(self.skipped), self.between)


def _times(one: Step, other: Step) -> Step:
    return one[0] * other[0], one[1] * other[1]


def _over(one: Step, other: Step) -> Step:
    return one[0] // other[0], one[1] // other[1]


def _common(steps: list[Step]) -> Step:
    """Return the smallest step that is a multiple of all."""
    return math.lcm(*(step[0] for step in steps)), math.lcm(*(step[1] for step in steps))
