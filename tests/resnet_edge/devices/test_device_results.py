"""Results of devices: checked, kept, and merged into the report."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hand_made import changed_gates

from resnet_edge.devices.device_results import keep_device_result
from resnet_edge.errors import ArtifactError, ReferenceFileError
from resnet_edge.ondevice.command.device_result import DeviceResult, Unmeasured, device_path
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.sidecar import load_artifacts
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.measurements import (
    BenchResult,
    Browser,
    GateResult,
    ParityResult,
    Verdict,
)
from resnet_edge.ondevice.reference_file import read_reference
from resnet_edge.options import Options
from resnet_edge.steps.device_sections import read_devices
from resnet_edge.steps.report import report

AGAIN = "; make the bundle again with `resnet-edge bundle` and run it on the device"


@pytest.fixture
def result(options: Options) -> DeviceResult:
    """As if the host's measurements had been made on a board."""
    layout = options.layout
    parity = read_record(ParityResult, layout.parity, ArtifactError)
    bench_file = layout.results / f"bench-{describe_machine({}).host}.json"
    bench = read_record(BenchResult, bench_file, ArtifactError)
    board = replace(bench.machine, host="pi", processor="Arm Cortex-A76", cores=4)
    return DeviceResult(
        bundle_sha256="ef" * 32,
        pictures=read_reference(layout.reference).info.hashes,
        parity=parity,
        bench=replace(bench, machine=board),
        left_out=(),
        failed=(),
        emulated=False,
    )


@pytest.fixture
def keep(options: Options, tmp_path: Path) -> Callable[[DeviceResult], Path]:
    def write(result: DeviceResult) -> Path:
        write_record(tmp_path / "result.json", result)
        return keep_device_result(options.layout, tmp_path / "result.json")

    return write


def test_a_result_is_kept_and_merged(options: Options, result, keep, recorder):
    assert keep(result) == device_path(options.layout.results, result)
    written = report(options, recorder)
    assert recorder.warned == []
    (device,) = json.loads(written.json.read_text())["devices"]
    assert device["machine"]["host"] == "pi"
    assert device["images"] == result.parity.images
    assert [a["name"] for a in device["artifacts"]] == list(options.formats)
    host = json.loads(written.json.read_text())["artifacts"][0]
    assert device["artifacts"][0] == host
    for path in (written.html, written.markdown):
        assert "Arm Cortex-A76, 4 cores" in path.read_text(), path


def test_a_browser_is_to_measure_again(result, keep):
    browser = Browser("Firefox", "153.0", "Linux", "…", True, True, True, "", 2e-5, ())
    other = replace(result.parity, model_sha256="ab" * 32)
    with pytest.raises(ArtifactError, match=r"; measure again with `resnet-edge browser`$"):
        keep(replace(result, parity=other, browser=browser))


def test_the_same_device_again_takes_its_place(options: Options, result, keep):
    keep(result)
    keep(replace(result, emulated=False, bundle_sha256="aa" * 32))
    (section,) = read_devices(options.layout, load_artifacts(options.layout.artifacts)).sections
    assert section.bundle_sha256 == "aa" * 32


def test_what_fails_on_a_device_fails(options: Options, result, keep):
    gate = GateResult(Verdict.FAIL, "p90 90 ms (at most 50 ms wanted)")
    slow = replace(result.bench.artifacts[0], gate=gate)
    bench = replace(result.bench, artifacts=(slow, *result.bench.artifacts[1:]))
    keep(replace(result, bench=bench))
    content = report(options).content
    assert content.verdict is Verdict.FAIL
    assert "Failed on a device: pi." in (options.out / "report.md").read_text()


@pytest.mark.parametrize("emulated", [False, True])
def test_other_gates_judge_what_a_device_saved(options: Options, result, keep, emulated):
    keep(replace(result, emulated=emulated))
    changes = changed_gates(int8_accuracy=1e-9, confidence=0.99, max_p90_ms=1e-6)
    (section,) = report(options, None, changes).content.devices
    by_default = {row.name: row.accuracy_gate for row in section.artifacts}
    assert by_default["fp32.tflite"].verdict is Verdict.PASS
    limits = [row.latency_gate.verdict for row in section.artifacts]
    assert set(limits) == ({Verdict.NOT_CHECKED} if emulated else {Verdict.FAIL})


def test_nan_fails_whatever_the_device_says(options: Options, result, keep):
    worthless = replace(result.parity.artifacts[0], sqnr_db=math.nan)
    parity = replace(result.parity, artifacts=(worthless, *result.parity.artifacts[1:]))
    keep(replace(result, parity=parity))
    written = report(options)
    verdict = json.loads(written.json.read_text())["devices"][0]["artifacts"][0]["verdict"]
    assert verdict["overall"] == "fail"


