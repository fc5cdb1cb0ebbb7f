"""TFLite precisions, derived from the float32 file by litert-quantizer.

This is Google's current way. It takes under a second, while a new conversion takes 14 to 27.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Collection, Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from litert_quantizer import qtyping, recipe_manager
from litert_quantizer.algorithm_manager import AlgorithmName
from litert_quantizer.quantizer import Quantizer

from converters.errors import ModelConversionError
from converters.quantization.integer_kinds import FAILING
from converters.quantization.integer_operators import use_general_sums, use_integer_kernels
from converters.quantization.pixel_offset import with_whole_offset
from converters.quantization.rounding import LEVELS, weight_scales
from converters.quantization.runtime_limits import least_weight_steps, possible_ranges
from converters.quantization.scheme import Scheme, rounded_tensors
from converters.quantization.settings import WeightGrid
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import (
    Operation,
    Reweighted,
    TfliteNetwork,
    write_parameters,
)
from converters.tflite.flatbuffer import operator_kind, read_flatbuffer

_Operator = qtyping.TFLOperationName
_FLOAT_TYPES = (
    schema.TensorType.FLOAT16,
    schema.TensorType.FLOAT32,
    schema.TensorType.FLOAT64,
    schema.TensorType.BFLOAT16,
)
_Range = dict[str, np.ndarray | np.float32]
"""``min`` and ``max`` of a tensor, or of every output channel of a kernel."""

_ANY = ".*"


def quantize_float16(float32: bytes) -> bytes:
    """Store the weights as float16. The runtime converts them to float32 when it loads the file."""
    recipe = recipe_manager.RecipeManager()
    recipe.add_quantization_config(
        regex=_ANY,
        operation_name=_Operator.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=AlgorithmName.FLOAT_CASTING,
    )
    return _quantize(float32, recipe)


def quantize_dynamic(float32: bytes) -> bytes:
    """Quantize weights to int8; the runtime quantizes activations. Float32 in and out.

    Dense layers get one scale for the whole weight matrix, because tflite-runtime 2.14 loads a file
    with per-channel dense weights and gives wrong answers. Convolutions stay per-channel.
    """
    recipe = recipe_manager.RecipeManager()
    recipe.add_dynamic_config(regex=_ANY, operation_name=_Operator.ALL_SUPPORTED, num_bits=8)
    recipe.add_dynamic_config(
        regex=_ANY,
        operation_name=_Operator.FULLY_CONNECTED,
        num_bits=8,
        granularity=qtyping.QuantGranularity.TENSORWISE,
    )
    return _quantize(float32, recipe)


def quantize_static(
    float32: bytes,
    network: TfliteNetwork,
    scheme: Scheme,
    *,
    integer_only: bool,
    activation_bits: int = 8,
) -> bytes:
    """Quantize to static int8: weights per channel, activations in the ranges of the scheme.

    Args:
        float32: The float32 file.
        network: The graph of that file.
        scheme: Weights, ranges, and the operators that stay in float. The kernels of the head and
            of ``weight_only`` are stored in 8 bits, and converted to float when the file is loaded;
            with ``has_float_head`` the head's are float.
        integer_only: True to make all operators integer, with int8 output, for NPUs.
        activation_bits: 8, or 16 for int16 activations with int8 weights.

    Returns:
        A file that takes int8 pixels (level minus 128), or float32 pixels with int16 activations.

    Raises:
        ModelConversionError: The ranges do not fit this file, or with ``integer_only`` the
            quantizer leaves operators in float, which it does without a warning.
    """
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(
        regex=_ANY,
        operation_name=_Operator.ALL_SUPPORTED,
        activation_num_bits=activation_bits,
        weight_num_bits=8,
    )
    if activation_bits == 16:  # pixels have 8 bits; int16 ones would be a burden on the caller
        recipe.add_quantization_config(
            regex=_ANY, operation_name=_Operator.INPUT, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    if not integer_only:
        recipe.add_quantization_config(
            regex=_ANY, operation_name=_Operator.OUTPUT, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
        for index in sorted(scheme.float_operations):
            operation = network.operations[index]
            is_stored = scheme.grid_of(network, operation) is not None
            _keep_float(recipe, network, operation, is_stored)
    for kind in FAILING:
        recipe.add_quantization_config(
            regex=_ANY, operation_name=_Operator(kind), algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    kept = () if integer_only else scheme.float_operations
    changed = _whole_offsets(network, kept) if activation_bits == 8 else {}
    rewritten = write_parameters(float32, scheme.parameters, changed)
    ranges, statistics = _statistics(network, scheme, rewritten, integer_only, activation_bits)
    data = _quantize(rewritten.data, recipe, statistics)
    if activation_bits == 8:
        data = use_integer_kernels(data, network, ranges, kept)
    else:
        data = use_general_sums(data)
    if integer_only and (left := float_operators(data)):
        named = ", ".join(dict.fromkeys(o.layer for o in network.operations if o.kind in left))
        raise ModelConversionError(
            f"operators {', '.join(left)} stay in float; expected integers only; "
            f"replace the layers ({named}) or leave int8_full.tflite out with --formats "
            "(int8.tflite may hold float operators)"
        )
    return data


def _whole_offsets(network: TfliteNetwork, kept: Collection[int]) -> dict[int, np.ndarray]:
    """Return the constants that are whole in 8 bits, by index of the tensor."""
    whole = with_whole_offset(network, rounded_tensors(network, kept)).constants
    return {t: values for t, values in whole.items() if values is not network.constants[t]}


def _statistics(
    network: TfliteNetwork,
    scheme: Scheme,
    rewritten: Reweighted,
    integer_only: bool,
    activation_bits: int,
) -> tuple[dict[int, Range], dict[str, _Range]]:
    """Return ranges that LiteRT can compute with, and the same for the quantizer, by name."""
    weight_steps = {
        op.index: weight_scales(
            scheme.parameters[op.index].kernel,
            op.kind,
            WeightGrid.FULL if op.index in network.head else scheme.grid,
        ).numpy()
        for op in network.weighted
        if integer_only or op.index not in network.head | scheme.weight_only
    }
    ranges = possible_ranges(network, scheme.ranges, weight_steps, activation_bits)
    statistics: dict[str, _Range] = {
        network.names[tensor]: {"min": np.float32(span.low), "max": np.float32(span.high)}
        for tensor, span in ranges.items()
    }
    for operation in network.weighted:
        if operation.index in weight_steps and operation.inputs[0] in ranges:
            bias, span = scheme.parameters[operation.index].bias, ranges[operation.inputs[0]]
            least = least_weight_steps(bias, span, activation_bits)
            steps = np.maximum(weight_steps[operation.index], least.astype(np.float32))
            statistics[rewritten.kernel_names[operation.index]] = _weight_range(operation, steps)
    return ranges, statistics


def _weight_range(operation: Operation, steps: np.ndarray) -> _Range:
    """Return the ends that give every output channel its step, float32 ``(outputs,)``."""
    largest = LEVELS * steps
    match operation.kind:
        case "CONV_2D":
            shape: tuple[int, ...] = (-1, 1, 1, 1)
        case "DEPTHWISE_CONV_2D":
            shape = (1, 1, 1, -1)
        case _:
            shape = (-1, 1)
    return {"min": -largest.reshape(shape), "max": largest.reshape(shape)}


def _keep_float(
    recipe: recipe_manager.RecipeManager,
    network: TfliteNetwork,
    operation: Operation,
    stores_integers: bool,
) -> None:
    """Keep one operator in float, with its kernel stored in 8 bits or in float."""
    own_name = f"^{re.escape(network.names[operation.output])};?$"
    if stores_integers and operation in network.weighted:
        recipe.add_weight_only_config(own_name, _Operator(operation.kind), num_bits=8)
    else:
        recipe.add_quantization_config(
            regex=own_name,
            operation_name=_Operator.ALL_SUPPORTED,
            algorithm_key=AlgorithmName.NO_QUANTIZE,
        )


def float_operators(data: bytes) -> tuple[str, ...]:
    """Return the kinds of operators that read or write float tensors, sorted, each once."""
    model = read_flatbuffer(data)
    found = set()
    for graph in model.subgraphs:
        for operator in graph.operators:
            tensors = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
            if any(tensor.type in _FLOAT_TYPES for tensor in tensors):
                found.add(operator_kind(model, operator))
    return tuple(sorted(found))


def _quantize(
    float32: bytes,
    recipe: recipe_manager.RecipeManager,
    statistics: Mapping[str, _Range] | None = None,
) -> bytes:
    quantizer = Quantizer(bytearray(float32), recipe.get_quantization_recipe())
    # The package prints its progress, but standard output belongs to the caller.
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        # It checks ranges with an interpreter that keeps all tensors, which warns of the memory.
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors")
        try:
            result = quantizer.quantize(dict(statistics) if statistics else None)
        except Exception as problem:  # it has no error class of its own
            raise ModelConversionError(
                f"litert-quantizer cannot quantize this model: {problem}; "
                "leave this format out with --formats"
            ) from problem
    return bytes(result.quantized_model)
