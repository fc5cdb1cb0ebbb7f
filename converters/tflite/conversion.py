"""Conversion to the float32 TFLite file, from which every other TFLite precision is derived."""

from __future__ import annotations

import re

import keras
import tensorflow as tf

from converters.errors import ModelConversionError
from converters.frozen_graph import freeze
from converters.quantization.tflite_network import layer_of
from converters.tflite.error_function import KINDS, without_error_function
from converters.tflite.squeezes import without_squeezes


def convert_float32(serving: keras.Model) -> bytes:
    """Convert to a float32 TFLite flatbuffer with batch 1.

    The converter leaks memory on every call: run it in a process of its own.

    Args:
        serving: A model made by ``converters.serving.serving_model``.

    Returns:
        The file's bytes: built-in operators only, no metadata, no signature.

    Raises:
        ModelConversionError: The model has an operator that TFLite lacks.
    """
    frozen = freeze(serving, batch=1)
    try:
        return _convert(frozen)
    except Exception as refusal:  # the converter has no error type of its own that it keeps to
        problem = refusal
    if kinds := KINDS & _refused(problem):
        try:
            return _convert(without_error_function(frozen, kinds))
        except Exception as refusal:
            problem = refusal
    raise ModelConversionError(
        f"TFLite cannot express this model: {_reason(problem, frozen, serving)}; replace the layer "
        "or leave the .tflite formats out with --formats"
    ) from problem


def _convert(frozen: tf.types.experimental.ConcreteFunction) -> bytes:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], tf.Module())
    # Without a SavedModel in between, operators and weights are the same, in less than half the
    # time and in 2.8 GiB instead of 3.7 (ResNet50).
    converter.experimental_lower_to_saved_model = False
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return without_squeezes(bytes(converter.convert()))


def _refused(problem: Exception) -> frozenset[str]:
    """Return the kinds of operators that the converter's message names."""
    return frozenset(re.findall(r"'tf\.(\w+)' op is neither", str(problem)))


def _reason(
    problem: Exception, frozen: tf.types.experimental.ConcreteFunction, serving: keras.Model
) -> str:
    """Return the operators that TFLite lacks and their layers, else the message's first line."""
    layers = frozenset(layer.name for layer in serving._flatten_layers())
    found = []
    for kind in sorted(_refused(problem)):
        nodes = [node.name for node in frozen.graph.get_operations() if node.type == kind]
        names = ", ".join(dict.fromkeys(repr(layer_of(name, layers)) for name in nodes))
        found.append(f"tf.{kind}" + (f" in {names}" if names else ""))
    if found:
        return f"it has no operator for {', '.join(found)}"
    return str(problem).strip().partition("\n")[0]
