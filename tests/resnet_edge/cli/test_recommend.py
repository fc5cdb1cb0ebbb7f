from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hand_device import NAMES, hand_device

from resnet_edge.layout import Layout
from resnet_edge.ondevice.json_records import write_record


@pytest.fixture
def phone(tmp_path, hand_artifact, hand_parity, hand_latency):
    """The folder of a build, and the result of a browser that measured it."""
    layout = Layout(tmp_path / "build")
    for name in NAMES:
        hand_artifact(layout.artifacts, name)
    result = hand_device(layout, hand_parity, hand_latency)
    write_record(tmp_path / "phone.json", result)
    write_record(tmp_path / "emulated.json", replace(result, emulated=True))
    return tmp_path


def test_the_answer_in_words(cli, measured_build):
    ran = cli("recommend", "--out", measured_build.out)
    assert (ran.code, ran.err) == (0, "")
    assert "artifact" in ran.out.splitlines()[1]
    lines = [line.split(maxsplit=1) for line in ran.out.splitlines()]
    assert ["fastest", "int8.onnx"] in [[w.strip() for w in line] for line in lines]
    assert (
        "why       int8.onnx is the fastest: p50 29.5 ms in onnxruntime with 2 threads." in ran.out
    )
    assert "left out  int8_full.tflite: fail: fail by hand" in ran.out


def test_the_answer_as_json(cli, measured_build):
    ran = cli("recommend", "--out", measured_build.out, "--json", "--allow-inconclusive")
    assert (ran.code, ran.err) == (0, "")
    answer = json.loads(ran.out)
    assert (answer["fastest"], answer["smallest"]) == ("int8.onnx", "int8.tflite")
    assert answer["choices"][0]["p50_s"] == 0.0295
    assert [each["name"] for each in answer["left_out"]] == ["int8_full.tflite"]


def test_nothing_to_recommend_is_exit_code_1_with_the_reasons(cli, measured_build):
    words = ("recommend", "--out", measured_build.out, "--formats", "int8_full.tflite")
    ran = cli(*words)
    assert ran.code == 1
    assert ran.out.strip() == "left out  int8_full.tflite: fail: fail by hand"
    assert ran.err == "no artifact can be recommended: none holds its gates here\n"
    ran = cli(*words, "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["left_out"][0]["reason"] == "fail: fail by hand"


def test_a_limit_that_nothing_holds(cli, measured_build):
    ran = cli("recommend", "--out", measured_build.out, "--max-p90-ms", "0.001")
    assert ran.code == 1
    assert "p90 29.5 ms, bound 29.5 ms at 99% confidence (at most 0.001 ms wanted)" in " ".join(
        ran.out.split()
    )


def test_no_parity(cli, measured_build):
    measured_build.parity.unlink()
    ran = cli("recommend", "--out", measured_build.out)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        f"error: {measured_build.parity}: no such file, so nothing is known of the answers; run "
        "`resnet-edge reference` and `resnet-edge parity`, then this again\n"
    )


def test_for_a_device_in_words(cli, phone):
    ran = cli("recommend", "--out", phone / "build", "--on-device", phone / "phone.json")
    assert (ran.code, ran.err) == (0, "")
    words = " ".join(ran.out.split())
    assert "│ int8.tflite │ LiteRT.js wasm │ 4 │ 5.00 / 5.00 │ 24.0 MB │" in words
    assert "fastest int8.tflite smallest int8.tflite" in words
    assert "left out int8.tflite in LiteRT.js WebGPU: load: Shape mismatch" in words
    assert "left out int8.onnx in ORT Web wasm: fail: fail by hand" in words


def test_for_a_device_as_json(cli, phone):
    ran = cli("recommend", "--out", phone / "build", "--on-device", phone / "phone.json", "--json")
    assert (ran.code, ran.err) == (0, "")
    answer = json.loads(ran.out)
    assert (answer["machine"]["host"], answer["fastest"]) == ("phone", "int8.tflite")
    assert answer["choices"][0]["runtime"] == "LiteRT.js wasm"
    assert answer["choices"][0]["queries_per_sample"] == 1


def test_nothing_to_recommend_for_a_device(cli, phone):
    words = ("recommend", "--out", phone / "build", "--on-device", phone / "phone.json")
    ran = cli(*words, "--formats", "int8.onnx")
    assert ran.code == 1
    assert ran.err == "no artifact can be recommended: none holds its gates there (phone)\n"
    assert cli(*words, "--max-p90-ms", "0.001").code == 1


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("gone.json", 2, "error: --on-device: no such file: "),
        ("emulated.json", 1, "error: --on-device: phone was emulated, so its latencies say "),
    ],
)
def test_results_that_nothing_can_be_recommended_by(cli, phone, name, code, words):
    ran = cli("recommend", "--out", phone / "build", "--on-device", phone / name)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith(words)
    assert ran.err.count("\n") == 1
