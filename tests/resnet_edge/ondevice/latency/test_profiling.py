from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.latency.bench import profile_path
from resnet_edge.ondevice.latency.bench_worker import BenchJob
from resnet_edge.ondevice.latency.profile_worker import profile_job
from resnet_edge.ondevice.latency.profiling import (
    by_layer,
    keras_layer,
    onnx_layers,
    read_profile,
)
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.measurements import OperatorProfile, OperatorTime
from resnet_edge.ondevice.runtimes.kinds import cannot_profile

SPEC = LatencySpec(min_seconds=60, min_queries=5, max_warmup_s=0)
PATH = "serving_1/tiny_1"


def node_event(name: str, operator: str, start: int, duration: int, index: int = 0) -> dict:
    arguments = {"op_name": operator, "node_index": str(index)}
    return {"cat": "Node", "name": name, "ts": start, "dur": duration, "args": arguments}


def write_events(path: Path, *inferences: tuple[int, int]) -> Path:
    """Inferences of a convolution and a softmax that take so many microseconds."""
    events = [{"cat": "Session", "name": "model_run", "ts": 0, "dur": 99, "args": {}}]
    for place, (conv, softmax) in enumerate(inferences):
        conv_name = f"{PATH}/relu_1/Relu:0_nchwc_kernel_time"
        events.append(node_event(conv_name, "Conv", 1000 * place, conv, 4))
        events.append(
            node_event("probabilities_kernel_time", "Softmax", 1000 * place + 500, softmax)
        )
    events.reverse()  # the order in the file is not the order of execution
    path.write_text(json.dumps(events))
    return path


def test_medians_without_the_warm_up(tmp_path):
    path = write_events(tmp_path / "p.json", (900, 900), (30, 10), (32, 8), (31, 9))
    conv, softmax = read_profile(path, skip=1, layers={f"{PATH}/relu_1/Relu:0": "conv"})
    assert (conv.layer, conv.operator, conv.node) == ("conv", "Conv", f"{PATH}/relu_1/Relu:0_nchwc")
    assert conv.median_s == pytest.approx(31e-6)
    assert conv.share == pytest.approx(31 / 40)
    assert (softmax.layer, softmax.node) == ("", "probabilities")
    assert softmax.median_s == pytest.approx(9e-6)
    assert softmax.share == pytest.approx(9 / 40)


def test_without_the_weights_the_name_tells(tmp_path):
    conv, _ = read_profile(write_events(tmp_path / "p.json", (3, 1)), skip=0)
    assert conv.layer == "relu"


def test_nodes_of_the_same_name_are_told_apart(tmp_path):
    events = [node_event("_kernel_time", "Cast", start, 10, start % 2) for start in range(4)]
    (tmp_path / "p.json").write_text(json.dumps(events))
    found = read_profile(tmp_path / "p.json", skip=1)
    assert [operator.share for operator in found] == [0.5, 0.5]


def test_operators_below_the_clocks_resolution(tmp_path):
    found = read_profile(write_events(tmp_path / "p.json", (0, 0)), skip=0)
    assert [operator.share for operator in found] == [0.0, 0.0]


def test_nothing_beyond_the_warm_up(tmp_path):
    path = write_events(tmp_path / "p.json", (3, 1))
    expected = r"^p.json: onnxruntime's profiler recorded no operator after 1 inferences; update"
    with pytest.raises(InferenceError, match=expected):
        read_profile(path, skip=1)


@pytest.mark.parametrize("text", ["{", "3", '[{"cat": "Node"}]', '[{"name": "x"}]', "[1]"])
def test_what_is_no_profile(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InferenceError, match=r"^p.json: not what onnxruntime's profiler writes \("):
        read_profile(tmp_path / "p.json", skip=0)


def test_no_profile_at_all(tmp_path):
    with pytest.raises(InferenceError, match=r"p.json: not what .* \(FileNotFoundError"):
        read_profile(tmp_path / "p.json", skip=0)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("serving_1/resnet50_1/conv1_relu_1/Relu:0", "conv1_relu"),
        ("serving_1/resnet50_1/res2a_branch2a_1/BiasAdd", "res2a_branch2a"),
        ("serving_1/resnet50_1/fc10_1/MatMul/MatMulAddFusion", "fc10"),
        ("serving_1/resnet50_1/conv1_conv_1/convolution/ReadVariableOp:0_of_Conv__5", "conv1_conv"),
        ("serving_1/outer_1/inner_1/conv2d_3_1/BiasAdd", "conv2d_3"),
        ("serving/plain/conv_4/Relu", "conv_4"),
        ("serving_1/Sub", ""),
        ("Transpose__4", ""),
        ("probabilities", ""),
        ("", ""),
    ],
)
def test_the_layer_in_a_name(name, layer):
    assert keras_layer(name) == layer


def test_layers_are_joined_and_ordered_by_time():
    found = by_layer(
        (
            OperatorTime("", "Cast", "image_cast", 2e-6, 0.1),
            OperatorTime("conv1", "QuantizeLinear", "a", 4e-6, 0.2),
            OperatorTime("conv1", "Conv", "b", 10e-6, 0.5),
            OperatorTime("", "Squeeze", "Squeeze__8", 4e-6, 0.2),
        )
    )
    assert [(x.layer, x.operator, x.node) for x in found] == [
        ("conv1", "QuantizeLinear + Conv", "a"),
        ("", "Squeeze", "Squeeze__8"),
        ("", "Cast", "image_cast"),
    ]
    assert found[0].median_s == pytest.approx(14e-6)
    assert found[0].share == pytest.approx(0.7)


