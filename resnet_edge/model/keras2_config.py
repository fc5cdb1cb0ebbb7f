"""Descriptions of Keras 2 (``tf.keras``), written as Keras 3 writes them.

The layers of both compute the same, but for those refused here. Keras 3 itself reads few of these
descriptions: it stops at settings that it has no more, such as ``groups`` of a depthwise
convolution. Operators of TensorFlow between the layers (``TFOpLambda``) become operators of Keras.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

import keras

from resnet_edge.errors import ModelError
from resnet_edge.model.json_values import JsonObject, JsonValue
from resnet_edge.model.keras_config import Origin

_MODELS = ("Sequential", "Functional", "Model")
_FOREIGN = ("keras", "tf_keras", "tensorflow")
"""Packages whose layers are those of Keras 3 by name."""

_TRAINING_ONLY = ("_initializer", "_regularizer", "_constraint")
_GONE = frozenset(
    (
        *("batch_input_shape", "rng_type", "implementation", "ragged", "sparse"),
        *("query_shape", "key_shape", "value_shape"),
    )
)
"""Settings of Keras 2 that change no answer in inference."""

_RENAMED = {("LeakyReLU", "alpha"): "negative_slope"}

_ACTIVATIONS = {"softmax_v2": "softmax", "swish": "silu"}
_OTHERWISE = frozenset(("hard_sigmoid",))
"""Activations of the same name that compute something else in Keras 3."""


@dataclass(frozen=True)
class _Operator:
    """Keras 3's operator for a function of TensorFlow."""

    module: str
    kind: str
    operands: tuple[str, ...]
    """TensorFlow's names of the arguments behind the first, in Keras' order."""
    settings: tuple[str, ...] = ()
    """Arguments that belong to the operator itself."""


def _numpy(kind: str, *operands: str, settings: tuple[str, ...] = ()) -> _Operator:
    return _Operator("keras.src.ops.numpy", kind, operands, settings)


def _nn(kind: str) -> _Operator:
    return _Operator("keras.src.ops.nn", kind, ())


_OPERATORS: Mapping[str, _Operator] = {
    "math.truediv": _numpy("TrueDivide", "y"),
    "math.divide": _numpy("TrueDivide", "y"),
    "math.subtract": _numpy("Subtract", "y"),
    "math.multiply": _numpy("Multiply", "y"),
    "math.add": _numpy("Add", "y"),
    "__operators__.add": _numpy("Add", "y"),
    "nn.bias_add": _numpy("Add", "bias"),
    "math.negative": _numpy("Negative"),
    "math.square": _numpy("Square"),
    "math.sqrt": _numpy("Sqrt"),
    "math.tanh": _numpy("Tanh"),
    "math.reduce_mean": _numpy("Mean", settings=("axis", "keepdims")),
    "math.reduce_max": _numpy("Max", settings=("axis", "keepdims")),
    "nn.relu": _nn("Relu"),
    "nn.relu6": _nn("Relu6"),
    "nn.silu": _nn("Silu"),
    "nn.sigmoid": _nn("Sigmoid"),
    "math.sigmoid": _nn("Sigmoid"),
    "nn.softmax": _nn("Softmax"),
}
_SILENT_ARGUMENTS = frozenset(("name", "data_format", "beta"))


def from_keras2(config: JsonValue, origin: Origin) -> JsonObject:
    """Write a description of Keras 2 as Keras 3 would.

    Args:
        config: The description: ``class_name`` and ``config`` of a functional or Sequential model.
        origin: Its file, for messages.

    Returns:
        A description for ``prepare_config``, which refuses layers of others.

    Raises:
        ModelError: It is no such model, or computes something that Keras 3 has not.
    """
    if not isinstance(config, dict) or str(config.get("class_name")) not in _MODELS:
        kind = f"a {config.get('class_name')}" if isinstance(config, dict) else "no model"
        raise origin.refuse(
            f"it is {kind} of Keras 2; expected a functional or Sequential model, whose layers "
            "the file describes"
        )
    try:
        return _model(config, origin)
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise origin.refuse("its description is not one that Keras 2 writes") from error


