"""The wheel installs and runs from another folder, with the embedded data in it."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = ("resnet_edge", "converters", "calibration_data", "pyproject.toml", "README.md")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the repository."""
    copy = tmp_path_factory.mktemp("source")
    for name in (*SOURCES, "LICENSE"):
        source = REPOSITORY / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "litert", "ort")  # 80 MB of runtimes
            shutil.copytree(source, copy / name, ignore=ignored)
        elif source.is_file():
            shutil.copy(source, copy)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"],
        cwd=copy,
        check=True,
        capture_output=True,
    )
    (found,) = (copy / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of an environment with the wheel, and this environment's packages."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")),
            *("install", "--no-deps", "--no-index", "--quiet", str(wheel)),
        ],
        check=True,
    )
    here = [path for path in site.getsitepackages() if Path(path).is_dir()]
    # After its own packages: an editable install of the repository there must not win.
    (packages / "others.pth").write_text("\n".join(here) + "\n")
    return folder / "bin" / "resnet-edge"


def run(command: Path, cwd: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(command), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_in_it(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        *(
            "calibration_data/digits.zip",
            "calibration_data/README.md",
            "converters/tflite/conversion.py",
        ),
        *("resnet_edge/reporting/report.html.j2", "resnet_edge/exporting/worker.py"),
        "resnet_edge/devices/browser/page/index.html",
        "resnet_edge/devices/browser/page/page.js",
    ):
        assert name in names
    others = ("tests/", "benchmarks/", "docs/", "web/", "resnet_edge/devices/browser/distribution/")
    assert not [name for name in names if name.startswith(others)]


def test_it_is_the_installed_one_that_runs(installed: Path, tmp_path):
    code = "import resnet_edge, calibration_data, converters; print(resnet_edge.__file__)"
    found = run(installed.parent / "python", tmp_path, "-c", code).strip()
    assert Path(found).is_relative_to(installed.parents[1])


def test_help_and_doctor(installed: Path, tmp_path):
    assert "Photos to proven files" in run(installed, tmp_path, "run", "--help")
    assert json.loads(run(installed, tmp_path, "doctor", "--json"))


def test_embedded_data_are_found_from_another_folder(installed: Path, tmp_path):
    code = (
        "from resnet_edge import Options;"
        "from resnet_edge.display import Silent;"
        "from resnet_edge.steps.choose_pictures import load_photos;"
        "photos = load_photos(Options(), Silent());"
        "print(len(photos.dataset.pictures), *photos.dataset.labels)"
    )
    assert run(installed.parent / "python", tmp_path, "-c", code).split() == [
        *("1797", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    ]


def test_a_whole_run(installed: Path, edge_photos: Path, edge_model: Path, tmp_path, run_arguments):
    """Workers find the package too, and the report its page."""
    words = run_arguments(edge_photos, edge_model, tmp_path / "out")
    run(installed, tmp_path, *words)
    assert (tmp_path / "out" / "report.html").stat().st_size > 1000
    text = run(installed, tmp_path, "inspect", "out/artifacts/int8.tflite")
    assert "blue" in text
