"""The runtimes of browsers are copied out of ``node_modules`` with what a worker needs changed."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

from web.copy_runtime_files import copy, files_by_target


@pytest.fixture
def modules(tmp_path):
    """A ``node_modules`` in which every file has its own name in it."""
    root = tmp_path / "node_modules"
    for package, path in files_by_target().values():
        file = root / package / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"// {package}/{path}\n//# sourceMappingURL={file.name}.map\n")
    (root / "@litertjs/core/dist/index.js").write_text(
        'import { createWasmLib } from "@litertjs/wasm-utils";\n//# sourceMappingURL=index.js.map\n'
    )
    for package in ("@litertjs/core", "@litertjs/wasm-utils", "onnxruntime-web"):
        (root / package / "package.json").write_text('{"version": "7.8.9"}')
    return root


def test_every_file_lies_flat_in_the_folder_of_its_runtime(modules, tmp_path):
    copy(modules, tmp_path / "target")
    found = {
        path.relative_to(tmp_path / "target").as_posix()
        for path in (tmp_path / "target").rglob("*")
        if path.is_file()
    }
    assert found == {*files_by_target(), "files.json"}
    assert len(found) == 17


def test_the_bare_import_is_rewritten_and_the_version_is_told(modules, tmp_path):
    copy(modules, tmp_path)
    assert (tmp_path / "litert/litert.js").read_text() == (
        'import { createWasmLib } from "./wasm_utils.js";\nexport const version = "7.8.9";\n'
    )


def test_maps_that_are_not_copied_are_not_named(modules, tmp_path):
    copy(modules, tmp_path)
    assert (tmp_path / "ort/ort.wasm.min.js").read_text() == (
        "// onnxruntime-web/dist/ort.wasm.min.js\n"
    )


def test_the_list_has_sizes_hashes_and_versions(modules, tmp_path):
    copy(modules, tmp_path)
    record = json.loads((tmp_path / "files.json").read_text())
    assert set(record["versions"].values()) == {"7.8.9"}
    for file in record["files"]:
        content = (tmp_path / file["name"]).read_bytes()
        assert file["bytes"] == len(content)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()


def test_what_was_copied_before_is_gone(modules, tmp_path):
    (tmp_path / "litert").mkdir()
    (tmp_path / "litert/old.js").write_text("")
    copy(modules, tmp_path)
    assert not (tmp_path / "litert/old.js").exists()


def test_a_version_with_other_imports_is_refused(modules, tmp_path):
    (modules / "@litertjs/core/dist/index.js").write_text("export {};\n")
    with pytest.raises(SystemExit, match=r"has 0 times .*; expected 1; look at the new version"):
        copy(modules, tmp_path)


@pytest.mark.parametrize("missing", ["onnxruntime-web/package.json", "@litertjs/core/wasm"])
def test_what_is_not_installed_is_named(modules, tmp_path, missing):
    place = modules / missing
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    with pytest.raises(SystemExit, match=r"is not there; run npm ci in"):
        copy(modules, tmp_path)
