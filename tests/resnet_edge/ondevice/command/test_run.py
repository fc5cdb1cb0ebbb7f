"""The whole runner, out of the archive, in this project's own interpreter."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from resnet_edge.errors import ArtifactError
from resnet_edge.ondevice.command.device_info import DeviceInfo, Failure
from resnet_edge.ondevice.command.device_result import read_device_result
from resnet_edge.ondevice.command.table import result_lines
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.json_records import from_json, read_record
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.measurements import GateResult, ParityResult, Verdict
from resnet_edge.ondevice.reference_file import read_reference

QUICK = ("--min-seconds", "0.02", "--min-queries", "4", "--threads", "1")
NAMES = ["fp32.tflite", "int8.tflite", "fp32.onnx"]


def test_a_run_answers_as_the_host_does(edge_build: Path, whole_bundle: Path, result_path: Path):
    """The whole test split is in the bundle here, so every figure is the host's."""
    result = read_device_result(result_path)
    host = read_record(ParityResult, edge_build / "results" / "parity.json", ArtifactError)
    assert [a.name for a in result.parity.artifacts] == NAMES
    assert result.parity.images == host.images
    assert result.parity.reference_top1 == host.reference_top1
    assert result.parity.reference_sha256 == hash_path(edge_build / "reference.npz")
    for ours, theirs in zip(result.parity.artifacts, host.artifacts, strict=True):
        assert (ours.sha256, ours.top1, ours.agreement, ours.gate) == (
            *(theirs.sha256, theirs.top1, theirs.agreement, theirs.gate),
        )
        assert ours.sqnr_db == pytest.approx(theirs.sqnr_db, abs=0.5)
    assert result.bundle_sha256 == hash_path(whole_bundle)
    assert result.pictures == read_reference(edge_build / "reference.npz").info.hashes
    assert (result.left_out, result.failed) == ((), ())


def test_a_run_measures_latency(result_path: Path):
    result = read_device_result(result_path)
    assert [bench.name for bench in result.bench.artifacts] == NAMES
    for bench in result.bench.artifacts:
        (latency,) = bench.latencies
        assert latency.threads == 1
        assert len(latency.samples_s) >= 4
    assert set(result.machine.runtimes) == {"LiteRT", "onnxruntime"}
    assert result.machine.host == describe_machine({}).host
    assert not result.emulated


def test_progress_by_lines_and_a_table(run_bundle, bundle_path: Path):
    ran = run_bundle(bundle_path, "run", *QUICK, "--artifacts", "int8.tflite", "--out", "r.json")
    assert ran.code == 1  # inconclusive, on so few pictures
    told = [line for line in ran.err.splitlines() if line.startswith("int8.tflite")]
    assert told[0].startswith("int8.tflite: answering ")
    assert told[1].startswith("int8.tflite: inconclusive: top-1 ")
    assert told[2] == "int8.tflite, 1 thread: latency, 0.02 s or more"
    heading, row, last = ran.out.splitlines()
    assert heading.split() == [
        *("artifact", "verdict", "top-1", "agreement", "SQNR", "p50", "/", "p90", "ms", "(threads)")
    ]
    assert row.startswith("int8.tflite  inconclusive  ")
    assert row.endswith("(1)")
    assert last == "result: r.json"
    assert (bundle_path.parent / "r.json").exists()
    written = {path.name for path in bundle_path.parent.iterdir()}
    assert written == {"r.json", bundle_path.name}


def test_the_table_has_a_line_for_every_runtime(result_path: Path):
    result = read_device_result(result_path)
    (parity,) = (a for a in result.parity.artifacts if a.name == "fp32.onnx")
    other = dataclasses.replace(parity, runtime="OpenVINO 7.1", agreement=0.5)
    slow = [
        dataclasses.replace(
            b, latencies=(*b.latencies, dataclasses.replace(b.latencies[0], runtime="OpenVINO"))
        )
        for b in result.bench.artifacts
    ]
    both = dataclasses.replace(
        result,
        parity=dataclasses.replace(result.parity, elsewhere=(other,)),
        bench=dataclasses.replace(result.bench, artifacts=tuple(slow)),
    )
    lines = result_lines(both)
    assert [line.partition("  ")[0] for line in lines[1:]] == [*NAMES, "fp32.onnx in OpenVINO"]
    assert " 50.00%  " in lines[-1]
    assert "(1)" in lines[-1]


def test_the_table_names_a_latency_limit_that_is_not_held(result_path: Path):
    result = read_device_result(result_path)
    gate = GateResult(Verdict.FAIL, "p90 90 ms (at most 50 ms wanted)")
    slow = tuple(dataclasses.replace(bench, gate=gate) for bench in result.bench.artifacts[:1])
    lines = result_lines(
        dataclasses.replace(result, bench=dataclasses.replace(result.bench, artifacts=slow))
    )
    assert lines[1].split()[:2] == ["fp32.tflite", "fail"]
    assert lines[-1] == "fp32.tflite: latency fail: p90 90 ms (at most 50 ms wanted)"


