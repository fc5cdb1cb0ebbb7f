"""The runner's own source files: all of them, and none that a device cannot import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from resnet_edge.imported_sources import imported_sources
from resnet_edge.reference_pack import ENTRY, PACKAGES
from resnet_edge.steps.bundle import DEVICE_ENTRIES

REPOSITORY = Path(__file__).resolve().parents[2]

# Imports every member of the archive, where nothing but these packages can be found, and prints the
# modules of this package that are loaded then, with the files that they are from.
SCRIPT = """
import importlib, importlib.abc, json, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in {"numpy", "PIL", "resnet_edge"} and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"{name} is not on the device", name=name)

sys.meta_path.insert(0, Missing())
for name in sys.argv[1:]:
    importlib.import_module(name)
ours = {name: sys.modules[name].__file__ for name in sys.modules if name.startswith("resnet_edge")}
print(json.dumps(ours))
"""


def module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_the_archive_needs_nothing_beside_it(edge_build: Path, tmp_path: Path):
    archive = edge_build / "resnet-edge-device.pyz"
    names = [module_name(path) for path in imported_sources(DEVICE_ENTRIES)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *names],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(archive)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert sorted(loaded) == sorted(names)
    assert all(path.startswith(f"{archive}/") for path in loaded.values())


def test_the_modules_are_this_packages_own_files(edge_build: Path):
    with zipfile.ZipFile(edge_build / "resnet-edge-device.pyz") as archive:
        for name, path in imported_sources(DEVICE_ENTRIES).items():
            assert path == REPOSITORY / name
            assert archive.read(name) == path.read_bytes()
        start = (REPOSITORY / "resnet_edge/device/start.py").read_bytes()
        assert archive.read("__main__.py") == start


def test_what_is_known_to_be_needed():
    found = imported_sources(DEVICE_ENTRIES)
    for name in (
        *("device/cli", "device/measure", "bench_worker", "answer_worker", "latency", "pictures"),
        *("parity/compare", "parity/metrics", "parity/gates", "runtimes/tflite", "runtimes/onnx"),
        *("__init__", "parity/__init__", "runtimes/__init__"),
    ):
        assert f"resnet_edge/{name}.py" in found
    for name in ("steps/bundle", "report/units", "cli/app", "options", "doctor/sources"):
        assert f"resnet_edge/{name}.py" not in found


def test_one_module_by_its_imports():
    assert {module_name(path) for path in imported_sources(["resnet_edge.drift"])} == {
        *("resnet_edge", "resnet_edge.drift"),
    }


def test_several_packages():
    found = {module_name(path) for path in imported_sources((ENTRY,), PACKAGES)}
    # imported within functions, and packages of what is imported
    assert {"converters", "converters.serving", "resnet_edge.model.head"} <= found
    # neither the rest of the product nor what is imported for type checking alone
    others = ("cli", "steps", "report", "training.train", "data", "pictures", "runtimes")
    assert not [name for name in found for other in others if f"resnet_edge.{other}" in name]


@pytest.mark.parametrize("path", sorted(imported_sources(DEVICE_ENTRIES)))
def test_the_linter_knows_that_a_device_has_an_old_python(path):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    versions = project["tool"]["ruff"]["per-file-target-version"]
    covered = {
        file.relative_to(REPOSITORY).as_posix()
        for pattern, version in versions.items()
        if version == "py38"
        for expanded in expand(pattern)
        for file in REPOSITORY.glob(expanded)
    }
    assert path in covered


def expand(pattern: str) -> list[str]:
    """``a/{b,c}.py`` to its alternatives."""
    if "{" not in pattern:
        return [pattern]
    before, _, rest = pattern.partition("{")
    inside, _, after = rest.partition("}")
    return [f"{before}{word}{after}" for word in inside.split(",")]
