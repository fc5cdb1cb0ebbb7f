"""Every runtime answers like the model it was exported from, or says what is wrong."""

import builtins
import dataclasses
import importlib
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from resnet_edge.errors import InferenceError, RuntimeMissingError
from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.measurements import Provider
from resnet_edge.ondevice.runtimes.base import Loading, Runtime
from resnet_edge.ondevice.runtimes.kinds import runtimes_for
from resnet_edge.ondevice.runtimes.opening import open_runtime
from resnet_edge.ondevice.runtimes.tflite import describe_delegation, left_operators

Seal = Callable[..., Artifact]


@pytest.mark.parametrize(
    ("name", "title", "tolerance"),
    [
        ("fp32.tflite", "LiteRT", 1e-5),
        ("fp16.tflite", "LiteRT", 2e-3),
        ("dynamic.tflite", "LiteRT", 0.03),
        ("int8.tflite", "LiteRT", 0.05),
        ("int8_full.tflite", "LiteRT", 0.05),
        ("int16x8.tflite", "LiteRT", 0.05),
        ("fp32.onnx", "onnxruntime", 1e-5),
    ],
)
def test_answers_equal_the_model(exported, name: str, title: str, tolerance: float) -> None:
    runtime = open_runtime(exported.artifact(name), threads=1)
    answers = runtime.infer(exported.pictures)
    assert (answers.dtype, answers.shape) == (np.float32, (8, 4))
    np.testing.assert_allclose(answers, exported.expected, atol=tolerance)
    assert re.fullmatch(rf"{title} \d+\.\d+\.\d+\S*", runtime.title)


def test_runtimes_say_what_computes(exported) -> None:
    onnx = open_runtime(exported.artifact("fp32.onnx"), threads=1).provider
    assert onnx == Provider("CPUExecutionProvider", "CPUExecutionProvider", ())
    lite = open_runtime(exported.artifact("fp32.tflite"), threads=1).provider
    assert lite.requested == "XNNPACK, the interpreter's default"
    assert re.fullmatch(r"XNNPACK: \d+ of \d+ operators, in \d+ parts?(; not .+)?", lite.used)
    assert lite.left == ("STRIDED_SLICE",)  # of the preprocessing, as nothing is rewritten here
    int8 = open_runtime(exported.artifact("int8.tflite"), threads=1).provider
    assert int8.left is not None
    assert "QUANTIZE" in int8.left  # of pixels to int8: XNNPACK has no kernel for it


def _operator(index: int, name: str, inputs: list[int], outputs: list[int]) -> dict[str, object]:
    return {"index": index, "op_name": name, "inputs": inputs, "outputs": outputs}


def test_operators_between_a_delegates_ends_are_its_own() -> None:
    # 0 -> conv -> 1 -> pad -> 2 -> conv -> 3 -> add (with 2) -> 4; tensors 8 and 9 are weights
    operators = [
        _operator(0, "CONV_2D", [0, 8], [1]),
        _operator(1, "PAD", [1], [2]),
        _operator(2, "CONV_2D", [2, 9], [3]),
        _operator(3, "ADD", [3, 2], [4]),
    ]
    none = "none: the interpreter's own kernels for all 4 operators"
    assert describe_delegation(operators) == none
    whole = [*operators, _operator(4, "DELEGATE", [0, 8, 9], [4])]
    assert describe_delegation(whole) == "XNNPACK: 4 of 4 operators, in 1 part"
    first, second = _operator(4, "DELEGATE", [0, 8], [1]), _operator(5, "DELEGATE", [2, 9], [4])
    assert describe_delegation([*operators, first, second]) == (
        "XNNPACK: 3 of 4 operators, in 2 parts; not PAD (1)"
    )
    assert left_operators(operators) == ("CONV_2D", "PAD", "CONV_2D", "ADD")
    assert left_operators(whole) == ()
    assert left_operators([*operators, first, second]) == ("PAD",)


def test_an_interpreter_that_does_not_list_its_operators(exported, monkeypatch) -> None:
    from ai_edge_litert.interpreter import Interpreter

    monkeypatch.delattr(Interpreter, "_get_ops_details")
    provider = open_runtime(exported.artifact("fp32.tflite"), threads=1).provider
    assert (provider.used, provider.left) == ("", None)


def test_a_saved_model_answers_in_its_own_process(
    exported, answers_elsewhere: Callable[..., tuple[str, np.ndarray]], tmp_path: Path
) -> None:
    title, answers = answers_elsewhere(
        sys.executable, exported.folder / "saved_model", exported.pictures, tmp_path
    )
    np.testing.assert_allclose(answers, exported.expected, atol=1e-5)
    assert title.startswith("TensorFlow 2.")


