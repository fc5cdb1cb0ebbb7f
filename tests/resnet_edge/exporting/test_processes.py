from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_edge.display import Silent
from resnet_edge.errors import InferenceError, ModelError, OutputError, UsageError, WorkerError
from resnet_edge.exporting import processes, trial
from resnet_edge.exporting.failures import one_error
from resnet_edge.exporting.inputs import describe_inputs
from resnet_edge.exporting.job import ExportInputs, ExportJob
from resnet_edge.inspection.model_description import describe_model
from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.options import Options
from resnet_edge.steps.choose_pictures import find_calibration

CopyingWorker = Callable[[str], tuple[str, ...]]


@pytest.fixture
def inputs(options: Options, tmp_path) -> ExportInputs:
    """Those of the finished build; what is made goes to another folder."""
    source = options.layout.model
    info = describe_model(
        source, options.data.fit, options.model.preprocessing, options.model.labels
    )
    found = describe_inputs(options, source, info, find_calibration(options, info.labels, Silent()))
    return replace(found, artifacts=tmp_path / "artifacts")


@pytest.fixture
def broken(inputs: ExportInputs) -> ExportJob:
    """A job whose model is gone."""
    gone = replace(inputs, model=Path("/gone.keras"))
    return ExportJob(gone, Format.ONNX, ("fp32.onnx",), {})


def test_a_failing_worker_is_one_message(broken: ExportJob):
    with pytest.raises(UsageError, match=r"^/gone.keras: no such file; expected a .keras model"):
        processes.convert((broken,), Silent())


