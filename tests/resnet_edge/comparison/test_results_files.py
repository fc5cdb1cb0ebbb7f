"""Every file and folder that people name by mistake."""

from __future__ import annotations

import json

import pytest
from hand_made import hand_sidecar

from resnet_edge.comparison.results_files import EXPECTED, ResultsKind, read_side
from resnet_edge.errors import InferenceError, UsageError
from resnet_edge.ondevice.command.device_result import DeviceResult
from resnet_edge.ondevice.formats.sidecar import write_sidecar
from resnet_edge.ondevice.json_records import write_record


def test_a_build_folder(
    write_build, answers_of, parity_of, latencies_of, bench_of, latency_of, tmp_path
):
    timed = latencies_of(bench_of("int8.tflite", latency_of(10), size=77))
    build = write_build(tmp_path / "a", parity=answers_of(parity_of("fp32.onnx")), bench_desk=timed)
    side = read_side(build)
    assert [source.kind for source in side.sources] == [ResultsKind.ANSWERS, ResultsKind.LATENCY]
    assert side.names == ("int8.tflite", "fp32.onnx")
    assert side.sizes == {"int8.tflite": 77}
    assert read_side(build / "results").sources == side.sources
    assert side.holds() == (
        "parity.json (answers), bench-desk.json (latencies) of int8.tflite, fp32.onnx"
    )


def test_a_file_is_known_by_its_keys(
    write_build, answers_of, parity_of, latencies_of, bench_of, tmp_path
):
    for name, record, kind in (
        ("x", answers_of(parity_of("fp32.onnx")), ResultsKind.ANSWERS),
        ("y", latencies_of(bench_of("fp32.onnx")), ResultsKind.LATENCY),
    ):
        write_record(tmp_path / name, record)
        side = read_side(tmp_path / name)
        assert ([source.kind for source in side.sources], side.is_file) == ([kind], True)


@pytest.mark.parametrize("emulated", [True, False])
def test_a_devices_result(
    answers_of, parity_of, latencies_of, bench_of, latency_of, tmp_path, emulated
):
    device = DeviceResult(
        bundle_sha256="ab" * 32,
        pictures=(),
        parity=answers_of(parity_of("fp32.onnx")),
        bench=latencies_of(bench_of("fp32.onnx", latency_of(5))),
        left_out=(),
        failed=(),
        emulated=emulated,
    )
    path = tmp_path / "device.json"
    write_record(path, device)
    (source,) = read_side(path).sources
    assert source.kind is ResultsKind.DEVICE
    assert (source.timed is None) is emulated
    assert source.names == ("fp32.onnx",)


def test_results_of_files_that_were_exported_again_are_left_out(
    write_build, answers_of, parity_of, latencies_of, bench_of, latency_of, tmp_path
):
    build = write_build(
        tmp_path / "a",
        parity=answers_of(parity_of("int8.tflite", sha256="new"), parity_of("fp32.onnx")),
        bench_desk=latencies_of(
            bench_of("int8.tflite", latency_of(10), sha256="old"),
            bench_of("fp32.onnx", latency_of(10)),
        ),
    )
    write_sidecar(
        build / "artifacts" / "int8.tflite",
        hand_sidecar("int8.tflite", sha256="new", bytes=9, options={"int8-weights": "7 bits"}),
    )
    side = read_side(build)
    assert [source.names for source in side.sources] == [
        ("int8.tflite", "fp32.onnx"),
        ("fp32.onnx",),
    ]
    assert side.sizes["int8.tflite"] == 9
    assert side.options == {"int8.tflite": {"int8-weights": "7 bits"}}
    assert side.notes == (
        f"{build}/results/bench-desk.json: int8.tflite left out: measured of other bytes than the "
        f"files in {build}/artifacts; measure again",
    )


def test_nothing_there(tmp_path):
    with pytest.raises(UsageError) as caught:
        read_side(tmp_path / "gone")
    assert str(caught.value) == f"{tmp_path}/gone: no such file or folder; {EXPECTED}"


def test_no_results(tmp_path):
    (tmp_path / "results").mkdir()
    with pytest.raises(UsageError) as caught:
        read_side(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: no results here; {EXPECTED}; `resnet-edge parity` and `resnet-edge bench` "
        "write them"
    )


@pytest.mark.parametrize("text", ["{}", "[1, 2]", '{"name": "cat"}', "3"])
def test_a_file_that_is_not_ours(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_side(path)
    assert str(caught.value) == f"{path}: not a result that can be compared; {EXPECTED}"


def test_a_report_has_no_samples(tmp_path):
    path = tmp_path / "report.json"
    path.write_text('{"schema": 1, "made_by": "resnet-edge", "verdict": "pass"}')
    with pytest.raises(
        UsageError, match=r"report.json: a report, without the samples that interva"
    ):
        read_side(path)


def test_no_json(tmp_path):
    path = tmp_path / "parity.json"
    path.write_text("\x7fELF")
    with pytest.raises(UsageError, match=r"parity.json: not JSON, so not a file of results; exp"):
        read_side(path)
    results = tmp_path / "build" / "results"
    results.mkdir(parents=True)
    path.rename(results / "parity.json")
    with pytest.raises(InferenceError, match=r"parity.json: not JSON \(.*\); delete it and run"):
        read_side(tmp_path / "build")


@pytest.mark.parametrize("name", ["parity", "bench_desk"])
def test_a_newer_schema_is_one_clear_message(
    write_build, answers_of, parity_of, latencies_of, bench_of, tmp_path, name
):
    records = {
        "parity": answers_of(parity_of("fp32.onnx")),
        "bench_desk": latencies_of(bench_of("fp32.onnx")),
    }
    build = write_build(tmp_path / "a", **{name: records[name]})
    path = build / "results" / f"{name.replace('_', '-')}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 2, "novelty": 1}))
    with pytest.raises(InferenceError) as caught:
        read_side(build)
    assert str(caught.value) == (
        f"{path}: written by a newer resnet-edge (schema 2; this one reads 1); update resnet-edge"
    )


def test_bits_that_do_not_fit_the_pictures(answers_of, parity_of, tmp_path):
    path = tmp_path / "parity.json"
    write_record(path, answers_of(parity_of("fp32.onnx")))
    data = json.loads(path.read_text())
    data["artifacts"][0]["answers"]["right"] = "ff"
    path.write_text(json.dumps(data))
    with pytest.raises(InferenceError) as caught:
        read_side(path)
    assert str(caught.value) == (
        f"{path}: artifacts[0]: answers: right: 2 hexadecimal digits; expected 100 for 400 pictures"
    )
    data["artifacts"][0]["answers"]["right"] = "xy"
    path.write_text(json.dumps(data))
    with pytest.raises(
        InferenceError, match="right: got 'xy'; expected whole bytes in hexadecimal"
    ):
        read_side(path)