def test_a_saved_model_where_tensorflow_has_started(exported) -> None:
    artifact = exported.artifact("saved_model")
    with pytest.raises(InferenceError) as caught:
        open_runtime(artifact, threads=1)
    assert str(caught.value) == (
        f"{artifact.path}: TensorFlow has started in this process with other thread counts; "
        "expected to set 1; open a SavedModel in a process of its own"
    )


@pytest.mark.parametrize("name", ["fp32.tflite", "int8_full.tflite", "fp32.onnx"])
def test_a_prepared_call_runs_again_and_again(exported, name: str) -> None:
    runtime = open_runtime(exported.artifact(name), threads=1)
    call = runtime.prepare(exported.pictures[0])
    first = np.array(call())
    runtime.infer(exported.pictures[1:2])
    np.testing.assert_array_equal(np.array(call()), first)


def test_integer_answers_become_probabilities(exported) -> None:
    runtime = open_runtime(exported.artifact("int8_full.tflite"), threads=1)
    answers = runtime.infer(exported.pictures)
    np.testing.assert_array_equal(answers * 256, np.round(answers * 256))
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=0.02)


def test_no_pictures_no_answers(exported) -> None:
    runtime = open_runtime(exported.artifact("fp32.onnx"), threads=1)
    assert runtime.infer(exported.pictures[:0]).shape == (0, 4)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.zeros((24, 20, 3), np.uint8), "uint8 (24, 20, 3)"),
        (np.zeros((20, 24, 3), np.float32), "float32 (20, 24, 3)"),
        (np.zeros((20, 24), np.uint8), "uint8 (20, 24)"),
    ],
)
def test_another_picture_than_the_file_takes(exported, picture: np.ndarray, words: str) -> None:
    runtime = open_runtime(exported.artifact("fp32.tflite"), threads=1)
    expected = f"fp32.tflite: got a picture of {words}; expected uint8 (20, 24, 3)"
    with pytest.raises(InferenceError) as caught:
        runtime.infer(picture[np.newaxis])
    assert str(caught.value) == expected
    with pytest.raises(InferenceError) as caught:
        runtime.prepare(picture)
    assert str(caught.value) == expected


class _Fake(Runtime):
    def __init__(self, artifact: Artifact, answer: np.ndarray) -> None:
        super().__init__(Loading(artifact, runtimes_for(Format.ONNX)[0], onnxruntime, 1))
        self._answer = answer

    def _run(self, batch: np.ndarray) -> np.ndarray:
        return self._answer


def test_an_answer_of_another_shape(exported) -> None:
    runtime = _Fake(exported.artifact("fp32.onnx"), np.zeros((1, 3), np.float32))
    with pytest.raises(InferenceError) as caught:
        runtime.infer(exported.pictures)
    assert str(caught.value) == (
        "fp32.onnx: answered with shape (1, 3); expected (1, 4); the file does not fit its "
        "sidecar; export it again"
    )


def test_not_a_number_stays_so(exported) -> None:
    runtime = _Fake(exported.artifact("fp32.onnx"), np.full((1, 4), np.nan, np.float32))
    assert np.isnan(runtime.infer(exported.pictures)).all()


@pytest.mark.parametrize("name", ["fp32.tflite", "int8.tflite", "fp32.onnx"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_truncated_file(exported, seal: Seal, tmp_path: Path, name: str, share: float) -> None:
    """Its sidecar fits, so nothing but the runtime can notice."""
    data = (exported.folder / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * share)])
    artifact = seal(path)
    with pytest.raises(InferenceError) as caught:
        open_runtime(artifact, threads=1)
    assert re.fullmatch(
        rf"(?s){re.escape(str(path))}: (LiteRT|onnxruntime) \S+ refuses the file: .*; it is "
        "damaged or needs a newer runtime; export it again or update the runtime",
        str(caught.value),
    )


