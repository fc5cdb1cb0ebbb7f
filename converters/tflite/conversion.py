"""Conversion to the float32 TFLite file, from which every other TFLite precision is derived."""

from __future__ import annotations

import re

import keras
import tensorflow as tf

from converters.errors import ModelConversionError
from converters.frozen_graph import freeze


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
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], tf.Module())
    # Without a SavedModel in between, operators and weights are the same, in less than half the
    # time and in 2.8 GiB instead of 3.7 (ResNet50).
    converter.experimental_lower_to_saved_model = False
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        return bytes(converter.convert())
    except Exception as problem:  # the converter has no error type of its own that it keeps to
        raise ModelConversionError(
            f"TFLite cannot express this model: {_reason(str(problem))}; replace the layer or "
            "leave the .tflite formats out with --formats"
        ) from problem


def _reason(message: str) -> str:
    """Return the operators that the converter's message names, else its first line."""
    operators = sorted(set(re.findall(r"'(tf\.\w+)' op is neither", message)))
    if operators:
        return f"it has no operator for {', '.join(operators)}"
    return message.strip().partition("\n")[0]
