"""The simulation beside LiteRT and onnxruntime, operator by operator and integer by integer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from layer_builds import BUILDS, SIDE, Build, classifier

from benchmarks.layer_by_layer import (
    Difference,
    Runtime,
    allowed,
    by_kind,
    compare,
    compare_litert,
    compare_onnx,
    litert_integers,
    onnx_integers,
)
from converters.errors import ModelConversionError
from converters.onnx import conversion as to_onnx
from converters.preprocessing import PREPROCESSINGS
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.calibration import calibrate, for_litert
from converters.quantization.integer_simulation import written_ranges
from converters.quantization.onnx import for_onnxruntime, quantize_int8
from converters.quantization.runtime_limits import step_of
from converters.quantization.scheme import Scheme, rounded_tensors
from converters.quantization.settings import QuantizationSettings, Target
from converters.quantization.tflite import quantize_static
from converters.quantization.tflite_network import Parameters
from converters.rewrites.all_rewrites import optimize
from converters.serving import serving_model
from converters.tflite import conversion as to_tflite

COUNT = 24
"""Pictures that are compared."""

FEW = 2
"""Values one step apart that no share is made of."""

Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Subject:
    """A network with its default calibration, in weights that no processor saturates."""

    serving: keras.Model
    pictures: np.ndarray

    @cached_property
    def float32(self) -> bytes:
        return to_tflite.convert_float32(self.serving)

    @cached_property
    def float32_onnx(self) -> onnx.ModelProto:
        return to_onnx.convert_float32(self.serving)

    @cached_property
    def calibrated(self) -> CalibratedNetwork:
        layers = {layer.name for layer in self.serving._flatten_layers()}
        method = QuantizationSettings(grid=Target.AUTO.grid)
        return calibrate(self.float32, self.pictures, method, layers)


def check(runtime: Runtime, differences: Sequence[Difference], record: Record, name: str) -> None:
    """At most one step, in no more places than are known, and say in how many."""
    rows = by_kind(differences)
    said = f"{name} in {runtime}: " + ", ".join(
        f"{row.kind} {row.apart} of {row.values} one step apart, largest {row.largest}"
        for row in rows
    )
    record(f"{name} in {runtime}", said)
    print(said)
    assert all(row.further == 0 and row.largest <= 1 for row in rows), said
    assert all(row.apart <= FEW + allowed(runtime, row.kind) * row.values for row in rows), said


def check_all(subject: Subject, record: Record) -> None:
    calibrated, pictures = subject.calibrated, subject.pictures
    for integer_only in (False, True):
        try:
            found = compare_litert(
                subject.float32, calibrated, pictures, COUNT, integer_only=integer_only
            )
        except ModelConversionError:  # a layer without an integer kernel
            assert integer_only
            continue
        name = "int8_full.tflite" if integer_only else "int8.tflite"
        scheme = for_litert(calibrated, pictures, integer_only=integer_only)
        kept = () if integer_only else scheme.float_operations
        wanted = rounded_tensors(calibrated.network, kept) - {calibrated.network.image}
        for runtime, differences in found.items():
            seen = {d.operation.output for d in differences}
            assert seen == {t for t in wanted if t in calibrated.network.writers}
            check(runtime, differences, record, name)
    differences = compare_onnx(subject.float32_onnx, calibrated, pictures, COUNT)
    kept = for_onnxruntime(calibrated, pictures).float_operations
    kernels = {op.index for op in calibrated.network.weighted} - kept
    assert kernels
    assert kernels <= {d.operation.index for d in differences}
    check(Runtime.ONNXRUNTIME, differences, record, "int8.onnx")


def test_topologies(each, record_property: Record) -> None:
    check_all(Subject(each.serving, each.pictures), record_property)


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
def test_layers(build: Build, pictures_of_many_kinds: np.ndarray, record_property: Record) -> None:
    serving = serving_model(optimize(classifier(build)).model, PREPROCESSINGS["none"])
    check_all(Subject(serving, pictures_of_many_kinds), record_property)


@pytest.fixture(scope="module")
def pictures_of_many_kinds() -> np.ndarray:
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (48, SIDE // 4, SIDE // 4, 3)).repeat(4, 1).repeat(4, 2)
    mixed = 0.7 * coarse + 0.3 * rng.integers(0, 256, (48, SIDE, SIDE, 3))
    return (mixed * np.linspace(0.2, 1, 48).reshape(-1, 1, 1, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def residual_subject(residual) -> Subject:
    return Subject(residual.serving, residual.pictures)


def test_a_narrow_resnet50(tiny, record_property: Record) -> None:
    found = compare_litert(tiny.tflite_float32, tiny.fast, tiny.pictures, 16, integer_only=True)
    for runtime, differences in found.items():
        check(runtime, differences, record_property, "int8_full.tflite")
    differences = compare_onnx(tiny.onnx_float32, tiny.fast, tiny.pictures, 16)
    check(Runtime.ONNXRUNTIME, differences, record_property, "int8.onnx")


def test_the_steps_are_those_of_the_file(each) -> None:
    """Also of the parts of a concatenation, which have that of the whole."""
    subject = Subject(each.serving, each.pictures)
    network = subject.calibrated.network
    scheme = for_litert(subject.calibrated, subject.pictures, integer_only=True)
    scheme = replace(scheme, float_operations=frozenset())
    data = quantize_static(subject.float32, network, scheme, integer_only=True)
    found = litert_integers(data, network, subject.pictures[:1], Runtime.XNNPACK)
    ranges = written_ranges(network, scheme)
    assert network.answer in found
    for tensor, integers in found.items():
        np.testing.assert_allclose(step_of(ranges[tensor]), integers.step, rtol=1e-6)
        assert round(-128 - ranges[tensor].low / step_of(ranges[tensor])) == integers.zero


def wrong_bias(scheme: Scheme, index: int, change: float) -> Scheme:
    """The scheme with another bias of one operator."""
    p = scheme.parameters[index]
    return replace(
        scheme, parameters={**scheme.parameters, index: Parameters(p.kernel, p.bias + change)}
    )


def test_a_wrong_operator_is_found_and_no_other(residual, residual_subject) -> None:
    """A bias that is wrong by three steps of the output."""
    subject, index = residual_subject, residual.operation("b_reduce")
    network, scheme = subject.calibrated.network, subject.calibrated.scheme
    data = quantize_static(subject.float32, network, scheme, integer_only=False)
    shown = subject.pictures[:4]
    integers = litert_integers(data, network, shown, Runtime.XNNPACK)
    output = network.operations[index].output
    wrong = wrong_bias(scheme, index, 3 * float(integers[output].step))
    found = compare(network, wrong, integers, shown)
    far = [d for d in found if d.largest > 1]
    assert [d.operation.index for d in far] == [index]
    assert far[0].apart(3) > 0.3 * far[0].distances.size  # the others were and stay zero
    assert 3 <= far[0].largest <= 4  # and the step by which any value may be off


def test_a_float_layer_stays_float_in_onnxruntime(residual, residual_subject) -> None:
    """Between rounded tensors onnxruntime would round its kernel, with one step for all of it."""
    subject, index = residual_subject, residual.operation("b_reduce")
    network, scheme = subject.calibrated.network, subject.calibrated.scheme
    kept = replace(scheme, float_operations=scheme.float_operations | {index})
    calibrated = replace(subject.calibrated, scheme=kept)
    model = quantize_int8(subject.float32_onnx, calibrated, subject.pictures, Target.AUTO).model
    shown = subject.pictures[:8]
    scheme = for_onnxruntime(calibrated, subject.pictures)
    found = compare(network, scheme, onnx_integers(model, network, scheme, shown), shown)
    (layer,) = [d for d in found if d.operation.index == index]
    assert layer.kind == "CONV_2D in float"
    assert layer.apart(1) <= FEW
    assert layer.largest <= 1


def test_no_operator_is_added_to_a_float_layer(residual, residual_subject, tmp_path) -> None:
    """What keeps it float is fused into it."""
    index = residual.operation("b_reduce")
    scheme = residual_subject.calibrated.scheme
    kept = replace(scheme, float_operations=scheme.float_operations | {index})
    calibrated = replace(residual_subject.calibrated, scheme=kept)
    model = quantize_int8(
        residual_subject.float32_onnx, calibrated, residual_subject.pictures, Target.AUTO
    ).model
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(
        to_onnx.serialize(model), options, providers=["CPUExecutionProvider"]
    )
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    integer = len(residual.network.weighted) - 2  # without this layer and the head
    assert kinds.count("QLinearConv") == integer
    assert "LeakyRelu" not in kinds