def test_a_saved_model_without_its_graph(
    exported, seal: Seal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "saved_model"
    shutil.copytree(exported.folder / "saved_model", path)
    (path / "saved_model.pb").unlink()
    monkeypatch.setattr(
        tf.config.threading, "set_intra_op_parallelism_threads", lambda threads: None
    )
    monkeypatch.setattr(
        tf.config.threading, "set_inter_op_parallelism_threads", lambda threads: None
    )
    with pytest.raises(InferenceError, match=r"refuses the folder: .*; export it again$"):
        open_runtime(seal(path), threads=1)


def test_a_file_of_another_input_type(exported, seal: Seal, tmp_path: Path) -> None:
    path = tmp_path / "fp32.tflite"
    shutil.copy(exported.folder / "fp32.tflite", path)
    with pytest.raises(InferenceError) as caught:
        open_runtime(seal(path, input_dtype="uint8"), threads=1)
    assert str(caught.value) == (f"{path}: takes float32, its sidecar says uint8; export it again")


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Make importing these fail, however it is asked for."""
    plain_import, plain_module = builtins.__import__, importlib.import_module

    def refuse(name: str) -> None:
        if name.partition(".")[0] in packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def hidden_import(name: str, *rest: object) -> object:
        refuse(name)
        return plain_import(name, *rest)

    def hidden_module(name: str, package: str | None = None) -> object:
        refuse(name)
        return plain_module(name, package)

    monkeypatch.setattr(builtins, "__import__", hidden_import)
    monkeypatch.setattr(importlib, "import_module", hidden_module)


@pytest.mark.parametrize(
    ("name", "packages", "message"),
    [
        (
            "fp32.tflite",
            ("ai_edge_litert", "tflite_runtime", "tensorflow"),
            "no runtime for .tflite files is installed; expected one of LiteRT, tflite-runtime, "
            "TensorFlow Lite; run `pip install ai-edge-litert`, or `pip install tflite-runtime "
            "'numpy<2'` on old boards",
        ),
        (
            "fp32.onnx",
            ("onnxruntime",),
            "onnxruntime is not installed; expected it for .onnx files; "
            "run `pip install onnxruntime`",
        ),
        (
            "saved_model",
            ("tensorflow",),
            "TensorFlow is not installed; expected it for SavedModel; run `pip install tensorflow`",
        ),
    ],
)
def test_a_missing_runtime(
    exported,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    packages: tuple[str, ...],
    message: str,
) -> None:
    artifact = exported.artifact(name)
    hide(monkeypatch, *packages)
    with pytest.raises(RuntimeMissingError) as caught:
        open_runtime(artifact, threads=1)
    assert str(caught.value) == message


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_the_next_best_tflite_runtime(exported, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "ai_edge_litert", "tflite_runtime")
    runtime = open_runtime(exported.artifact("fp32.tflite"), threads=1)
    assert runtime.title == f"TensorFlow Lite {tf.__version__}"


def test_an_artifact_with_more_labels_than_answers(exported) -> None:
    artifact = exported.artifact("fp32.tflite")
    sidecar = dataclasses.replace(artifact.sidecar, labels=("a", "b", "c", "d", "e"))
    runtime = open_runtime(dataclasses.replace(artifact, sidecar=sidecar), threads=1)
    with pytest.raises(InferenceError, match=r"answered with shape \(1, 4\); expected \(1, 5\)"):
        runtime.infer(exported.pictures[:1])


def test_an_error_of_the_runtime_while_it_answers(exported, monkeypatch) -> None:
    runtime = open_runtime(exported.artifact("fp32.tflite"), 1)

    def fail(batch: np.ndarray) -> np.ndarray:
        raise RuntimeError("Node number 3 (CONV_2D) failed to invoke.\nmore")

    monkeypatch.setattr(runtime, "_run", fail)
    picture = np.zeros((20, 24, 3), np.uint8)
    words = r"cannot run the file: Node number 3 \(CONV_2D\) failed to invoke\.; it is damaged or"
    with pytest.raises(InferenceError, match=words):
        runtime.infer(picture[np.newaxis])
    with pytest.raises(InferenceError, match=words):
        runtime.prepare(picture)()


@pytest.mark.parametrize("name", ["fp32.tflite", "fp32.onnx"])
def test_a_tensor_whose_name_is_no_text(exported, seal: Seal, tmp_path: Path, name: str) -> None:
    """The runtimes read it, and fail only as Python asks for it."""
    data = exported.artifact(name).path.read_bytes()
    assert b"image" in data
    path = tmp_path / name
    path.write_bytes(data.replace(b"image", b"im\xffge"))
    expected = (
        r"refuses the file: 'utf-8' codec can't decode byte 0xff in position 2: invalid start "
        r"byte; it is damaged or needs a newer runtime; export it again or update the runtime$"
    )
    with pytest.raises(InferenceError, match=expected):
        open_runtime(seal(path), 1)
