"""What runs on the device needs the standard library, NumPy and Pillow, and nothing heavier."""

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import resnet_edge.comparison
import resnet_edge.device
import resnet_edge.parity
import resnet_edge.runtimes

REPOSITORY = Path(__file__).resolve().parents[2]

MODULES = [
    f"resnet_edge.{name}"
    for name in (
        *(
            "errors",
            "records",
            "results",
            "artifacts",
            "pictures",
            "latency",
            "layout",
            "profiling",
            "conditions",
            "doubts",
            "drift",
            "early_stopping",
        ),
        *("bench", "bench_worker", "machine", "workers", "reference_file", "answer_worker"),
        *("profile_worker", "recommendation.candidate", "recommendation.choice"),
        *("recommendation", "recommendation.reasons", "threads"),
        # what a pack runs on a machine with a GPU; Keras and its backend come when they are used
        *("backend", "float32_check", "throughput", "inference", "full_precision"),
        *("reference_pack", "reference_runner", "archive_writer", "imported_sources"),
    )
]
PACKAGES = (
    resnet_edge.comparison,
    resnet_edge.device,
    resnet_edge.parity,
    resnet_edge.runtimes,
)
for package in PACKAGES:
    MODULES += [package.__name__]
    found = [m.name for m in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]
    MODULES += [name for name in found if not name.endswith(".rows")]  # tables for people

# Imports one module where everything but the standard library, NumPy, Pillow and the package itself
# is missing, and prints what got imported at the top level.
SCRIPT = """
import importlib.abc, importlib, json, sys

ALLOWED = {"numpy", "PIL", "resnet_edge"}
before = set(sys.modules)

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"{name} is not on the device", name=name)

sys.meta_path.insert(0, Missing())
importlib.import_module(sys.argv[1])
tops = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(tops - set(sys.stdlib_module_names))))
"""


@pytest.mark.parametrize("module", MODULES)
def test_imports_nothing_but_numpy_and_pillow(module: str) -> None:
    # In another folder, without site hooks (-S would hide NumPy), as a device runs it.
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, module],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert set(json.loads(result.stdout)) <= {"numpy", "PIL", "resnet_edge"}


def test_the_guard_guards() -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, "keras"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "keras is not on the device" in result.stderr