def save_tiny(path: Path) -> bytes:
    """conv + ReLU, a sum with the convolution behind it, mean, dense, softmax; on 4 x 4 x 3."""
    random = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)

    node = helper.make_node
    nodes = [
        node("Transpose", ["image"], ["Transpose__4"], "Transpose__4", perm=[0, 3, 1, 2]),
        node("Conv", ["Transpose__4", f"{PATH}/conv_1/kernel:0"], ["Conv__5"], "Conv__5"),
        node("Relu", ["Conv__5"], [f"{PATH}/act_1/Relu:0"], f"{PATH}/act_1/Relu"),
        node(
            "Conv",
            [f"{PATH}/act_1/Relu:0", f"{PATH}/second_1/kernel:0"],
            [f"{PATH}/second_1/BiasAdd:0"],
            f"{PATH}/second_1/BiasAdd",
        ),
        node(
            "Add",
            [f"{PATH}/second_1/BiasAdd:0", f"{PATH}/act_1/Relu:0"],
            [f"{PATH}/sum_1/Add:0"],
            f"{PATH}/sum_1/Add",
        ),
        node("GlobalAveragePool", [f"{PATH}/sum_1/Add:0"], ["mean"], f"{PATH}/pool_1/Mean"),
        node("Flatten", ["mean"], ["flat"], "Flatten__7"),
        node("MatMul", ["flat", f"{PATH}/head_1/kernel:0"], ["product"], f"{PATH}/head_1/MatMul"),
        node("Add", ["product", f"{PATH}/head_1/bias:0"], ["logits"], f"{PATH}/head_1/BiasAdd"),
        node("Softmax", ["logits"], ["probabilities"], "probabilities"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4, 4, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2])],
        [
            weight(f"{PATH}/conv_1/kernel:0", 8, 3, 1, 1),
            weight(f"{PATH}/second_1/kernel:0", 8, 8, 1, 1),
            weight(f"{PATH}/head_1/kernel:0", 8, 2),
            weight(f"{PATH}/head_1/bias:0", 2),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path.read_bytes()


@pytest.fixture
def tiny(tmp_path, hand_artifact) -> Artifact:
    return hand_artifact(tmp_path / "artifacts", "fp32.onnx", save_tiny(tmp_path / "tiny.onnx"))


def test_fused_names_belong_to_the_layer_of_the_weights(tiny):
    layers = onnx_layers(tiny.path)
    assert layers["Conv__5"] == layers[f"{PATH}/act_1/Relu:0"] == "conv"
    assert layers[f"{PATH}/second_1/BiasAdd:0"] == "second"
    assert f"{PATH}/sum_1/Add" not in layers  # a sum of two branches is a layer of its own
    assert layers["logits"] == layers[f"{PATH}/head_1/BiasAdd"] == "head"


def test_without_onnx_names_tell_alone(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert onnx_layers(tiny.path) == {}


def check_tiny(profile: OperatorProfile) -> None:
    assert (profile.runtime, profile.threads, profile.queries) == ("onnxruntime", 1, 5)
    layers = {operator.layer for operator in profile.operators}
    assert {"conv", "second", "head"} <= layers
    assert "act" not in layers
    total = sum(operator.share for operator in profile.operators)
    assert total == pytest.approx(1) or total == 0
    assert profile.total_s == pytest.approx(sum(x.median_s for x in profile.operators))


def test_a_real_profile(tiny):
    check_tiny(profile_job(BenchJob(tiny.path, 1, SPEC, None)))


def test_the_worker_answers_in_json(tiny):
    from resnet_edge.steps.profile import run_profile_worker

    check_tiny(run_profile_worker("fp32.onnx", BenchJob(tiny.path.resolve(), 1, SPEC, None)))


def test_the_worker_says_what_is_wrong(tmp_path, hand_artifact):
    from resnet_edge.steps.profile import run_profile_worker

    artifact = hand_artifact(tmp_path, "fp32.onnx", b"no model")
    with pytest.raises(InferenceError) as caught:
        run_profile_worker("fp32.onnx", BenchJob(artifact.path, 1, SPEC, None))
    assert str(caught.value).startswith(f"fp32.onnx, 1 thread, profile: {artifact.path}: onnxrunti")
    assert "refuses the file" in str(caught.value)


def test_a_format_without_a_profiler(tmp_path, hand_artifact):
    artifact = hand_artifact(tmp_path, "fp32.tflite")
    with pytest.raises(
        InferenceError, match=r"fp32.tflite: the Python packages of TFLite's runtimes"
    ):
        profile_job(BenchJob(artifact.path, 1, SPEC, None))


def test_every_format_says_whether_it_can_be_profiled():
    assert cannot_profile(Format.ONNX) is None
    assert "benchmark_model with --enable_op_profiling=true" in cannot_profile(Format.TFLITE)
    assert "profile fp32.onnx" in cannot_profile(Format.SAVED_MODEL)


def test_where_profiles_lie(tmp_path):
    assert profile_path(tmp_path, "a b") == tmp_path / "profile-a-b.json"
