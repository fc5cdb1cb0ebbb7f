"""int8.onnx: static QDQ per channel by onnxruntime's quantizer, from a calibrated network."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.calibrate import TensorData, TensorsData, save_tensors_data

from converters.errors import RequestError
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.onnx_integer_head import multiply_in_integers
from converters.quantization.onnx_matching import (
    Kernel,
    find_kernel,
    match_tensors,
    replace_parameters,
    store_in_8_bits,
)
from converters.quantization.rounding import LEVELS, weight_scales
from converters.quantization.scheme import Scheme
from converters.quantization.settings import Target, WeightGrid
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import SAME_VALUES, WITH_KERNEL, TfliteNetwork

_FLOAT_OPERATORS = frozenset({"Cast", "Mul", "Pad", "Slice", "Softmax", "Sub", "Transpose"})


def quantize_int8(
    float32: onnx.ModelProto, calibrated: CalibratedNetwork, pictures: np.ndarray, target: Target
) -> onnx.ModelProto:
    """Quantize with the ranges and weights of the TFLite files.

    Unlike there, the preprocessing stays float. So biases are corrected again for this file.

    Args:
        float32: A model made by ``converters.onnx.conversion.convert_float32``.
        calibrated: The calibrated network of the same model.
        pictures: Calibration pictures, uint8 ``(count, height, width, 3)``.
        target: The processor that the file is for. ``calibrated`` has its weight grid.

    Returns:
        The quantized model, float32 in and out. Preprocessing, logits and softmax stay float.

    Raises:
        RequestError: The weights of the calibrated network saturate on that processor.
        ModelConversionError: The two float files are not the same network.
    """
    network, grid = calibrated.network, calibrated.scheme.grid
    if target.grid is WeightGrid.PAIR_SAFE and grid is not target.grid:
        raise RequestError(
            f"int8.onnx for {target}: weights of {grid} saturate there; expected {target.grid}; "
            f"calibrate with that grid or choose another processor"
        )
    source = onnx.ModelProto()
    source.CopyFrom(float32)  # the quantizer works in place
    names = match_tensors(source, network, pictures[0])
    scheme = _with_float_preprocessing(calibrated, pictures)
    applied = _OnnxScheme(network, scheme, names)
    overrides = applied.write_weights(source)
    ranges = applied.ranges(source)
    excluded = applied.float_nodes(source)
    quantized = _quantize(source, ranges, overrides, excluded, target)
    multiply_in_integers(quantized)
    return quantized


def _with_float_preprocessing(calibrated: CalibratedNetwork, pictures: np.ndarray) -> Scheme:
    """Return the scheme with biases for a float preprocessing."""
    scheme = calibrated.scheme
    kept = scheme.float_operations | _preprocessing(calibrated.network)
    return calibrated.corrected(pictures, replace(scheme, float_operations=kept))


def _preprocessing(network: TfliteNetwork) -> frozenset[int]:
    """Return the operators before the first kernel that compute new values."""
    found = []
    for operation in network.operations:
        if operation.kind in WITH_KERNEL:
            break
        if operation.kind not in SAME_VALUES:
            found.append(operation.index)
    return frozenset(found)


@dataclass(frozen=True)
class _OnnxScheme:
    """A scheme applied to one ONNX graph."""

    network: TfliteNetwork
    scheme: Scheme
    names: Mapping[int, tuple[str, ...]]

    def write_weights(self, model: onnx.ModelProto) -> dict[str, list[dict[str, object]]]:
        """Write the scheme's weights into the graph. Return their steps in onnxruntime's form."""
        overrides = {}
        found = [
            (op, find_kernel(model, self.network, op, self.names.get(op.output, ())))
            for op in self.network.weighted
        ]
        for operation, kernel in found:
            parameters = self.scheme.parameters[operation.index]
            weight = replace_parameters(model, kernel, operation, parameters)
            grid = self.scheme.grid_of(self.network, operation)
            if grid is None:
                continue
            steps = weight_scales(parameters.kernel, operation.kind, grid).numpy()
            if operation.index in self.scheme.float_operations:  # the head
                store_in_8_bits(model, kernel, steps)
            else:
                overrides[weight] = _per_channel(kernel, steps)
        return overrides

    def ranges(self, model: onnx.ModelProto) -> dict[str, Range]:
        """Return a range for every tensor that the quantizer may ask for.

        A tensor that only a ReLU reads has no counterpart, because TFLite fuses the two. The
        quantizer fuses them as well, and then asks for the range of the ReLU.
        """
        found = {
            name: self.scheme.ranges[tensor]
            for tensor, names in self.names.items()
            if tensor in self.scheme.ranges
            for name in names
        }
        found[model.graph.input[0].name] = self.scheme.ranges[self.network.image]
        missing = True
        while missing:
            missing = False
            for node in model.graph.node:
                source, result = node.input[0] if node.input else "", node.output[0]
                if node.op_type in _SAME_RANGE and source in found and result not in found:
                    found[result], missing = found[source], True
                if node.op_type in _SAME_RANGE and result in found and source not in found:
                    found[source], missing = found[result], True
        return found

    def float_nodes(self, model: onnx.ModelProto) -> list[str]:
        """Return the nodes that make the tensors of the scheme's float operators."""
        integer = {
            name
            for operation in self.network.operations
            if operation.index not in self.scheme.float_operations
            for name in self.names.get(operation.output, ())
        }
        made_by = {name: node for node in model.graph.node for name in node.output}
        constants = {tensor.name for tensor in model.graph.initializer}
        excluded = set()
        for index in self.scheme.float_operations:
            operation = self.network.operations[index]
            for name in self.names.get(operation.output, ()):
                node = made_by.get(name)
                while node is not None and node.output[0] not in integer:
                    excluded.add(node.name)
                    inputs = [source for source in node.input if source not in constants]
                    if node.op_type in ("Conv", "Gemm", "MatMul") or not inputs:
                        break
                    node = made_by.get(inputs[0])
        return sorted(excluded)


