from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from resnet_edge.errors import OutputError
from resnet_edge.zipapp_writer import needed_modules, write_zipapp

ENTRY = "resnet_edge.reference_runner"


def run(pack: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        # -P and -s: nothing of this repository is found but what the file brings
        [sys.executable, "-I", str(pack), *arguments],
        capture_output=True,
        text=True,
        cwd=pack.parent,
        env=environment,
        check=False,
    )


def test_modules_are_found_by_their_imports():
    assert set(needed_modules("resnet_edge.machine")) == {
        *("resnet_edge", "resnet_edge.machine", "resnet_edge.results", "resnet_edge.conditions"),
        *("resnet_edge.drift", "resnet_edge.early_stopping"),
    }
    found = needed_modules(ENTRY)
    # imported within functions, and packages of what is imported
    assert {"converters", "converters.serving", "resnet_edge.model.head"} <= set(found)
    # neither the rest of the product nor what is imported for type checking alone
    others = ("cli", "steps", "report", "training.train", "data", "pictures", "runtimes")
    assert not [name for name in found for other in others if f"resnet_edge.{other}" in name]
    assert all(path.is_file() for path in found.values())


def test_the_same_inputs_give_the_same_bytes_and_the_sources_are_ours(tmp_path):
    (tmp_path / "big.npy").write_bytes(b"pixels" * 1000)
    members = {"a.json": b"{}", "big.npy": tmp_path / "big.npy"}
    for name in ("one.pyz", "two.pyz"):
        write_zipapp(tmp_path / name, ENTRY, members)
    assert (tmp_path / "one.pyz").read_bytes() == (tmp_path / "two.pyz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["big.npy", "one.pyz", "two.pyz"]
    assert os.access(tmp_path / "one.pyz", os.X_OK)
    with zipfile.ZipFile(tmp_path / "one.pyz") as archive:
        assert archive.testzip() is None
        assert archive.read("big.npy") == b"pixels" * 1000
        for name, source in needed_modules(ENTRY).items():
            inside = name.replace(".", "/")
            inside += "/__init__.py" if source.name == "__init__.py" else ".py"
            assert archive.read(inside) == source.read_bytes()


def test_python_runs_it(tmp_path):
    write_zipapp(tmp_path / "a.pyz", ENTRY, {})
    done = run(tmp_path / "a.pyz", "--help")
    assert done.returncode == 0, done.stderr
    assert "Full-precision answers on this machine's best device" in done.stdout


def test_the_exit_code_is_the_commands(tmp_path):
    write_zipapp(tmp_path / "a.pyz", ENTRY, {})
    done = run(tmp_path / "a.pyz", "--batches", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: --batches: got '0'; expected batch sizes from 1 to 4096, separated by commas\n"
    )


def test_nothing_half_written(tmp_path):
    with pytest.raises(
        OutputError, match=r"a.pyz: cannot be written \(No such file or directory\)"
    ):
        write_zipapp(tmp_path / "a.pyz", ENTRY, {"gone": tmp_path / "gone"})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_zipapp(tmp_path / "file" / "a.pyz", ENTRY, {})
