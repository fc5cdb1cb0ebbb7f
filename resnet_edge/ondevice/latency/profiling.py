"""The time of every operator, by the Keras layer that it computes, from onnxruntime's profiler."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.measurements import OperatorTime

_KERNEL = "_kernel_time"
_WEIGHTED = ("Conv", "Gemm", "MatMul")
_FUSED = ("Add", "Clip", "Relu")
"""Operators that onnxruntime fuses into the one before, which it renames by their output."""


@dataclass(frozen=True)
class _Kernel:
    index: str
    """The node's number in onnxruntime's graph: names need not be unique."""
    node: str
    operator: str


@dataclass(frozen=True)
class _Event:
    kernel: _Kernel
    start_s: float
    duration_s: float


def read_profile(
    path: Path, skip: int, layers: Mapping[str, str] | None = None
) -> tuple[OperatorTime, ...]:
    """Read a file of onnxruntime's profiler.

    Args:
        path: A JSON list of trace events.
        skip: Inferences at the beginning that do not count: the first one and the warm-up.
        layers: Keras layers by the names that a kernel may have, from ``onnx_layers``.

    Returns:
        The median time of every operator, in the order of execution.

    Raises:
        InferenceError: The file has no operators, or no more inferences than ``skip``.
    """
    durations: dict[_Kernel, list[float]] = {}
    for event in sorted(_read_events(path), key=lambda event: event.start_s):
        durations.setdefault(event.kernel, []).append(event.duration_s)
    medians = {k: statistics.median(times[skip:]) for k, times in durations.items() if times[skip:]}
    if not medians:
        raise InferenceError(
            f"{path.name}: onnxruntime's profiler recorded no operator after {skip} inferences; "
            "update onnxruntime, or measure without --profile"
        )
    total = sum(medians.values())
    return tuple(
        OperatorTime(
            layer=_layer(kernel, layers or {}),
            operator=kernel.operator,
            node=kernel.node,
            median_s=median,
            share=median / total if total else 0.0,
        )
        for kernel, median in medians.items()
    )


def _read_events(path: Path) -> list[_Event]:
    """Read one event per operator and inference; the file's times are microseconds."""
    try:
        return [
            _Event(
                _Kernel(
                    str(event["args"].get("node_index", "")),
                    event["name"].removesuffix(_KERNEL),
                    event["args"]["op_name"],
                ),
                event["ts"] / 1e6,
                event["dur"] / 1e6,
            )
            for event in json.loads(path.read_text(encoding="utf-8"))
            if event["cat"] == "Node" and event["name"].endswith(_KERNEL)
        ]
    except Exception as problem:  # of another shape, at any depth
        raise InferenceError(
            f"{path.name}: not what onnxruntime's profiler writes "
            f"({type(problem).__name__}: {problem}); update onnxruntime, or measure without "
            "--profile"
        ) from problem


def _layer(kernel: _Kernel, layers: Mapping[str, str]) -> str:
    """Return the Keras layer of an operator by its weights, else by its name."""
    name = re.sub(r"_nchwc$|_token_\d+$", "", kernel.node)
    if any(kind in kernel.operator for kind in _WEIGHTED) and name in layers:
        return layers[name]
    return keras_layer(name)


def keras_layer(name: str) -> str:
    """Return the Keras layer that is part of a node's or a tensor's name.

    Keras names the operators of a layer by a path, and numbers a layer that is called a second
    time: ``serving_1/resnet50_1/conv1_relu_1/Relu:0`` is of ``conv1_relu``. Where the model is
    numbered, all its layers are.

    Args:
        name: In the ONNX file or the runtime.

    Returns:
        The layer's name; empty for nodes that the converter or the runtime added.
    """
    path = name.partition(":")[0].split("/")
    inner = path[1:-1]
    if re.search(r"_\d+$", path[0]):
        numbered = [part for part in inner if re.search(r"_\d+$", part)]
        return re.sub(r"_\d+$", "", numbered[-1]) if numbered else ""
    return inner[-1] if inner else ""


def onnx_layers(path: Path) -> Mapping[str, str]:
    """Return the Keras layers of operators with weights, by every name onnxruntime may give them.

    onnxruntime names a convolution that it fused with what follows by the last tensor of both, the
    activation's: only the weights show that it is the convolution's.

    Args:
        path: A ``.onnx`` file.

    Returns:
        Nothing if ``onnx`` is not installed, for instance on a device: then names alone decide.
    """
    try:
        import onnx
    except ImportError:
        return {}
    graph = onnx.load(str(path), load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for source in node.input:
            readers.setdefault(source, []).append(node)
    layers: dict[str, str] = {}
    for node in graph.node:
        if node.op_type in _WEIGHTED and (layer := keras_layer(node.input[1])):
            for name in _fused_names(node, readers, constants):
                layers.setdefault(name, layer)
    return layers


def _fused_names(node: Any, readers: Mapping[str, list[Any]], constants: set[str]) -> list[str]:  # noqa: ANN401
    """Return the names of a node and its output, then of nodes that can be fused into it."""
    names = [node.name, node.output[0]]
    following = readers.get(node.output[0], [])
    if len(following) != 1 or following[0].op_type not in _FUSED:
        return names
    if following[0].op_type == "Add" and constants.isdisjoint(following[0].input):
        return names  # a sum of two branches is a layer of its own
    return [*names, *_fused_names(following[0], readers, constants)]


def by_layer(operators: tuple[OperatorTime, ...]) -> tuple[OperatorTime, ...]:
    """Join the operators of each layer, the slowest layer first.

    An operator of no layer stays alone, under the node's name.
    """
    joined: dict[str, OperatorTime] = {}
    for operator in operators:
        key = operator.layer or operator.node
        known = joined.get(key)
        if known is None:
            joined[key] = operator
            continue
        kinds = dict.fromkeys((*known.operator.split(" + "), operator.operator))
        joined[key] = replace(
            known,
            operator=" + ".join(kinds),
            median_s=known.median_s + operator.median_s,
            share=known.share + operator.share,
        )
    return tuple(sorted(joined.values(), key=lambda operator: -operator.median_s))
