"""Everything in `ondevice` runs with the standard library, NumPy and Pillow, and with nothing else.

The archives that carry it hold exactly the files that they need.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from resnet_edge.full_precision.pack import ENTRY, SOURCES
from resnet_edge.steps.bundle import MAIN
from resnet_edge.zipapp import ON_DEVICE, find_sources

REPOSITORY = Path(__file__).resolve().parents[3]

# Imports modules where only some packages can be found, and prints every module of the project that
# is loaded then with its file, and the other packages.
SCRIPT = """
import importlib, importlib.abc, json, sys

allowed, names = sys.argv[1].split(","), sys.argv[2:]
before = set(sys.modules)

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"{name} is not on the device", name=name)

sys.meta_path.insert(0, Missing())
for name in names:
    importlib.import_module(name)
new = set(sys.modules) - before
tops = {name.partition(".")[0] for name in new} - set(sys.stdlib_module_names)
ours = {n: sys.modules[n].__file__ for n in new if n.startswith(("resnet_edge", "converters"))}
print(json.dumps({"tops": sorted(tops), "ours": ours}))
"""


def module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def import_modules(
    folder: Path, allowed: str, names: list[str], search_path: Path
) -> subprocess.CompletedProcess[str]:
    # In another folder, without site hooks (-S would hide NumPy), as a device runs it.
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, allowed, *names],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(search_path)},
        check=False,
    )


def test_every_module_needs_only_numpy_and_pillow(tmp_path: Path) -> None:
    names = [module_name(path) for path in find_sources(ON_DEVICE)]
    done = import_modules(tmp_path, "numpy,PIL,resnet_edge", names, REPOSITORY)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert set(loaded["tops"]) <= {"numpy", "PIL", "resnet_edge"}
    assert sorted(loaded["ours"]) == sorted(names)  # and nothing else of the project


def test_the_guard_guards(tmp_path: Path) -> None:
    done = import_modules(tmp_path, "numpy,PIL,resnet_edge", ["keras"], REPOSITORY)
    assert done.returncode == 1
    assert "keras is not on the device" in done.stderr


def test_the_bundle_needs_nothing_beside_it(edge_build: Path, tmp_path: Path) -> None:
    archive = edge_build / "resnet-edge-device.pyz"
    names = [module_name(path) for path in find_sources(ON_DEVICE)]
    done = import_modules(tmp_path, "numpy,PIL,resnet_edge", names, archive)
    assert done.returncode == 0, done.stderr
    ours = json.loads(done.stdout)["ours"]
    assert sorted(ours) == sorted(names)
    assert all(path.startswith(f"{archive}/") for path in ours.values())


def test_the_bundle_holds_this_projects_own_files(edge_build: Path) -> None:
    with zipfile.ZipFile(edge_build / "resnet-edge-device.pyz") as archive:
        for name, path in find_sources(ON_DEVICE).items():
            assert path == REPOSITORY / name
            assert archive.read(name) == path.read_bytes()
        assert archive.read("__main__.py") == MAIN  # which runs start.py
        code = {name for name in archive.namelist() if name.endswith(".py")}
    assert code == {*find_sources(ON_DEVICE), "__main__.py"}


def test_what_is_known_to_run_on_a_device() -> None:
    found = find_sources(ON_DEVICE)
    for name in (
        *("command/main", "command/measure", "latency/bench_worker", "parity/answer_worker"),
        *("latency/measure", "pictures", "parity/compare", "parity/metrics", "parity/gates"),
        *("runtimes/tflite", "runtimes/onnx", "__init__", "parity/__init__", "runtimes/__init__"),
    ):
        assert f"resnet_edge/ondevice/{name}.py" in found
    for name in ("steps/bundle", "reporting/html", "cli/app", "options", "diagnosis/sources"):
        assert (REPOSITORY / f"resnet_edge/{name}.py").exists()
        assert f"resnet_edge/{name}.py" not in found


def test_a_reference_pack_starts_without_keras(tmp_path: Path) -> None:
    # Keras and its backend are imported when they are used.
    allowed = "numpy,PIL,resnet_edge,converters"
    done = import_modules(tmp_path, allowed, [ENTRY], REPOSITORY)
    assert done.returncode == 0, done.stderr
    ours = {
        Path(path).relative_to(REPOSITORY).as_posix()
        for path in json.loads(done.stdout)["ours"].values()
    }
    assert ours <= set(find_sources(SOURCES))


def test_a_reference_pack_has_neither_the_diagnosis_nor_the_steps() -> None:
    found = set(find_sources(SOURCES))
    # imported within functions, and packages of what is imported
    assert {"converters/__init__.py", "converters/serving.py", "resnet_edge/model/head.py"} <= found
    for room in ("cli", "steps", "reporting", "training", "data", "diagnosis"):
        assert (REPOSITORY / "resnet_edge" / room).is_dir()
        assert not [path for path in found if path.startswith(f"resnet_edge/{room}/")]


@pytest.mark.parametrize("path", sorted(find_sources(ON_DEVICE)))
def test_the_linter_knows_that_a_device_has_an_old_python(path: str) -> None:
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