def test_a_latency_limit_that_is_held_proves_no_answers(result_path: Path):
    # The report says the same of such a device: its answers are not checked.
    result = read_device_result(result_path)
    unchecked = GateResult(Verdict.NOT_CHECKED, "not checked: no test split")
    parity, bench = result.parity.artifacts[0], result.bench.artifacts[0]
    parity = dataclasses.replace(parity, gate=unchecked)
    bench = dataclasses.replace(bench, gate=GateResult(Verdict.PASS, "p90 9 ms"))
    lines = result_lines(
        dataclasses.replace(
            result,
            parity=dataclasses.replace(result.parity, artifacts=(parity,)),
            bench=dataclasses.replace(result.bench, artifacts=(bench,)),
        )
    )
    assert lines[1].startswith("fp32.tflite  not checked  ")


def test_a_latency_limit(run_bundle, bundle_path: Path):
    words = ("run", *QUICK, "--artifacts", "fp32.onnx", "--out", "r.json")
    assert run_bundle(bundle_path, *words).code == 0
    assert run_bundle(bundle_path, *words, "--max-p90-ms", "1e-9").code == 1
    gate = read_device_result(bundle_path.parent / "r.json").bench.artifacts[0].gate
    assert gate.verdict is Verdict.FAIL
    assert "at most 1e-09 ms wanted" in gate.reason


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--artifacts", "int8.onnx"),
            "--artifacts: int8.onnx is not in this bundle; "
            "expected some of fp32.tflite, int8.tflite, fp32.onnx",
        ),
        (("--artifacts", ","), "--artifacts: nothing given; leave it out for all that the bundle"),
        (("--threads", "0"), "--threads: got '0'; expected numbers from 1, for instance 1,4"),
        (("--min-seconds", "-1"), "--min-seconds: got -1.0; expected a finite number, 0 or"),
        (
            ("--out", "gone/r.json"),
            "--out: gone/r.json cannot be written; expected a file in a wri",
        ),
        (("--max-p90-ms", "0"), "--max-p90-ms: got 0.0; expected a finite number above 0"),
        (("--min-queries", "x"), "argument --min-queries: invalid int value: 'x'"),
    ],
)
def test_wrong_usage(run_bundle, bundle_path: Path, words, message):
    ran = run_bundle(bundle_path, "run", *words)
    assert ran.code == 2
    assert message in ran.err
    assert [path.name for path in bundle_path.parent.iterdir()] == [bundle_path.name]


def test_no_command_is_wrong_usage(run_bundle, bundle_path: Path):
    ran = run_bundle(bundle_path)
    assert ran.code == 2
    assert "usage: python3 resnet-edge-device.pyz" in ran.err
    assert run_bundle(bundle_path, "--help").code == 0


def test_info(run_bundle, bundle_path: Path):
    ran = run_bundle(bundle_path, "info")
    rows = dict(line.split(":", 1) for line in ran.out.splitlines())
    rows = {label: text.strip() for label, text in rows.items()}
    assert ran.code == 0
    assert rows["numpy"] == np.__version__
    assert rows["TFLite"].startswith("LiteRT ")
    assert rows["ONNX"].startswith("onnxruntime ")
    assert rows["artifacts"].startswith("fp32.tflite (0.0 MB), int8.tflite (0.0 MB), fp32.onnx")
    ran = run_bundle(bundle_path, "info", "--json")
    info = from_json(DeviceInfo, json.loads(ran.out), "info", ArtifactError)
    assert (ran.code, info.numpy, list(info.artifacts)) == (0, np.__version__, NAMES)
    assert [each.format for each in info.formats] == [Format.TFLITE, Format.ONNX]
    assert info.formats[0].runtimes[0] == rows["TFLite"]
    assert {each.install for each in info.formats} == {""}


