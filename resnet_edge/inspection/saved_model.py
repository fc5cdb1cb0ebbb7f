"""Reads SavedModel folders by TensorFlow's protobuf schema; nothing is executed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resnet_edge.errors import ArtifactError
from resnet_edge.inspection.contents import (
    MAX_LABELS_BYTES,
    Computation,
    Contents,
    Count,
    Endpoint,
    StoredTensor,
    count_names,
    deduce_quantization,
    group_weights,
    split_labels,
    text_metadata,
)
from resnet_edge.ondevice.reading import refusing

GRAPH_FILE = "saved_model.pb"
LABELS_FILE = "labels.txt"
SIGNATURE = "serving_default"

_PLUMBING = frozenset(
    ("PartitionedCall", "StatefulPartitionedCall", "Placeholder", "Const", "Identity", "NoOp")
)
"""Nodes of the graph that compute nothing."""

_SHORT_NAMES = {"float": "float32", "half": "float16", "double": "float64"}


def read_saved_model(folder: Path) -> Contents:
    """Read a SavedModel, as far as it can be read here.

    Args:
        folder: The folder with ``saved_model.pb`` in it.

    Returns:
        Its contents. Without TensorFlow only labels are known, and a note says so.

    Raises:
        ArtifactError: The graph is empty, truncated or garbage, or a file it refers to is missing.
    """
    data = (folder / GRAPH_FILE).read_bytes()
    if not data:
        raise ArtifactError(f"{folder / GRAPH_FILE}: 0 bytes; expected a graph; export it again")
    labels = _read_labels(folder)
    try:
        from tensorflow.core.framework import types_pb2
        from tensorflow.core.protobuf import saved_model_pb2
    except ImportError:
        note = "inputs, outputs and operators need TensorFlow; run `pip install tensorflow`"
        return Contents((), (), (), (), (), "unknown", labels, None, notes=(note,))

    def refusal(reason: str) -> ArtifactError:
        return ArtifactError(
            f"{folder / GRAPH_FILE}: truncated or damaged SavedModel ({reason}); "
            "export or copy the whole folder again"
        )

    with refusing(refusal):
        graph = saved_model_pb2.SavedModel.FromString(data).meta_graphs[0]
        _check_complete(folder, graph)
        return _contents(graph, labels, types_pb2.DataType.Name)


def _contents(graph: Any, labels: tuple[str, ...] | None, name_of: Any) -> Contents:  # noqa: ANN401
    variables = tuple(_variables(graph.graph_def, name_of))
    computations = [_COMPUTATIONS.get(v.dtype, Computation.FLOAT32) for v in variables]
    signature = _signature(graph)
    about = graph.meta_info_def
    return Contents(
        inputs=_endpoints(signature.inputs, name_of) if signature is not None else (),
        outputs=_endpoints(signature.outputs, name_of) if signature is not None else (),
        operators=_operators(graph.graph_def, signature) if signature is not None else (),
        weights=group_weights(variables),
        computations=(),
        quantization=deduce_quantization(computations, integer_only=False),
        labels=labels,
        model_name=None,
        metadata=text_metadata(
            {
                "tensorflow": about.tensorflow_version,
                "tags": ", ".join(about.tags),
                "signatures": ", ".join(sorted(n for n in graph.signature_def if n[0] != "_")),
            }
        ),
        notes=() if signature is not None else (f"it has no signature {SIGNATURE!r}",),
    )


_COMPUTATIONS = {"float16": Computation.FLOAT16, "bfloat16": Computation.FLOAT16}


def _read_labels(folder: Path) -> tuple[str, ...] | None:
    path = folder / "assets" / LABELS_FILE
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_LABELS_BYTES:
        raise ArtifactError(
            f"{path}: more than {MAX_LABELS_BYTES:,} bytes; expected one class name a line"
        )
    try:
        return split_labels(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as problem:
        raise ArtifactError(
            f"{path}: not UTF-8 ({problem.reason} at byte {problem.start}); "
            "expected one class name a line; export it again"
        ) from problem


def _check_complete(folder: Path, graph: Any) -> None:  # noqa: ANN401
    needed = [folder / "assets" / Path(asset.filename).name for asset in graph.asset_file_def]
    if any(node.op == "VarHandleOp" for node in graph.graph_def.node):
        needed.append(folder / "variables" / "variables.index")
    for path in needed:
        if not path.is_file():
            raise ArtifactError(
                f"{path}: no such file, but {GRAPH_FILE} refers to it; "
                "export or copy the whole folder again"
            )


def _signature(graph: Any) -> Any | None:  # noqa: ANN401
    # Indexing a protobuf map would add the key.
    return graph.signature_def[SIGNATURE] if SIGNATURE in graph.signature_def else None  # noqa: SIM401


def _endpoints(tensors: Any, name_of: Any) -> tuple[Endpoint, ...]:  # noqa: ANN401
    return tuple(
        Endpoint(name, _dtype(tensors[name].dtype, name_of), _shape(tensors[name].tensor_shape))
        for name in sorted(tensors)
    )


def _dtype(code: int, name_of: Any) -> str:  # noqa: ANN401
    name = str(name_of(code)).removeprefix("DT_").lower()
    return _SHORT_NAMES.get(name, name)


def _shape(shape: Any) -> tuple[int | None, ...] | None:  # noqa: ANN401
    if shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else int(dim.size) for dim in shape.dim)


def _variables(graph_def: Any, name_of: Any) -> Iterator[StoredTensor]:  # noqa: ANN401
    for node in graph_def.node:
        if node.op == "VarHandleOp":
            shape = _shape(node.attr["shape"].shape) or ()
            dtype = _dtype(node.attr["dtype"].type, name_of)
            if dtype != "string":  # the path of an asset
                yield StoredTensor(dtype, math.prod(n or 0 for n in shape), 0)


def _operators(graph_def: Any, signature: Any) -> tuple[Count, ...]:  # noqa: ANN401
    """Count the operations of the signature, through every function that it calls.

    Reading variables is left out. Saving and restoring are functions of the same graph; they are
    no part of the model.
    """
    functions = {f.signature.name: f.node_def for f in graph_def.library.function}
    nodes = {node.name: node for node in graph_def.node}
    waiting, seen, names = list(_ancestors(nodes, signature)), set[str](), []
    while waiting:
        node = waiting.pop()
        if node.op not in _PLUMBING and "Variable" not in node.op and node.op != "VarHandleOp":
            names.append(node.op)
        for called in _called(node):
            if called in functions and called not in seen:
                seen.add(called)
                waiting.extend(functions[called])
    return count_names(names)


def _called(node: Any) -> Iterator[str]:  # noqa: ANN401
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)


def _ancestors(nodes: dict[str, Any], signature: Any) -> Iterator[Any]:  # noqa: ANN401
    waiting = [tensor.name for tensor in signature.outputs.values()]
    seen = set[str]()
    while waiting:
        name = waiting.pop().removeprefix("^").partition(":")[0]
        if name in nodes and name not in seen:
            seen.add(name)
            yield nodes[name]
            waiting.extend(nodes[name].input)