def _model(entry: JsonObject, origin: Origin) -> JsonObject:
    config = entry["config"]
    if isinstance(config, list):  # Sequential of Keras before 2.2.3
        config = {"layers": config}
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise TypeError("no layers")
    layers = [layer for layer in _items(config["layers"]) if isinstance(layer, dict)]
    new: JsonObject = {key: config[key] for key in ("name", "trainable") if key in config}
    new["name"] = _plain(config.get("name") or "sequential")
    if entry["class_name"] == "Sequential":
        new["layers"] = [*_own_input(layers), *(_layer(layer, {}, origin) for layer in layers)]
        if "build_input_shape" in config:
            new["build_input_shape"] = config["build_input_shape"]
        return {"module": "keras", "class_name": "Sequential", "config": new}
    shifts = _shifts(layers, config)
    new["layers"] = [_layer(layer, shifts, origin) for layer in layers]
    for key in ("input_layers", "output_layers"):
        ends = config[key]
        assert isinstance(ends, list)
        triples = [ends] if ends and isinstance(ends[0], str) else ends
        moved = [_moved(triple, shifts) for triple in triples]
        new[key] = moved[0] if len(moved) == 1 else moved
    return {"module": "keras.src.models.functional", "class_name": "Functional", "config": new}


def _items(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _own_input(layers: list[JsonObject]) -> list[JsonValue]:
    """Return the input layer that a Sequential's first layer declares itself."""
    first = layers[0] if layers else {}
    config = first.get("config")
    shape = config.get("batch_input_shape") if isinstance(config, dict) else None
    if first.get("class_name") == "InputLayer" or shape is None:
        return []
    settings: JsonObject = {"batch_shape": shape, "dtype": "float32"}
    return [{"module": "keras.layers", "class_name": "InputLayer", "config": settings}]


def _layer(entry: JsonObject, shifts: Mapping[str, int], origin: Origin) -> JsonObject:
    kind = entry.get("class_name")
    name = _plain(entry.get("name") or _config(entry).get("name"))
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        new = _operator(entry, shifts, origin)
    elif kind in _MODELS:
        new = _model(entry, origin)
        new["inbound_nodes"] = [_call(node, shifts) for node in _nodes(entry)]
    else:
        new = _plain_layer(entry, origin)
        new["inbound_nodes"] = [_call(node, shifts) for node in _nodes(entry)]
    assert isinstance(new["config"], dict)
    new["name"] = new["config"]["name"] = name
    return new


def _config(entry: JsonObject) -> JsonObject:
    config = entry.get("config")
    if not isinstance(config, dict):
        raise TypeError("no settings")
    return config


def _plain_layer(entry: JsonObject, origin: Origin) -> JsonObject:
    kind, module = str(entry.get("class_name")), entry.get("module")
    config = _config(entry)
    ours = module is None or str(module).split(".")[0] in _FOREIGN
    found = getattr(keras.layers, kind, None) if ours else None
    new: JsonObject = {"module": module or "custom", "class_name": kind, "config": {**config}}
    if not inspect.isclass(found):  # prepare_config refuses it by its name
        return new
    settings = {**config}
    if kind == "InputLayer":
        settings["batch_shape"] = settings.get("batch_input_shape")
    for (layer, old), new_key in _RENAMED.items():
        if layer == kind and old in config:
            config = {**config, new_key: config[old]}
            del config[old]
            settings = {**config}
    known = _parameters(found)
    for key, value in config.items():
        if key.endswith(_TRAINING_ONLY) or (key in _GONE and key not in known):
            del settings[key]
        elif key not in known:
            if value not in (None, False) and (key, value) != ("groups", 1):
                raise origin.refuse(
                    f"layer {config.get('name')!r} ({kind}) of Keras 2 has {key}={value}, which "
                    "Keras 3 does not know"
                )
            del settings[key]
        elif key == "axis" and isinstance(value, list) and len(value) == 1:
            settings[key] = value[0]
        elif key in ("activation", "recurrent_activation"):
            settings[key] = _activation(value, str(config.get("name")), origin)
        elif key == "layer" and isinstance(value, dict):
            settings[key] = _layer(value, {}, origin)
        elif key == "dtype" and isinstance(value, dict):  # a policy
            inner = value.get("config")
            settings[key] = inner.get("name") if isinstance(inner, dict) else "float32"
    return {**new, "module": "keras.layers", "config": settings}


def _parameters(layer: type) -> frozenset[str]:
    """Names that a layer's constructor takes, with those of every layer."""
    base = {"name", "trainable", "dtype", "activity_regularizer"}
    classes = [c for c in layer.__mro__ if issubclass(c, keras.layers.Layer)]
    return frozenset(base.union(*(inspect.signature(c).parameters for c in classes[:-1])))


def _activation(value: JsonValue, layer: str, origin: Origin) -> JsonValue:
    if isinstance(value, dict) and value.get("class_name") == "function":
        value = value.get("config")
    if value in _OTHERWISE:
        raise ModelError(
            f"{origin.path}: layer {layer!r} has Keras 2's {value}, which computes something else "
            "than Keras 3's; expected an activation that both have; fine-tune the model with "
            "another one"
        )
    return _ACTIVATIONS.get(value, value) if isinstance(value, str) else value


def _operator(entry: JsonObject, shifts: Mapping[str, int], origin: Origin) -> JsonObject:
    """Return Keras' operator for one of TensorFlow."""
    config = _config(entry)
    function = str(config.get("function"))
    nodes: list[JsonValue] = []
    if function == "__operators__.getitem":
        known: _Operator | None = _numpy("GetItem", "slice_spec")
    else:
        known = _OPERATORS.get(function)
    settings: JsonObject = {}
    for node in _nodes(entry):
        first, index, place, named = (*node, {})[:4] if isinstance(node, list) else (0, 0, 0, {})
        assert isinstance(named, dict)
        rest = {key: value for key, value in named.items() if key not in _SILENT_ARGUMENTS}
        if known is None or set(rest) - {*known.operands, *known.settings}:
            raise origin.refuse(
                f"layer {config.get('name')!r} is TensorFlow's function {function} with "
                f"{', '.join(rest) or 'no arguments'}, which is not imported"
            )
        start = place if first == "_CONSTANT_VALUE" else _tensor([first, index, place], shifts)
        operands = [_operand(rest[key], shifts) for key in known.operands]
        settings = {key: rest[key] for key in known.settings if key in rest}
        nodes.append({"args": [start, *operands], "kwargs": {}})
    assert known is not None
    return {
        "module": known.module,
        "class_name": known.kind,
        "config": {"name": "", **settings},
        "registered_name": known.kind,
        "inbound_nodes": nodes,
    }


def _operand(value: JsonValue, shifts: Mapping[str, int]) -> JsonValue:
    if _is_triple(value):
        return _tensor(value, shifts)
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [_slice(item) for item in value]
    if isinstance(value, list):
        return {"class_name": "__tensor__", "config": {"value": value, "dtype": "float32"}}
    return value


def _slice(item: JsonValue) -> JsonValue:
    if isinstance(item, dict) and "step" in item:
        return {"class_name": "__slice__", "config": item}
    if isinstance(item, dict) and item.get("class_name") == "__ellipsis__":
        return {"class_name": "__ellipsis__", "config": {}}
    return item


def _nodes(entry: JsonObject) -> list[JsonValue]:
    return _items(entry.get("inbound_nodes"))


def _call(node: JsonValue, shifts: Mapping[str, int]) -> JsonObject:
    """Write a layer's call: ``[[name, node, tensor, arguments], …]`` of Keras 2."""
    assert isinstance(node, list)
    tensors = [_tensor(item[:3], shifts) for item in node if isinstance(item, list)]
    arguments: JsonObject = {}
    for item in node:
        named = item[3] if isinstance(item, list) and len(item) > 3 else {}
        for key, value in named.items() if isinstance(named, dict) else ():
            if value is not None:
                arguments[key] = _tensor(value, shifts) if _is_triple(value) else value
    first: JsonValue = tensors[0] if len(tensors) == 1 else [*tensors]
    return {"args": [first], "kwargs": arguments}


def _is_triple(value: JsonValue) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and isinstance(value[2], int)
    )