def test_classify(run_bundle, bundle_path: Path, edge_photos: Path, tmp_path: Path):
    ran = run_bundle(bundle_path, "classify", edge_photos / "red" / "3.png")
    assert ran.code == 0
    assert ran.err.splitlines()[-1].startswith("fp32.tflite, LiteRT ")
    shares, labels = zip(*(line.split() for line in ran.out.splitlines()), strict=True)
    assert set(labels) == {"blue", "green", "red"}
    assert labels[0] == "red"
    assert sum(float(share.rstrip("%")) for share in shares) == pytest.approx(100, abs=0.1)
    from PIL import Image

    np.save(tmp_path / "p.npy", np.asarray(Image.open(edge_photos / "red" / "3.png")))
    words = ("classify", tmp_path / "p.npy", "--artifact", "fp32.onnx")
    assert run_bundle(bundle_path, *words).out.split()[1] == "red"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "p.jpg: cannot be read (No such file or directory)"),
        (b"", "p.jpg: 0 bytes; expected a JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or GIF"),
        (
            b"buy milk",
            "p.jpg: not a picture but a text file; expected a JPEG, PNG, WebP, AVIF, HEIC, TIFF",
        ),
    ],
)
def test_pictures_that_are_none(run_bundle, bundle_path: Path, tmp_path: Path, content, message):
    if content is not None:
        (tmp_path / "p.jpg").write_bytes(content)
    ran = run_bundle(bundle_path, "classify", tmp_path / "p.jpg")
    assert ran.code == 1
    assert message in ran.err
    assert "--skip-unreadable" not in ran.err


def test_arrays_that_are_no_pictures(run_bundle, bundle_path: Path, tmp_path: Path):
    np.save(tmp_path / "p.npy", np.zeros((32, 31, 3), np.uint8))
    ran = run_bundle(bundle_path, "classify", tmp_path / "p.npy")
    assert (ran.code, "p.npy: uint8 (32, 31, 3); expected uint8 (32, 32, 3), raw" in ran.err) == (
        *(1, True),
    )
    (tmp_path / "p.npy").write_bytes(b"no")
    ran = run_bundle(bundle_path, "classify", tmp_path / "p.npy")
    assert ran.code == 1
    assert "p.npy: not a .npy file of pixels" in ran.err


SABOTAGE = """
import os, signal, sys

def read(file, size, original=os.read):
    data = original(file, size)
    if file == 0 and b"int8.tflite" in data:
        {deed}
    return data

if ".{module}" in " ".join(sys.orig_argv):
    os.read = read
"""


