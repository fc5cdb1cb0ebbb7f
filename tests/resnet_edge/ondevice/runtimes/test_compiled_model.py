"""LiteRT's CompiledModel: the interpreter's answers, where it is asked for and recent enough."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from converters.preprocessing import PREPROCESSINGS
from converters.serving import serving_model
from converters.tflite import conversion as to_tflite
from converters.tflite import flatbuffer
from resnet_edge.errors import InferenceError, RuntimeMissingError, UsageError
from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.measurements import UNNAMED, Provider
from resnet_edge.ondevice.runtimes import compiled_model
from resnet_edge.ondevice.runtimes.installed import check_asked, further_runtimes
from resnet_edge.ondevice.runtimes.kinds import COMPILED_MODEL
from resnet_edge.ondevice.runtimes.opening import open_runtime

SIZE = (20, 24)
TOO_OLD = (
    r"LiteRT-CompiledModel: ai-edge-litert 2\.1\.2 is here; expected 2\.2 or later; "
    r"run `pip install 'ai-edge-litert>=2\.2'`$"
)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "name",
    [
        *("fp32.tflite", "fp16.tflite", "dynamic.tflite"),
        *("int8.tflite", "int8_full.tflite", "int16x8.tflite"),
    ],
)
def test_it_answers_as_the_interpreter_in_every_bit(exported, name: str, threads: int) -> None:
    runtime = open_runtime(exported.artifact(name), threads, COMPILED_MODEL)
    answers = runtime.infer(exported.pictures)
    same = open_runtime(exported.artifact(name), threads, "LiteRT").infer(exported.pictures)
    np.testing.assert_array_equal(answers, same)
    assert (answers.dtype, answers.shape) == (np.float32, (8, 4))
    assert re.fullmatch(r"LiteRT-CompiledModel \d+\.\d+\.\d+\S*", runtime.title)


def test_answers_do_not_share_memory(exported) -> None:
    runtime = open_runtime(exported.artifact("fp32.tflite"), 1, COMPILED_MODEL)
    one, other = exported.pictures[0], 255 - exported.pictures[0]
    both = runtime.infer(np.stack([one, other]))
    np.testing.assert_array_equal(both[0], runtime.infer(one[np.newaxis])[0])
    assert not np.array_equal(both[0], both[1])


def convolution(path: Path) -> Path:
    """Write a file that XNNPACK takes whole."""
    image = keras.Input((*SIZE, 3))
    answer = keras.layers.Dense(4)(keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(image)))
    serving = serving_model(keras.Model(image, answer), PREPROCESSINGS["none"])
    tree = flatbuffer.read_flatbuffer(to_tflite.convert_float32(serving))
    flatbuffer.name_endpoints(tree)
    path.write_bytes(flatbuffer.write_flatbuffer(tree))
    return path


def test_a_file_that_the_delegate_took_whole(seal, tmp_path) -> None:
    artifact = seal(convolution(tmp_path / "fp32.tflite"), size=SIZE)
    assert open_runtime(artifact, 1, "LiteRT").provider.left == ()
    assert open_runtime(artifact, 1, COMPILED_MODEL).provider == compiled_model.placement(True)


def test_a_file_with_operators_that_xnnpack_does_not_take(exported) -> None:
    artifact = exported.artifact("int8.tflite")
    left = open_runtime(artifact, 1, "LiteRT").provider.left
    assert left is not None
    assert "QUANTIZE" in left
    assert open_runtime(artifact, 1, COMPILED_MODEL).provider == compiled_model.placement(False)


def test_its_flag_falls_without_a_delegate(tmp_path) -> None:
    """A flag that were always true would be no proof."""
    api = pytest.importorskip("ai_edge_litert.compiled_model")
    builtin = api.CpuOptions(num_threads=1, kernel_mode=api.CpuKernelMode.BUILTIN)
    path = str(convolution(tmp_path / "fp32.tflite"))
    model = api.CompiledModel.from_file(path, options=api.Options(cpu_options=builtin))
    assert not model.is_fully_accelerated()


def test_its_sentences() -> None:
    asked = "XNNPACK, CompiledModel's CPU accelerator"
    assert compiled_model.placement(True) == Provider(asked, "XNNPACK: all operators", ())
    used = "XNNPACK at most in part; CompiledModel does not name the operators that it left"
    assert compiled_model.placement(False) == Provider(asked, used, (UNNAMED,))


def test_a_damaged_file_is_named(exported, tmp_path, seal) -> None:
    path = tmp_path / "fp32.tflite"
    path.write_bytes(b"no flatbuffer at all")
    with pytest.raises(
        InferenceError, match=r"fp32.tflite: LiteRT-CompiledModel .* refuses the file: .+; it"
    ):
        open_runtime(seal(path), 1, COMPILED_MODEL)


def test_another_input_than_the_sidecars_is_refused(exported, tmp_path, seal) -> None:
    path = tmp_path / "int8.tflite"
    path.write_bytes(exported.artifact("int8.tflite").path.read_bytes())
    artifact = seal(path, input_dtype="float32")
    with pytest.raises(InferenceError, match="takes uint8, its sidecar says float32; export it"):
        open_runtime(artifact, 1, COMPILED_MODEL)


def test_it_counts_only_where_it_is_asked_for() -> None:
    assert further_runtimes(Format.TFLITE) == ()
    assert further_runtimes(Format.TFLITE, (COMPILED_MODEL,)) == (COMPILED_MODEL,)
    check_asked((COMPILED_MODEL,))


def test_an_old_package_does_not_count_and_says_why(exported, monkeypatch) -> None:
    of_old = {"ai-edge-litert": "2.1.2"}
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: of_old.get(name) or version(name)
    )
    assert further_runtimes(Format.TFLITE, (COMPILED_MODEL,)) == ()
    with pytest.raises(RuntimeMissingError, match="^--also-in: " + TOO_OLD):
        check_asked((COMPILED_MODEL,))
    with pytest.raises(RuntimeMissingError, match="^" + TOO_OLD):
        open_runtime(exported.artifact("fp32.tflite"), 1, COMPILED_MODEL)


def test_a_package_that_is_not_there() -> None:
    expected = r"^--also-in: LiteRT-CompiledModel is not installed; run `pip install 'ai-edge-lit"
    with pytest.raises(RuntimeMissingError, match=expected):
        check_asked((COMPILED_MODEL,), lambda module: False)


def test_a_name_that_is_none() -> None:
    with pytest.raises(UsageError, match=r"^--also-in: got ONE; expected one of LiteRT-CompiledM"):
        check_asked(("ONE",))
