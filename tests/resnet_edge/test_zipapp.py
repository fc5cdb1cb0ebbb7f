from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from resnet_edge import zipapp as archive_writer
from resnet_edge.errors import OutputError, UsageError
from resnet_edge.zipapp import write_archive

START = b"import sys; import inside; sys.exit(inside.CODE + len(sys.argv))"


@pytest.fixture
def contents(tmp_path: Path) -> dict[str, bytes | Path]:
    (tmp_path / "big.npy").write_bytes(b"pixels" * 1000)
    (tmp_path / "inside.py").write_text("CODE = 5")
    return {
        "__main__.py": START,
        "inside.py": tmp_path / "inside.py",
        "a.json": b"{}",
        "big.npy": tmp_path / "big.npy",
    }


def test_the_same_members_give_the_same_bytes(contents, tmp_path):
    for name in ("one.pyz", "two.pyz"):
        write_archive(tmp_path / name, contents)
    assert (tmp_path / "one.pyz").read_bytes() == (tmp_path / "two.pyz").read_bytes()
    assert os.access(tmp_path / "one.pyz", os.X_OK)
    with zipfile.ZipFile(tmp_path / "one.pyz") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(contents)
        assert archive.read("big.npy") == b"pixels" * 1000


def test_python_runs_it_and_its_exit_code_is_the_programs(contents, tmp_path):
    write_archive(tmp_path / "a.pyz", contents)
    done = subprocess.run([sys.executable, "-I", str(tmp_path / "a.pyz"), "x"], check=False)
    assert done.returncode == 7


def test_too_large_for_python(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_writer, "MAX_BYTES", (1 << 20) + 4)
    with pytest.raises(UsageError, match=r"x.pyz: 0.0 GB together; expected less than 4.2 GB"):
        write_archive(tmp_path / "x.pyz", {"a": b"12345"})
    write_archive(tmp_path / "x.pyz", {"a": b"1234"})


def test_nothing_half_written(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"a.pyz: cannot be written \(Is a directory\)"):
        write_archive(tmp_path / "a.pyz", {"x": b"1", "folder": tmp_path / "folder"})
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_archive(tmp_path / "file" / "a.pyz", {})


BUILT_IN = {"dict", "frozenset", "list", "set", "tuple", "type"}


@pytest.mark.parametrize("name", archive_writer.find_sources(archive_writer.ON_DEVICE))
def test_what_runs_on_a_device_is_python_3_8(name: str):
    """Its syntax, and no type that can only be indexed later; annotations are never computed."""
    source = archive_writer.find_sources(archive_writer.ON_DEVICE)[name].read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    nodes = list(ast.walk(tree))
    annotations = [
        *(node.annotation for node in nodes if isinstance(node, (ast.arg, ast.AnnAssign))),
        *(node.returns for node in nodes if isinstance(node, ast.FunctionDef)),
    ]
    never = {inner for one in annotations if one is not None for inner in ast.walk(one)}
    abstract = {
        alias.asname or alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "collections.abc"
        for alias in node.names
    }
    indexed = {
        node.value.id
        for node in nodes
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
        if node not in never
    }
    assert not indexed & (abstract | BUILT_IN), "import it from typing"
