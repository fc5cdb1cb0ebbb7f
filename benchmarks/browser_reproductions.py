"""Small files that show three faults of LiteRT.js 2.5.3, and a page that shows them in any browser.

    make web
    python benchmarks/browser_reproductions.py --to reproductions
    python -m http.server --directory reproductions --bind 127.0.0.1 8000

Then open http://127.0.0.1:8000 in a browser with WebGPU. The page prints for each file and
accelerator its answers beside those of LiteRT in Python, the median of its times, or the refusal.
docs/browser-reproductions.md says what is seen.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from converters.tflite.flatbuffer import write_flatbuffer

PAGE = Path(__file__).with_suffix("")
PACKAGES = Path(__file__).parents[1] / "web" / "node_modules" / "@litertjs"
FLOAT32, FLOAT16 = schema.TensorType.FLOAT32, schema.TensorType.FLOAT16
INT8, INT32 = schema.TensorType.INT8, schema.TensorType.INT32
RELU = schema.ActivationFunctionType.RELU
TYPES = {np.dtype(np.float32): FLOAT32, np.dtype(np.float16): FLOAT16, np.dtype(np.int8): INT8}


class Network:
    """A TFLite graph, operator by operator."""

    def __init__(self) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph.tensors, self.graph.operators = [], []

    def tensor(
        self,
        shape: Sequence[int],
        kind: int = FLOAT32,
        steps: npt.ArrayLike | None = None,
        values: np.ndarray | None = None,
    ) -> int:
        """Add a tensor; return its index."""
        tensor = schema.TensorT()
        tensor.shape, tensor.type = np.array(shape, np.int32), kind
        tensor.name, tensor.buffer = f"t{len(self.graph.tensors)}".encode(), 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        if steps is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.atleast_1d(np.array(steps, np.float32))
            tensor.quantization.zeroPoint = np.zeros(tensor.quantization.scale.size, np.int64)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, values: np.ndarray, steps: npt.ArrayLike | None = None) -> int:
        """Add a constant; return its index."""
        return self.tensor(values.shape, TYPES.get(values.dtype, INT32), steps, values)

    def add(
        self, kind: str, inputs: list[int], output: int, version: int = 1, **options: object
    ) -> int:
        """Add an operator; return its output."""
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
        code.version = version
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        words = {"CONV_2D": "Conv2D"}.get(kind, kind.title().replace("_", ""))
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{words}Options")
        operator.builtinOptions = getattr(schema, f"{words}OptionsT")()
        for name, value in options.items():
            setattr(operator.builtinOptions, name, value)
        self.graph.operators.append(operator)
        return output

    def file(self, image: int, answer: int) -> bytes:
        """Return the file."""
        self.graph.inputs, self.graph.outputs = np.array([image]), np.array([answer])
        return write_flatbuffer(self.model)


CONVOLUTION = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}


def dense(as_convolution: bool) -> bytes:
    """A dense layer of float32 sums over int8 weights that pass through DEQUANTIZE."""
    rng, net = np.random.default_rng(0), Network()
    weights = rng.integers(-127, 128, (10, 64)).astype(np.int8)
    image, answer = net.tensor([1, 64]), net.tensor([1, 10])
    bias = net.constant(np.zeros(10, np.float32))
    shape = [10, 1, 1, 64] if as_convolution else [10, 64]
    stored = net.constant(weights.reshape(shape), np.full(10, 0.01))
    floats = net.add("DEQUANTIZE", [stored], net.tensor(shape), 2)
    if not as_convolution:
        net.add("FULLY_CONNECTED", [image, floats, bias], answer)
        return net.file(image, answer)
    wide = net.tensor([1, 1, 1, 64])
    net.add("RESHAPE", [image, net.constant(np.array([1, 1, 1, 64], np.int32))], wide)
    sums = net.add("CONV_2D", [wide, floats, bias], net.tensor([1, 1, 1, 10]), **CONVOLUTION)
    net.add("RESHAPE", [sums, net.constant(np.array([1, 10], np.int32))], answer)
    return net.file(image, answer)


def squeezed_sum(squeezed: bool) -> bytes:
    """An int8 sum with RELU; with ``squeezed`` one operand passes through RESHAPE."""
    net = Network()
    image, answer = net.tensor([1, 1, 1, 8]), net.tensor([1, 1, 1, 8])
    one = net.add("QUANTIZE", [image], net.tensor([1, 1, 1, 8], INT8, 0.02))
    other = one
    if squeezed:
        other = net.tensor([8], INT8, 0.02)
        net.add("RESHAPE", [one, net.constant(np.array([8], np.int32))], other)
    total = net.tensor([1, 1, 1, 8], INT8, 0.04)
    net.add("ADD", [one, other], total, 2, fusedActivationFunction=RELU)
    net.add("DEQUANTIZE", [total], answer, 2)
    return net.file(image, answer)


def convolutions(kind: type[np.floating]) -> bytes:
    """Eight 3x3 convolutions of 256 channels, with float32 or float16 weights."""
    rng, net = np.random.default_rng(0), Network()
    image = last = net.tensor([1, 8, 8, 256])
    for _ in range(8):
        kernel = rng.normal(0, 0.02, (256, 3, 3, 256)).astype(kind)
        weights = net.constant(kernel)
        if kind is np.float16:
            weights = net.add("DEQUANTIZE", [weights], net.tensor(kernel.shape), 3)
        bias = net.constant(np.zeros(256, np.float32))
        last = net.add(
            *("CONV_2D", [last, weights, bias], net.tensor([1, 8, 8, 256])),
            **CONVOLUTION,
            fusedActivationFunction=RELU,
        )
    return net.file(image, last)


FILES = {
    "dense_dequantized.tflite": lambda: dense(False),
    "dense_convolution.tflite": lambda: dense(True),
    "sum_squeezed.tflite": lambda: squeezed_sum(True),
    "sum_plain.tflite": lambda: squeezed_sum(False),
    "weights_float32.tflite": lambda: convolutions(np.float32),
    "weights_float16.tflite": lambda: convolutions(np.float16),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--to", type=Path, required=True)
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    for package in ("core", "wasm-utils"):
        shutil.copytree(PACKAGES / package, folder / package, dirs_exist_ok=True)
    for source in PAGE.iterdir():
        shutil.copy(source, folder)
    listed = []
    for name, make in FILES.items():
        data = make()
        (folder / name).write_bytes(data)
        shape, values, answer = ask(data)
        listed.append({"name": name, "shape": shape, "input": values, "expected": answer})
        print(f"{name}: {len(data)} bytes")
    (folder / "files.json").write_text(json.dumps(listed))


def ask(data: bytes) -> tuple[list[int], list[float], list[float]]:
    """Return a file's input shape, an input, and the first three answers."""
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    shape = [int(side) for side in details["shape"]]
    values = np.sin(np.arange(np.prod(shape), dtype=np.float32))
    interpreter.set_tensor(details["index"], values.reshape(shape))
    interpreter.invoke()
    answer = interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).ravel()
    return shape, values.tolist(), answer[:3].tolist()


if __name__ == "__main__":
    main()