def test_a_killed_worker_is_one_message(broken: ExportJob, monkeypatch):
    killed = (sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
    monkeypatch.setattr(processes, "WORKER", killed)
    lost = processes.convert((broken,), Silent())
    assert isinstance(lost["fp32.onnx"], WorkerError)
    expected = r"^fp32.onnx: the process was killed by SIGKILL, most likely because memory ran out"
    with pytest.raises(WorkerError, match=expected):
        raise one_error(lost)


def test_parts_of_a_killed_worker_are_removed(broken: ExportJob):
    part, folder = (
        broken.inputs.artifacts / ".fp32.onnx.1.part",
        broken.inputs.artifacts / ".saved_model.2.part",
    )
    folder.mkdir(parents=True)
    part.write_bytes(b"half")
    (broken.inputs.artifacts / "fp16.onnx").write_bytes(b"whole")
    with pytest.raises(UsageError):
        processes.convert((broken,), Silent())
    assert [path.name for path in broken.inputs.artifacts.iterdir()] == ["fp16.onnx"]


@pytest.mark.parametrize(
    ("free", "cores", "expected"),
    [(None, 2, 1), (6 << 30, 2, 1), (7 << 30, 2, 2), (7 << 30, 1, 1)],
)
def test_side_by_side_only_where_there_is_room(monkeypatch, free, cores, expected):
    monkeypatch.setattr(processes, "available_memory_bytes", lambda: free)
    monkeypatch.setattr(processes, "available_cores", lambda: cores)
    assert processes.workers_at_a_time() == expected


QUANTIZES = """
import os, sys, time
from resnet_edge.errors import DataError
from resnet_edge.exporting.job import ExportPlan, ExportResult
from resnet_edge.exporting.quantizing import load_quantized
from resnet_edge.ondevice.workers.serving import serve

def work(plan, reporter):
    (job,) = plan.jobs
    if not job.quantizes:
        load_quantized(job, reporter)
    time.sleep(0.5)
    {deed}
    return ExportResult(())

sys.exit(serve(ExportPlan, work))
"""


@pytest.mark.parametrize("at_a_time", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("deed", "error", "message"),
    [
        ("raise DataError('damaged.jpg: empty')", ModelError, r"^damaged.jpg: empty$"),
        ("os.kill(os.getpid(), 9)", ModelError, r"^the process was killed by SIGKILL, most likely"),
        ("pass", WorkerError, r"quantization-.*.npz: the process that quantizes ended without it"),
    ],
)
def test_a_worker_that_waits_for_the_quantization_ends_with_the_one_that_makes_it(
    inputs: ExportInputs, monkeypatch, at_a_time, deed, error, message
):
    script = QUANTIZES.replace("{deed}", deed)
    monkeypatch.setattr(processes, "WORKER", (sys.executable, "-c", script))
    monkeypatch.setattr(processes, "workers_at_a_time", lambda: at_a_time)
    gone = replace(inputs.for_integers, quantized=inputs.artifacts / "quantization-x.npz")
    inputs = replace(inputs, integer=gone)
    jobs = (
        ExportJob(inputs, Format.TFLITE, (), {}, quantizes=True),
        ExportJob(inputs, Format.ONNX, ("int8.onnx",), {}),
    )
    lost = processes.convert(jobs, Silent())
    assert list(lost) == ["int8.onnx"]
    with pytest.raises(error, match=message):
        raise lost["int8.onnx"]


FULL_DISK = """
import errno, os, runpy

def fsync(file):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

os.fsync = fsync
runpy.run_module("resnet_edge.exporting.worker", run_name="__main__")
"""


def test_a_full_disk_keeps_its_class(inputs: ExportInputs, monkeypatch):
    """The real worker, where the system cannot keep what was written."""
    monkeypatch.setattr(processes, "WORKER", (sys.executable, "-c", FULL_DISK))
    expected = r"fp32.tflite: cannot be written \(No space left on device\); free some space or"
    with pytest.raises(OutputError, match=expected):
        processes.convert((ExportJob(inputs, Format.TFLITE, ("fp32.tflite",), {}),), Silent())
    assert list(inputs.artifacts.iterdir()) == []


def test_a_job_that_makes_nothing_cannot_be_built(inputs: ExportInputs):
    with pytest.raises(ValueError, match=r"^a job of tflite that makes nothing$"):
        ExportJob(inputs, Format.TFLITE, (), {})


@pytest.fixture
def three_files(inputs: ExportInputs) -> tuple[ExportJob, ...]:
    """Jobs for all artifacts of the finished build, one of which was exported before."""
    inputs.artifacts.mkdir()
    for name in ("int8.tflite", "int8.tflite.json"):
        (inputs.artifacts / name).write_text("old")
    return (
        ExportJob(inputs, Format.TFLITE, ("int8.tflite", "fp32.tflite"), {}),
        ExportJob(inputs, Format.ONNX, ("fp32.onnx",), {}),
    )


ENDED = {
    "raise ModelConversionError(\"layer 'stem': no such operator\")": (
        ModelError,
        "int8.tflite: layer 'stem': no such operator; run `resnet-edge export` with --quantization "
        "fast, keep layers in float with --keep-float, or leave it out with --formats",
    ),
    "os.abort()": (
        WorkerError,
        "int8.tflite: the process was killed by SIGABRT; the runtime gave up; it said nothing; run "
        "`resnet-edge export` with --quantization fast, keep layers in float with --keep-float, or "
        "leave it out with --formats",
    ),
}


@pytest.mark.parametrize("deed", ENDED)
def test_what_cannot_be_made_takes_nothing_else_with_it(
    three_files: tuple[ExportJob, ...], copying_worker: CopyingWorker, monkeypatch, recorder, deed
):
    monkeypatch.setattr(processes, "WORKER", copying_worker(deed))
    lost = processes.convert(three_files, recorder)
    kind, message = ENDED[deed]
    with pytest.raises(kind) as caught:
        raise one_error(lost)
    assert str(caught.value) == message
    published = sorted(path.name for path in three_files[0].inputs.artifacts.iterdir())
    expected = ["fp32.onnx", "fp32.onnx.json", "fp32.tflite", "fp32.tflite.json"]
    assert published == expected  # and of int8.tflite not even the old file
    assert set(recorder.said) == {"fp32.tflite written", "fp32.onnx written"}


def test_a_file_that_its_runtime_dies_of_is_not_published(
    three_files: tuple[ExportJob, ...], copying_worker: CopyingWorker, monkeypatch, recorder
):
    monkeypatch.setattr(processes, "WORKER", copying_worker("pass"))
    aborts = (
        "import os, sys\n"
        "from resnet_edge.ondevice.runtimes import tflite\n"
        "def run(self, batch):\n"
        "    sys.stderr.write('boom\\n')\n"
        "    os.abort()\n"
        "tflite.TFLiteRuntime._run = run\n"
        "from resnet_edge.ondevice.parity.answer_worker import main\n"
        "sys.exit(main())\n"
    )
    monkeypatch.setattr(trial, "WORKER", (sys.executable, "-c", aborts))
    lost = processes.convert(three_files, recorder)
    expected = (
        r"^fp32.tflite, int8.tflite: LiteRT cannot run the file: asked for one picture, the "
        r"process was killed by SIGABRT; the runtime gave up; it said last:\n(.*\n)?boom\nthe file "
        r"is not published; leave them out with --formats$"
    )
    with pytest.raises(InferenceError, match=expected):
        raise one_error(lost)
    published = sorted(path.name for path in three_files[0].inputs.artifacts.iterdir())
    assert published == ["fp32.onnx", "fp32.onnx.json"]
    assert recorder.said == ["fp32.onnx written"]


NAN = """
import sys
import numpy
from resnet_edge.ondevice.parity.answer_worker import main
from resnet_edge.ondevice.runtimes import onnx
nan = lambda self, batch: numpy.full((1, 3), numpy.nan, numpy.float32)
onnx.OnnxRuntime._run = nan
sys.exit(main())
"""


def test_a_file_that_answers_nan_is_not_published(
    three_files: tuple[ExportJob, ...], copying_worker: CopyingWorker, monkeypatch
):
    monkeypatch.setattr(processes, "WORKER", copying_worker("pass"))
    monkeypatch.setattr(trial, "WORKER", (sys.executable, "-c", NAN))
    lost = processes.convert(three_files[1:], Silent())
    with pytest.raises(InferenceError) as caught:
        raise one_error(lost)
    assert str(caught.value) == (
        "fp32.onnx: asked for one picture, it answers 3 of 3 probabilities with NaN or infinity; "
        "the file is not published; leave it out with --formats"
    )