def test_what_crashed_there_and_what_was_left_out(options: Options, result, keep):
    crashed = Unmeasured("int8.tflite", "int8.tflite: the process was killed by SIGKILL")
    gone = Unmeasured("fp32.onnx", "no runtime for onnx files is installed here")
    parity = replace(result.parity, artifacts=result.parity.artifacts[:1])
    bench = replace(result.bench, artifacts=result.bench.artifacts[:1])
    keep(replace(result, parity=parity, bench=bench, failed=(crashed,), left_out=(gone,)))
    written = report(options)
    (device,) = json.loads(written.json.read_text())["devices"]
    assert device["verdict"] == "fail"
    assert device["failed"] == [{"name": "int8.tflite", "reason": crashed.reason, "runtime": None}]
    assert device["left_out"] == [{"name": "fp32.onnx", "reason": gone.reason, "runtime": None}]
    for path in (written.html, written.markdown):
        assert "the process was killed by SIGKILL" in path.read_text()
        assert "no runtime for onnx files is installed here" in path.read_text()


def test_what_was_changed_on_its_way(options: Options, result, keep):
    fewer = replace(result, pictures=result.pictures[1:])
    with pytest.raises(ArtifactError, match=r"\d+ answers for \d+ pictures; it was changed after"):
        keep(fewer)
    named = replace(result.bench.artifacts[0], name="../../x")
    bench = replace(result.bench, artifacts=(named,))
    with pytest.raises(ArtifactError, match=r"'../../x' is no artifact's name; it was changed"):
        keep(replace(result, bench=bench))


def test_of_another_model(options: Options, result, keep, recorder):
    other = replace(result, parity=replace(result.parity, model_sha256="cd" * 32))
    with pytest.raises(
        ArtifactError, match=r"result.json: it is of model cdcdcdcdcdcdcdcd…, this "
    ):
        keep(other)
    write_record(device_path(options.layout.results, other), other)
    assert report(options, recorder).content.devices == ()
    (warning,) = recorder.warned
    assert "is left out: it is of model cdcdcdcdcdcdcdcd…, this build of " in warning
    assert warning.endswith(AGAIN)
    assert warning in (options.out / "report.md").read_text().replace("\\_", "_").replace(
        "\\`", "`"
    )


def test_of_other_pictures(options: Options, result, keep, recorder):
    other = replace(result, pictures=("0" * 64, *result.pictures[1:]))
    count = len(result.pictures)
    with pytest.raises(ReferenceFileError) as caught:
        keep(other)
    expected = f"1 of its {count} pictures are not of this build's test split{AGAIN}"
    assert str(caught.value).endswith(expected)
    write_record(device_path(options.layout.results, other), other)
    report(options, recorder)
    assert expected in recorder.warned[0]


def test_against_another_reference(options: Options, result, keep):
    other = replace(result, parity=replace(result.parity, reference_sha256="cd" * 32))
    ours = hash_path(options.layout.reference)[:16]
    with pytest.raises(ReferenceFileError) as caught:
        keep(other)
    assert str(caught.value).endswith(
        f"it was compared with reference cdcdcdcdcdcdcdcd…, this build's is {ours}…{AGAIN}"
    )


def test_without_a_reference(options: Options, result, keep):
    options.layout.reference.unlink()
    with pytest.raises(
        ReferenceFileError, match=r"there is no reference.npz to hold it against; r"
    ):
        keep(result)


def test_an_artifact_that_was_exported_anew(options: Options, result, keep, recorder):
    stale = replace(result.parity.artifacts[0], sha256="cd" * 32)
    path = keep(
        replace(
            result, parity=replace(result.parity, artifacts=(stale, *result.parity.artifacts[1:]))
        )
    )
    (section,) = report(options, recorder).content.devices
    assert [row.name for row in section.artifacts] == list(options.formats[1:])
    assert recorder.warned == [
        f"{path.name}: fp32.tflite left out: exported anew since the bundle was made; make it "
        "again and run it on the device"
    ]


def test_a_damaged_file_among_the_results_is_an_error(options: Options):
    (options.layout.results / "device-pi.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"device-pi.json: not JSON"):
        report(options)


def test_there_and_back_by_the_command_line(options: Options, tmp_path: Path, cli):
    """The report takes the file that a bundle writes."""
    quick = ("--min-seconds", "0.02", "--min-queries", "4", "--threads", "1")
    done = subprocess.run(
        [
            *(sys.executable, str(options.layout.bundle), "run", *quick),
            *("--allow-inconclusive", "--out", str(tmp_path / "r.json")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ran = cli(
        *("report", "--out", options.out, "--device", tmp_path / "r.json", "--allow-inconclusive")
    )
    assert ran.code == 0, ran.err
    assert len(list(options.layout.results.glob("device-*.json"))) == 1
    (device,) = json.loads((options.out / "report.json").read_text())["devices"]
    assert [a["name"] for a in device["artifacts"]] == list(options.formats)
    ran = cli("report", "--out", options.out, "--device", options.layout.parity)
    assert ran.code == 1
    assert "parity.json: not a device's result; expected what `python3 resnet-edge-de" in ran.err
