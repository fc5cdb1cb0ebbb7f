from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from resnet_edge.diagnosis import diagnose, diagnosis_rows
from resnet_edge.diagnosis.diagnosis import NEWEST_PYTHON, OLDEST_PYTHON
from resnet_edge.diagnosis.packages import NEEDS
from resnet_edge.diagnosis.sources import MachineSources
from resnet_edge.ondevice.json_records import to_json

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"
CPUINFO = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\nflags\t\t: fpu avx avx2 fma f16c\n\n"
INSTALLED = {need.package: "9.9.9" for need in NEEDS if need.required}


def no_command(command: tuple[str, ...]) -> str:
    raise FileNotFoundError(command[0])


def one_gpu(command: tuple[str, ...]) -> str:
    assert command[0] == "nvidia-smi"
    return "NVIDIA H200, 143771 MiB, 580.65.06\n"


@pytest.fixture
def healthy(tmp_path: Path) -> MachineSources:
    cpuinfo, meminfo = tmp_path / "cpuinfo", tmp_path / "meminfo"
    cpuinfo.write_text(CPUINFO, encoding="utf-8")
    meminfo.write_text("MemTotal:       16000000 kB\nMemFree: 1 kB\n", encoding="utf-8")
    return MachineSources(
        cpuinfo=cpuinfo,
        meminfo=meminfo,
        memory_limit=tmp_path / "none",
        tegra_release=tmp_path / "none",
        architecture="x86_64",
        python=(3, 12),
        version=INSTALLED.get,
        requirements=lambda package: (),
        run=no_command,
        environment={},
    )


def replace(sources: MachineSources, **changes: object) -> MachineSources:
    return MachineSources(**{**sources.__dict__, **changes})


def test_a_healthy_machine(healthy: MachineSources, tmp_path: Path) -> None:
    found = diagnose(tmp_path / "not" / "yet", healthy)
    assert found.problems == ()
    assert found.processor == "AMD EPYC 7B13"
    assert found.cpu_features == ("avx", "avx2", "fma", "f16c")
    assert found.memory_bytes == 16_000_000 * 1024
    assert found.disk_free_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    assert found.gpu.summary == "no GPU found"
    assert found.onednn.on


def test_rows_for_people(healthy: MachineSources) -> None:
    rows = diagnosis_rows(diagnose(Path(), healthy))
    texts = dict(rows)
    assert texts["Processor"] == "AMD EPYC 7B13"
    assert texts["Memory"] == "16.4 GB"
    assert texts["tensorflow"] == "9.9.9"
    assert texts["jax"] == (
        "not installed, optional: the reference on another Keras backend (KERAS_BACKEND=jax); "
        "run `pip install jax`"
    )
    assert rows[-1] == ("Problems", "none")


def test_problems_come_last(healthy: MachineSources) -> None:
    rows = diagnosis_rows(diagnose(Path(), replace(healthy, python=(3, 9))))
    assert rows[-1] == (
        "Problem 1",
        "Python 3.9: expected 3.11 to 3.13; make the environment with one of these",
    )


def test_json_for_machines(healthy: MachineSources) -> None:
    data = json.loads(json.dumps(to_json(diagnose(Path(), healthy)), allow_nan=False))
    assert data["packages"][0]["name"] == "numpy"
    assert data["onednn"] == {
        "on": True,
        "reason": "on in training: resnet-edge sets TF_ENABLE_ONEDNN_OPTS=1",
    }
    assert data["problems"] == []


@pytest.mark.parametrize(
    ("value", "on", "reason"),
    [
        ("1", True, "on: TF_ENABLE_ONEDNN_OPTS=1 in this environment"),
        (
            "0",
            False,
            "off: TF_ENABLE_ONEDNN_OPTS=0 in this environment; training on a CPU can be three "
            "times slower; unset it",
        ),
    ],
)
def test_onednn_of_the_environment(
    healthy: MachineSources, value: str, on: bool, reason: str
) -> None:
    sources = replace(healthy, environment={"TF_ENABLE_ONEDNN_OPTS": value})
    found = diagnose(Path(), sources).onednn
    assert (found.on, found.reason) == (on, reason)


def test_a_gpu_without_cuda_libraries(healthy: MachineSources) -> None:
    found = diagnose(Path(), replace(healthy, run=one_gpu))
    assert found.gpu.summary == "NVIDIA H200, 140 GiB, driver 580.65.06"
    assert len(found.problems) == 1
    assert found.problems[0].endswith("run `pip install 'resnet-edge[cuda]'`")


def test_a_gpu_with_cuda_libraries(healthy: MachineSources) -> None:
    packages = {**INSTALLED, "nvidia-cudnn-cu12": "9.3.0"}
    found = diagnose(Path(), replace(healthy, run=one_gpu, version=packages.get))
    assert found.problems == ()


def test_a_broken_driver_is_a_problem(healthy: MachineSources) -> None:
    def hang(command: tuple[str, ...]) -> str:
        raise subprocess.TimeoutExpired(command, 5)

    found = diagnose(Path(), replace(healthy, run=hang))
    assert found.problems == ("nvidia-smi gave no answer in 5 s; the driver may hang; reboot",)


def test_little_memory_and_disk(
    healthy: MachineSources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("2000000000\n", encoding="utf-8")
    usage = shutil.disk_usage(tmp_path)._replace(free=500_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    found = diagnose(tmp_path, replace(healthy, memory_limit=limit))
    assert found.memory_bytes == 2_000_000_000
    assert found.problems == (
        "2.0 GB of memory; expected 4 GB for training and export; use a smaller --image-size, "
        "or train elsewhere",
        f"0.5 GB free in {tmp_path}; expected 2 GB for a whole run; "
        "choose another folder with --out",
    )


def test_nothing_known(
    healthy: MachineSources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise OSError("no such device")

    monkeypatch.setattr(shutil, "disk_usage", fail)
    gone = tmp_path / "none"
    found = diagnose(tmp_path, replace(healthy, cpuinfo=gone, meminfo=gone))
    texts = dict(diagnosis_rows(found))
    assert texts["CPU features"] == "not known here"
    assert texts["Memory"] == "not known here"
    assert texts["Free disk"] == f"not known in {tmp_path}"


def test_this_machine_can_be_diagnosed() -> None:
    found = diagnose()
    assert found.cores >= 1
    assert any(package.name == "numpy" and package.version for package in found.packages)


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from resnet_edge.diagnosis import diagnose; diagnose(); "
        "print([m for m in ('numpy', 'PIL', 'tensorflow', 'keras', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_table_fits_the_project() -> None:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    wanted = {entry.split(">")[0].split("=")[0] for entry in project["dependencies"]}
    assert {need.package for need in NEEDS if need.required} == wanted
    oldest, after = ".".join(map(str, OLDEST_PYTHON)), f"3.{NEWEST_PYTHON[1] + 1}"
    assert project["requires-python"] == f">={oldest},<{after}"
