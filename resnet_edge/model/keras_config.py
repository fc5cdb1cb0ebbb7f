"""A network's description in a model file, checked and made plain before Keras builds from it.

Keras resolves every object that a description names, and many of its names are functions that read
files, load pickles or fetch from the network. Here each name has to be that of a layer, an operator
or a part of a layer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras

from resnet_edge.errors import ModelError, first_line
from resnet_edge.model.json_values import JsonObject, JsonValue
from resnet_edge.model.training_mode import call_for_inference

_CODE_LAYERS = frozenset(
    ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
)
_VALUES = frozenset(("__keras_tensor__", "__bytes__", "__ellipsis__", "__slice__"))
_ARRAYS = frozenset(("__tensor__", "__numpy__"))
_INTEGERS = frozenset(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))
_NUMBERS = _INTEGERS | {"bool", "float16", "bfloat16", "float32", "float64"}
_KINDS = (
    keras.Operation,  # layers and models too
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    keras.dtype_policies.DTypePolicy,
    keras.dtype_policies.DTypePolicyMap,
    keras.random.SeedGenerator,
)
_NO_ACTIVATIONS = frozenset(("get", "serialize", "deserialize"))
_FOR_TRAINING = ("_initializer", "_regularizer", "_constraint")
_REDUCED = frozenset(("float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"))


@dataclass(frozen=True)
class Origin:
    """The file that a network comes from, for messages.

    Attributes:
        path: The file or folder.
        keras: The version of Keras that wrote it; empty where the file does not say.
    """

    path: Path
    keras: str = ""

    @property
    def is_keras2(self) -> bool:
        """True if Keras 2 wrote it, or an older one."""
        return self.keras[:2] in ("1.", "2.")

    def refuse(self, reason: str) -> ModelError:
        """Return the error for a network that this Keras cannot load."""
        here = keras.__version__
        if _numbers(self.keras) > _numbers(here):
            advice = (
                f"it was written by Keras {self.keras}, which is newer; install that version "
                f"(`pip install keras=={self.keras}`), or save the model again with {here}"
            )
        else:
            advice = (
                "expected a whole model written by model.save(); "
                "save it again with this version of Keras"
            )
        return ModelError(f"{self.path}: Keras {here} cannot load it ({reason}); {advice}")


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:3]
    return tuple(int(part) for part in parts) if all(p.isdecimal() for p in parts) else ()


@dataclass(frozen=True)
class NetworkConfig:
    """A description that Keras can build from.

    Attributes:
        config: The serialized model.
        reduced: Names of the number types that were replaced by float32, such as
            ``mixed_float16``.
        loss: Name of the loss that the model was trained with; None where the file does not say.
        from_logits: True if that loss takes logits.
        in_training: Names of the layers that were called with ``training=True``.
    """

    config: JsonObject
    reduced: tuple[str, ...]
    loss: str | None
    from_logits: bool
    in_training: tuple[str, ...]


def prepare_config(config: JsonValue, origin: Origin) -> NetworkConfig:
    """Check a description and remove what only training needs.

    Compilation (losses, metrics, optimizers, schedules) is dropped at any depth. So are
    initializers, regularizers and constraints that are not Keras' own. Number types of less than
    float32, and float64, become float32. Calls with ``training=True`` become calls in inference.

    Args:
        config: A serialized Keras 3 model.
        origin: Its file, for messages.

    Raises:
        ModelError: It names code, a file, or something that is not a layer of Keras.
    """
    if not isinstance(config, dict) or "class_name" not in config:
        raise ModelError(
            f"{origin.path}: its description is no model; expected what model.save() writes; "
            "copy or save it again"
        )
    compiled = config.get("compile_config")
    loss, from_logits = _loss(compiled if isinstance(compiled, dict) else {})
    reduced: dict[str, None] = {}
    plain = _for_inference(config, reduced)
    assert isinstance(plain, dict)
    _check_root(plain, origin)
    for entry, owner in _objects(plain):
        _check_object(entry, owner, origin)
    mixed = tuple(name for name in reduced if name.startswith("mixed_"))
    training = call_for_inference(plain)
    return NetworkConfig(plain, mixed or tuple(reduced), loss, from_logits, training)


def _loss(compiled: Mapping[str, JsonValue]) -> tuple[str | None, bool]:
    loss = compiled.get("loss")
    if isinstance(loss, str):
        return loss, False
    if not isinstance(loss, dict) or not isinstance(loss.get("config"), dict):
        return None, False
    config = loss["config"]
    assert isinstance(config, dict)
    return str(config.get("name") or loss.get("class_name")), config.get("from_logits") is True


def _for_inference(value: JsonValue, reduced: dict[str, None]) -> JsonValue:
    """Return a copy without what only training needs, in float32."""
    if isinstance(value, list):
        return [_for_inference(item, reduced) for item in value]
    if not isinstance(value, dict):
        return value
    copy: JsonObject = {}
    for key, inner in value.items():
        if key == "compile_config" and "class_name" in value:
            continue
        if key.endswith(_FOR_TRAINING) and isinstance(inner, dict) and not _is_known(inner):
            copy[key] = None
        elif key == "dtype":
            copy[key] = _in_float32(inner, reduced)
        else:
            copy[key] = _for_inference(inner, reduced)
    return copy


def _in_float32(dtype: JsonValue, reduced: dict[str, None]) -> JsonValue:
    if isinstance(dtype, str) and dtype in _REDUCED:
        reduced[dtype] = None
        return "float32"
    config = dtype.get("config") if isinstance(dtype, dict) else None
    if isinstance(dtype, dict) and isinstance(config, dict) and str(config.get("name")) in _REDUCED:
        reduced[str(config["name"])] = None
        return {**dtype, "config": {**config, "name": "float32"}}
    return dtype


def _objects(config: JsonObject) -> Iterator[tuple[JsonObject, str]]:
    """Every serialized object at any depth, with the name of the layer that it is a part of."""
    waiting: list[tuple[JsonValue, str]] = [(config, "")]
    while waiting:
        value, owner = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                inner = value.get("config")
                if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                    owner = str(inner["name"])
                yield value, owner
            waiting.extend((inner, owner) for inner in value.values())
        elif isinstance(value, list):
            waiting.extend((inner, owner) for inner in value)


def _check_root(config: JsonObject, origin: Origin) -> None:
    """Refuse a model that is a class of the user's own, with the way to one of Keras' layers."""
    kind, module = str(config["class_name"]), config.get("module")
    if not _is_known(config) and kind not in _CODE_LAYERS and not _is_kerass(module):
        raise ModelError(
            f"{origin.path}: the model is of the custom class {kind} ({module or 'no module'}), "
            "whose code is not in the file; expected a functional or Sequential model; in the "
            "program that has the class: inputs = keras.Input((height, width, 3)), then "
            "keras.Model(inputs, model.call(inputs)).save('NAME.keras')"
        )


def _check_object(entry: JsonObject, layer: str, origin: Origin) -> None:
    path = origin.path
    kind, module = str(entry["class_name"]), entry.get("module")
    if kind in _CODE_LAYERS:
        raise ModelError(
            f"{path}: layer {layer!r} is a {kind.strip('_')} layer, which carries code; "
            "expected layers of Keras itself, since code from a file is never run; replace it "
            "by Keras layers (Rescaling, Normalization, keras.ops) and save the model again"
        )
    if kind in _ARRAYS:
        inner = entry.get("config")
        if not isinstance(inner, dict) or str(inner.get("dtype")) not in _NUMBERS:
            raise ModelError(
                f"{path}: layer {layer!r} holds a constant that is not of numbers; expected "
                f"{', '.join(sorted(_NUMBERS))}; save the model again"
            )
    if _is_known(entry):
        _check_vocabulary(entry, layer, path)
        return
    if kind == "function":
        raise ModelError(
            f"{path}: layer {layer!r} calls the function {entry.get('config')} "
            f"({module or 'no module'}); expected an activation of Keras itself, since code of "
            "others is never run; build it of Keras layers and save the model again"
        )
    if _is_kerass(module) and ">" not in str(entry.get("registered_name")):
        raise origin.refuse(
            f"layer {layer!r} is a {kind} of {module}, which this version does not have"
        )
    raise ModelError(
        f"{path}: layer {layer!r} is of the custom class {kind} ({module or 'no module'}); "
        "expected layers of Keras itself, since code of others is never run; "
        "replace it by Keras layers and save the model again"
    )


def _check_vocabulary(entry: JsonObject, layer: str, path: Path) -> None:
    """Refuse a vocabulary that is the name of a file, which Keras would read or fetch."""
    config = entry.get("config")
    if isinstance(config, dict) and isinstance(config.get("vocabulary"), str):
        raise ModelError(
            f"{path}: layer {layer!r} is a {entry['class_name']} that names the file "
            f"{config['vocabulary']!r} as its vocabulary; expected a list of words, since no file "
            "that a model names is opened; give the layer that list and save the model again"
        )


def _is_known(entry: JsonObject) -> bool:
    """Return True for a value, or a class or function that a network is made of."""
    kind, module = str(entry.get("class_name")), entry.get("module")
    if kind in _VALUES or kind in _ARRAYS:
        return True
    if ">" in str(entry.get("registered_name")):
        return False
    if kind == "function":
        return _is_function(entry.get("config"), module)
    if not _is_kerass(module):
        return False
    found = getattr(sys.modules.get(str(module)), kind, None)
    return isinstance(found, type) and issubclass(found, _KINDS)


def _is_kerass(module: JsonValue) -> bool:
    return isinstance(module, str) and module.split(".")[0] == "keras"


def _is_function(name: JsonValue, module: JsonValue) -> bool:
    if not isinstance(name, str) or name.startswith("_"):
        return False
    place = "keras.activations" if module in ("builtins", None) else str(module)
    own = place.startswith(("keras.activations", "keras.ops")) and name not in _NO_ACTIVATIONS
    return own and callable(getattr(sys.modules.get(place), name, None))


def cause_of(error: BaseException) -> str:
    """Return Keras' own reason for an error, without the configurations that it prints around it.

    Args:
        error: Raised while a model was built or its weights were read.
    """
    words = str(error).rpartition("Exception encountered: ")[2].strip()
    if not words or words.startswith("Layer") or "\n" not in str(error).strip():
        return first_line(error)
    line = words.splitlines()[0].partition(" Full object config:")[0]
    return line if len(line) <= 300 else f"{line[:140]} … {line[-140:]}"