def sabotage(folder: Path, module: str, deed: str) -> dict[str, str]:
    """Variables with which a worker of int8.tflite does a deed when it gets its job."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SABOTAGE.format(module=module, deed=deed))
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("module", ["answer_worker", "bench_worker"])
def test_a_worker_that_is_killed_is_named_and_the_others_go_on(
    run_bundle, bundle_path: Path, tmp_path: Path, module
):
    variables = sabotage(tmp_path / "site", module, "os.kill(os.getpid(), signal.SIGKILL)")
    words = ("run", *QUICK, "--allow-inconclusive", "--out", "r.json")
    ran = run_bundle(bundle_path, *words, **variables)
    assert ran.code == 1
    result = read_device_result(bundle_path.parent / "r.json")
    (failed,) = result.failed
    assert failed.name == "int8.tflite"
    assert "the process was killed by SIGKILL, most likely because memory ran out" in failed.reason
    assert failed.runtime == "LiteRT"
    assert f"int8.tflite in LiteRT: failed: {failed.reason.splitlines()[0]}" in ran.out
    assert [bench.name for bench in result.bench.artifacts] == ["fp32.tflite", "fp32.onnx"]
    answered = ["fp32.tflite", "fp32.onnx"] if module == "answer_worker" else NAMES
    assert [parity.name for parity in result.parity.artifacts] == answered
    assert Verdict.FAIL in result.verdicts


def test_a_clock_that_jumps_is_reported_of_its_artifact(
    run_bundle, bundle_path: Path, tmp_path: Path
):
    # The job comes when the worker's modules are loaded: the clock is a default value by then.
    deed = (
        "from resnet_edge.ondevice.latency.measure import measure; ns = iter(range(10**9, 0, -1000)"
        "); measure.__defaults__ = (lambda: next(ns),)"
    )
    variables = sabotage(tmp_path / "site", "bench_worker", deed)
    words = ("run", *QUICK, "--allow-inconclusive", "--out", "r.json")
    assert run_bundle(bundle_path, *words, **variables).code == 1
    (failed,) = read_device_result(bundle_path.parent / "r.json").failed
    assert failed.name == "int8.tflite"
    assert "expected it to go forward; measure on a machine with a sound clock" in failed.reason


def test_too_little_disk(run_bundle, bundle_path: Path, tmp_path: Path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import shutil, collections\n"
        "usage = collections.namedtuple('usage', 'total used free')\n"
        "shutil.disk_usage = lambda _: usage(10**9, 10**9, 1_000_000)\n"
    )
    ran = run_bundle(bundle_path, "run", *QUICK, PYTHONPATH=str(tmp_path / "site"))
    assert ran.code == 1
    assert "1 MB free; expected 17 MB to unpack one artifact and the pictures; free some" in ran.err
    assert not (bundle_path.parent / "device.json").exists()


def test_a_stopped_run_leaves_nothing(bundle_path: Path, tmp_path: Path):
    room = tmp_path / "room"
    room.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(bundle_path), "run", "--min-seconds", "60", "--out", "r.json"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={"TMPDIR": str(room), "PATH": ""},
    )
    assert process.stderr is not None
    line = ""
    while "latency" not in line:
        line = process.stderr.readline()
        assert line, "it ended before it was stopped"
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "interrupted; what was unpacked is removed, nothing was written" in said
    assert list(room.iterdir()) == []
    assert not (tmp_path / "r.json").exists()


def test_what_is_not_installed_is_left_out_by_name(run_bundle, bundle_path: Path, tmp_path: Path):
    hidden = hide(tmp_path / "site", "onnxruntime")
    words = ("run", *QUICK, "--allow-inconclusive", "--out", "r.json")
    ran = run_bundle(bundle_path, *words, **hidden)
    assert ran.code == 0
    result = read_device_result(bundle_path.parent / "r.json")
    (gone,) = result.left_out
    assert gone.name == "fp32.onnx"
    assert (
        gone.reason == "no runtime for onnx files is installed here; run `pip install onnxruntime`"
    )
    assert f"fp32.onnx: left out: {gone.reason}" in ran.out
    assert ran.err.splitlines()[0] == f"fp32.onnx: left out: {gone.reason}"
    ran = run_bundle(bundle_path, *words, "--artifacts", "fp32.tflite,fp32.onnx", **hidden)
    assert ran.code == 1  # it was asked for


def test_no_runtime_at_all(run_bundle, bundle_path: Path, tmp_path: Path):
    hidden = hide(tmp_path / "site", "onnxruntime", "ai_edge_litert", "tensorflow")
    for words in (("run", *QUICK), ("classify", "p.npy")):
        ran = run_bundle(bundle_path, *words, **hidden)
        assert ran.code == 1
        assert "run `pip install ai-edge-litert`" in ran.err
        assert "run `pip install onnxruntime`" in ran.err
    ran = run_bundle(bundle_path, "info", **hidden)
    assert (ran.code, "pip install ai-edge-litert" in ran.out) == (0, True)
    ran = run_bundle(bundle_path, "info", "--json", **hidden)
    info = from_json(DeviceInfo, json.loads(ran.out), "info", ArtifactError)
    assert [each.install for each in info.formats] == ["ai-edge-litert", "onnxruntime"]
    ran = run_bundle(bundle_path, "run", *QUICK, "--json", **hidden)
    failure = from_json(Failure, json.loads(ran.out), "run", ArtifactError)
    assert (failure.exit_code, failure.install) == (ran.code, "ai-edge-litert")
    assert ran.err == f"error: {failure.error}\n"


def test_no_numpy(run_bundle, bundle_path: Path, tmp_path: Path):
    hidden = hide(tmp_path / "site", "numpy")
    ran = run_bundle(bundle_path, "run", **hidden)
    assert ran.code == 1
    assert ran.err == (
        "error: numpy is not installed; expected 1.21 or later; run `pip install numpy`\n"
    )
    ran = run_bundle(bundle_path, "info", "--json", **hidden)
    failure = from_json(Failure, json.loads(ran.out), "info", ArtifactError)
    assert (ran.code, failure.install) == (1, "numpy")


def test_no_pillow(run_bundle, bundle_path: Path, edge_photos: Path, tmp_path: Path):
    hidden = hide(tmp_path / "site", "pillow")
    ran = run_bundle(bundle_path, "classify", edge_photos / "red" / "3.png", **hidden)
    assert ran.code == 1
    assert "Pillow is not installed; run `pip install pillow`, or pass a .npy file of u" in ran.err


def hide(folder: Path, *modules: str) -> dict[str, str]:
    """Variables with which modules cannot be found, nor packages of these names."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import importlib.metadata as metadata, importlib.util as util\n"
        f"hidden = {modules!r}\n"
        "find, version = util.find_spec, metadata.version\n"
        "def none(name, package=None):\n"
        "    return None if name in hidden else find(name, package)\n"
        "def gone(name):\n"
        "    if name in hidden:\n"
        "        raise metadata.PackageNotFoundError(name)\n"
        "    return version(name)\n"
        "util.find_spec, metadata.version = none, gone\n"
    )
    return {"PYTHONPATH": str(folder)}


def test_emulation_is_said(run_bundle, bundle_path: Path):
    words = ("run", *QUICK, "--artifacts", "fp32.onnx", "--emulated", "--out", "r.json")
    ran = run_bundle(bundle_path, *words, "--max-p90-ms", "1e-9")
    assert ran.code == 0
    gate = read_device_result(bundle_path.parent / "r.json").bench.artifacts[0].gate
    assert gate.reason == "not checked: the processor is emulated"
    assert "this processor is emulated: the latencies say nothing of a real one" in ran.out
    assert json.loads((bundle_path.parent / "r.json").read_text())["emulated"] is True