def _tensor(triple: JsonValue, shifts: Mapping[str, int]) -> JsonObject:
    history = _moved(triple, shifts)
    config: JsonObject = {"shape": [None], "dtype": "float32", "keras_history": history}
    return {"class_name": "__keras_tensor__", "config": config}


def _moved(triple: JsonValue, shifts: Mapping[str, int]) -> JsonValue:
    """Name a tensor as Keras 3 does: a nested model's first call is its call 0."""
    assert isinstance(triple, list)
    name, call, place = triple[:3]
    assert isinstance(call, int)
    return [_plain(name), call - shifts.get(str(name), 0), place]


def _shifts(layers: list[JsonObject], config: JsonObject) -> Mapping[str, int]:
    """Return 1 for each nested model whose calls are counted from 1, as most are in Keras 2."""
    nested = {str(layer.get("name")) for layer in layers if layer.get("class_name") in _MODELS}
    lowest: dict[str, int] = {}
    waiting: list[JsonValue] = [_nodes(layer) for layer in layers]
    waiting += [config.get("output_layers"), config.get("input_layers")]
    while waiting:
        value = waiting.pop()
        if _is_triple(value):
            assert isinstance(value, list)
            name, call = value[:2]
            if name in nested:
                assert isinstance(call, int)
                lowest[str(name)] = min(call, lowest.get(str(name), call))
            waiting += value[3:]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
    return {name: 1 for name, call in lowest.items() if call >= 1}


def _plain(name: JsonValue) -> str:
    """Return a name that Keras 3 takes: without slashes."""
    return str(name).replace("/", "_")
