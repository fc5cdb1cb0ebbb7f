from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import resnet_edge

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = (
    "tensorflow",
    "keras",
    "onnx",
    "onnxruntime",
    "typer",
    "rich",
    "matplotlib",
    "PIL",
    "scipy",
)


def run_python(code: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_imports_nothing_heavy(tmp_path):
    code = f"import sys, resnet_edge; print([m for m in {HEAVY} + ('numpy',) if m in sys.modules])"
    assert run_python(code, tmp_path) == "[]"


def test_options_need_no_tensorflow(tmp_path):
    code = (
        "import sys, resnet_edge as edge; edge.Options(); edge.Gates(); edge.decode_picture;"
        "print([m for m in ('tensorflow', 'keras', 'onnx', 'typer') if m in sys.modules])"
    )
    assert run_python(code, tmp_path) == "[]"


def test_steps_need_no_tensorflow_until_they_run(tmp_path):
    code = (
        "import sys, resnet_edge as edge;"
        "edge.run, edge.export, edge.reference, edge.parity, edge.report;"
        "edge.recommend;"
        "print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    assert run_python(code, tmp_path) == "[]"


@pytest.mark.parametrize("name", resnet_edge.__all__)
def test_every_public_name_resolves(name):
    found = getattr(resnet_edge, name)
    assert found.__name__ == name
    assert found.__doc__


def test_all_is_sorted_and_complete():
    assert sorted(resnet_edge._HOMES) == resnet_edge.__all__ == dir(resnet_edge)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match=r"module 'resnet_edge' has no attribute 'fine_tune'"):
        _ = resnet_edge.fine_tune
