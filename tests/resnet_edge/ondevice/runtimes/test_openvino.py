"""OpenVINO where it is installed; without it, what is said instead."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from resnet_edge.errors import InferenceError, RuntimeMissingError
from resnet_edge.ondevice.measurements import Provider
from resnet_edge.ondevice.runtimes import kinds
from resnet_edge.ondevice.runtimes.opening import open_runtime


@pytest.fixture(autouse=True)
def one_runtime_for_onnx() -> None:
    """Here all rows count."""


def test_without_it_the_message_has_the_install_line(exported, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # its import fails
    expected = r"^OpenVINO is not installed; expected it .*; run `pip install openvino`$"
    with pytest.raises(RuntimeMissingError, match=expected):
        open_runtime(exported.artifact("fp32.onnx"), 1, "OpenVINO")


def test_it_is_taken_by_default_where_there_is_nothing_else(exported, monkeypatch) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install openvino")
    alone = tuple(kind for kind in kinds.RUNTIME_KINDS if kind.name == "OpenVINO")
    monkeypatch.setattr(kinds, "RUNTIME_KINDS", alone)
    assert open_runtime(exported.artifact("fp32.onnx"), 1).name == "OpenVINO"


class TestInstalled:
    """Tests that need the package itself."""

    @pytest.fixture(autouse=True)
    def openvino(self) -> None:
        pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install openvino")

    def test_answers_equal_the_model(self, exported) -> None:
        runtime = open_runtime(exported.artifact("fp32.onnx"), 2, "OpenVINO")
        answers = runtime.infer(exported.pictures)
        assert (answers.dtype, answers.shape) == (np.float32, (8, 4))
        # Float32 also where the processor has bfloat16, whose answers differ by 1e-2.
        np.testing.assert_allclose(answers, exported.expected, atol=1e-5)
        assert re.fullmatch(r"OpenVINO \d+\.\d+\.\d+\S*", runtime.title)
        assert runtime.provider == Provider("CPU", "CPU", ())

    def test_answers_do_not_share_memory(self, exported) -> None:
        runtime = open_runtime(exported.artifact("fp32.onnx"), 1, "OpenVINO")
        one, other = exported.pictures[0], 255 - exported.pictures[0]
        both = runtime.infer(np.stack([one, other]))
        np.testing.assert_array_equal(both[0], runtime.infer(one[np.newaxis])[0])
        assert not np.array_equal(both[0], both[1])

    def test_a_damaged_file_is_named(self, exported, tmp_path, seal) -> None:
        path = tmp_path / "fp32.onnx"
        path.write_bytes(b"no protobuf at all")
        with pytest.raises(
            InferenceError, match=r"fp32.onnx: OpenVINO .* refuses the file: .+; it"
        ):
            open_runtime(seal(path), 1, "OpenVINO")
