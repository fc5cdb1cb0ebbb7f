from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import resnet_edge
from resnet_edge.comparison.tolerance import Tolerance
from resnet_edge.errors import UsageError
from resnet_edge.ondevice.json_records import read_annotations
from resnet_edge.options import Options

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


VERBS = (
    *("run", "finetune", "export", "reference", "parity", "bench", "report", "bundle"),
    *("browser", "recommend", "compress", "compare", "inspect", "doctor"),
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
        f"[getattr(edge, verb) for verb in {VERBS}];"
        "print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    assert run_python(code, tmp_path) == "[]"


@pytest.mark.parametrize("name", resnet_edge.__all__)
def test_every_public_name_resolves(name):
    found = getattr(resnet_edge, name)
    assert found.__name__ == name
    assert found.__doc__


def test_all_is_sorted():
    assert sorted(resnet_edge.__all__) == resnet_edge.__all__ == dir(resnet_edge)


def test_the_verbs_are_the_commands():
    from resnet_edge.cli.app import COMMANDS

    assert tuple(command.name for command in COMMANDS) == VERBS
    assert set(VERBS) < set(resnet_edge.__all__)


def option_records() -> set[type]:
    """Every record that takes part in what a command is told, found from the commands."""
    found = {Options, Tolerance}
    waiting = [Options]
    while waiting:
        for kind in read_annotations(waiting.pop()).values():
            if dataclasses.is_dataclass(kind) and kind not in found:
                found.add(kind)
                waiting.append(kind)
    return found


def test_every_record_of_the_options_is_public():
    records = option_records()
    assert len(records) == 15
    for record in records:
        assert getattr(resnet_edge, record.__name__) is record
        assert record() == record()


def test_enums_of_the_options_may_be_words_and_paths_text(tmp_path):
    (tmp_path / "photos").mkdir()
    options = resnet_edge.Options(
        out=str(tmp_path / "out"),
        formats=["fp32.onnx"],
        data=resnet_edge.DataOptions(str(tmp_path / "photos"), fit="pad"),
        quantization=resnet_edge.QuantizationOptions(level="fast"),
        bench=resnet_edge.BenchOptions(threads=[1, 2]),
    )
    assert options.layout.model == tmp_path / "out" / "model.keras"
    assert options.data.data == tmp_path / "photos"
    assert options.data.fit is resnet_edge.Fit.PAD
    assert options.quantization.method == "fast"
    assert (options.formats, options.bench.threads) == (("fp32.onnx",), (1, 2))
    with pytest.raises(UsageError, match=r"^--fit: got round; expected one of crop, stretch, pad$"):
        resnet_edge.DataOptions(fit="round")
    with pytest.raises(
        UsageError, match=r"^--formats: no such artifact: coreml; expected all, tfl"
    ):
        resnet_edge.Options(formats=("coreml",))


def test_verbs_take_text_for_paths(build):
    assert resnet_edge.inspect(str(build / "artifacts" / "int8.tflite")).kind == "TFLite"
    other = build.parent / "other"
    shutil.copytree(build, other)
    assert resnet_edge.compare(str(build), str(other))
    done = resnet_edge.export(
        resnet_edge.Options(str(build), formats=("fp32.onnx",)), str(build / "model.keras")
    )
    assert done.rebuilt == ()


@pytest.mark.parametrize("name", resnet_edge.__all__)
def test_whatever_takes_a_path_takes_text(name):
    """Every parameter of a public function; records turn text into paths, as is tested above."""
    found = getattr(resnet_edge, name)
    if isinstance(found, type):
        return
    for parameter, kind in typing.get_type_hints(found, localns={"os": os}).items():
        kinds = set(typing.get_args(kind)) or {kind}
        if parameter != "return" and Path in kinds:
            assert str in kinds, f"{name}({parameter})"


def test_functions_of_files_take_text_for_paths(build, edge_photos):
    folder = build / "artifacts"
    artifact = resnet_edge.load_artifact(str(folder / "fp32.onnx"))
    assert artifact.path == folder / "fp32.onnx"
    assert artifact in resnet_edge.load_artifacts(str(folder))
    picture = edge_photos / "blue" / "1.png"
    pixels = resnet_edge.decode_picture(str(picture), (32, 32))
    assert (pixels == resnet_edge.decode_picture(picture, (32, 32))).all()


def test_no_public_name_is_shadowed_by_a_submodule(tmp_path):
    code = (
        "import importlib, pkgutil, resnet_edge as edge\n"
        "for module in pkgutil.walk_packages(edge.__path__, 'resnet_edge.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "print([n for n in edge.__all__ if not callable(getattr(edge, n))])"
    )
    assert run_python(code, tmp_path) == "[]"


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match=r"module 'resnet_edge' has no attribute 'fine_tune'"):
        _ = resnet_edge.fine_tune