_SAME_RANGE = frozenset(
    {"Clip", "Flatten", "MaxPool", "Pad", "Relu", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)


def _per_channel(kernel: Kernel, steps: np.ndarray) -> list[dict[str, object]]:
    return [
        {
            "axis": kernel.axis,
            "quant_type": QuantType.QInt8,
            "symmetric": True,
            "rmin": np.float32(-step * LEVELS),
            "rmax": np.float32(step * LEVELS),
        }
        for step in steps
    ]


def _quantize(
    source: onnx.ModelProto,
    ranges: Mapping[str, Range],
    overrides: Mapping[str, list[dict[str, object]]],
    excluded: list[str],
    target: Target,
) -> onnx.ModelProto:
    operators = sorted({node.op_type for node in source.graph.node} - _FLOAT_OPERATORS)
    signed = target is Target.ARM
    logging.getLogger().addFilter(_is_no_preprocessing_hint)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            cache, result = Path(scratch) / "ranges.json", Path(scratch) / "int8.onnx"
            save_tensors_data(_tensors_data(ranges), cache)
            quantize_static(
                source,
                result,
                None,
                calibration_cache_path=cache,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=operators,
                nodes_to_exclude=excluded,
                per_channel=True,
                reduce_range=False,
                activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={"TensorQuantOverrides": dict(overrides)},
            )
            return onnx.load(result)
    finally:
        logging.getLogger().removeFilter(_is_no_preprocessing_hint)


def _tensors_data(ranges: Mapping[str, Range]) -> TensorsData:
    data = {
        name: TensorData(lowest=np.float32(span.low), highest=np.float32(span.high))
        for name, span in ranges.items()
    }
    return TensorsData(CalibrationMethod.MinMax, data)


def _is_no_preprocessing_hint(record: logging.LogRecord) -> bool:
    """Return False for the quantizer's hint to preprocess the model, which is done already."""
    return "pre-process" not in record.getMessage()
