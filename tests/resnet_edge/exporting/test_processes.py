from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_edge.display import Silent
from resnet_edge.errors import UsageError, WorkerError
from resnet_edge.exporting import converting
from resnet_edge.exporting.job import ExportJob
from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.options import Options
from resnet_edge.steps.export import _describe_job


@pytest.fixture
def broken(options: Options, tmp_path) -> ExportJob:
    """A job whose model is gone."""
    job = _describe_job(options, options.layout.model)
    artifacts, model = tmp_path / "artifacts", Path("/gone.keras")
    names = ("fp32.onnx",)
    return replace(job, model=model, artifacts=artifacts, format=Format.ONNX, names=names)


def test_a_failing_worker_is_one_message(broken: ExportJob):
    with pytest.raises(UsageError, match=r"^/gone.keras: no such file; expected a .keras model"):
        converting.convert((broken,), Silent())


def test_a_killed_worker_is_one_message(broken: ExportJob, monkeypatch):
    killed = (sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
    monkeypatch.setattr(converting, "WORKER", killed)
    expected = r"^export-others: the process was killed by SIGKILL, most likely because memory"
    with pytest.raises(WorkerError, match=expected):
        converting.convert((broken,), Silent())


def test_parts_of_a_killed_worker_are_removed(broken: ExportJob):
    part, folder = broken.artifacts / ".fp32.onnx.1.part", broken.artifacts / ".saved_model.2.part"
    folder.mkdir(parents=True)
    part.write_bytes(b"half")
    (broken.artifacts / "fp16.onnx").write_bytes(b"whole")
    with pytest.raises(UsageError):
        converting.convert((broken,), Silent())
    assert [path.name for path in broken.artifacts.iterdir()] == ["fp16.onnx"]


@pytest.mark.parametrize(
    ("free", "cores", "expected"),
    [(None, 2, 1), (6 << 30, 2, 1), (7 << 30, 2, 2), (7 << 30, 1, 1)],
)
def test_side_by_side_only_where_there_is_room(monkeypatch, free, cores, expected):
    monkeypatch.setattr(converting, "available_memory_bytes", lambda: free)
    monkeypatch.setattr(converting, "available_cores", lambda: cores)
    assert converting._side_by_side() == expected
