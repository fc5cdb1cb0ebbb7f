"""Damaged archives: which member, before anything of it is imported."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnet_edge.errors import ArtifactError
from resnet_edge.ondevice.command.bundle_file import open_bundle
from resnet_edge.ondevice.command.start import find_damage, start


def contents(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 0x01
    path.write_bytes(data)


def place_in(archive: Path, name: str) -> int:
    """The place in the file where a member's bytes begin."""
    with zipfile.ZipFile(archive) as bundle:
        member = bundle.getinfo(name)
        return member.header_offset + 30 + len(name.encode()) + member.compress_size // 2


def test_a_whole_one(bundle_path: Path):
    assert find_damage(str(bundle_path)) == ""


@pytest.mark.parametrize(
    "name",
    [
        *("artifacts/int8.tflite", "artifacts/int8.tflite.json", "artifacts/fp32.onnx"),
        *("reference.npz", "pictures.npy", "labels.txt"),
    ],
)
def test_one_changed_byte_of_the_data(bundle_path: Path, run_bundle, name):
    flip(bundle_path, place_in(bundle_path, name))
    ran = run_bundle(bundle_path, "run", "--out", "r.json")
    assert ran.code == 1
    assert f"{bundle_path}: {name} is damaged: " in ran.err
    assert ran.err.endswith("; copy the bundle again\n")
    assert not (bundle_path.parent / "r.json").exists()


@pytest.mark.parametrize(
    "name", ["resnet_edge/ondevice/latency/bench.py", "resnet_edge/ondevice/command/main.py"]
)
def test_one_changed_byte_of_the_code(bundle_path: Path, run_bundle, name):
    flip(bundle_path, place_in(bundle_path, name))
    ran = run_bundle(bundle_path, "info")
    assert ran.code == 1
    assert f"{name} is damaged: " in ran.err


def test_one_changed_byte_of_the_manifest(bundle_path: Path, run_bundle):
    flip(bundle_path, place_in(bundle_path, "bundle.json"))
    ran = run_bundle(bundle_path, "info")
    assert ran.code == 1
    assert "bundle.json cannot be read (Bad CRC-32 for file 'bundle.json'); copy" in ran.err


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(min_value=0, max_value=1 << 30))
def test_any_changed_byte_is_found_or_changes_nothing(whole_bundle: Path, tmp_path: Path, place):
    """Some bytes of a zip mean nothing: the shebang line, dates, fields that are written twice."""
    path = tmp_path / "changed.pyz"
    path.write_bytes(whole_bundle.read_bytes())
    flip(path, place)
    if find_damage(str(path)) == "":
        assert contents(path) == contents(whole_bundle)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.9999])
def test_a_truncated_one_does_not_run(bundle_path: Path, run_bundle, share):
    """Python itself refuses it, and shows the line that says why."""
    data = bundle_path.read_bytes()
    bundle_path.write_bytes(data[: int(len(data) * share)])
    if share:
        ran = run_bundle(bundle_path, "info")
        assert ran.code == 1
        assert ran.out == ""
        # Where the last zip to be seen is that of a .tflite file's labels, Python says so.
        said = ("error: this bundle is cut short; copy it again", "can't find '__main__' module in")
        assert any(words in ran.err for words in said)
    assert "bundle.json cannot be read" in find_damage(str(bundle_path))
    with pytest.raises(ArtifactError, match=r"not a device bundle, or damaged \(.*\); make it wi"):
        open_bundle(bundle_path)


def test_a_member_too_many(bundle_path: Path):
    with zipfile.ZipFile(bundle_path, "a") as bundle:
        bundle.writestr("resnet_edge/extra.py", "")
    assert "resnet_edge/extra.py is not in its manifest" in find_damage(str(bundle_path))


def test_a_member_too_few(whole_bundle: Path, tmp_path: Path):
    path = tmp_path / "few.pyz"
    with zipfile.ZipFile(path, "w") as bundle:
        for name, data in contents(whole_bundle).items():
            if name != "labels.txt":
                bundle.writestr(name, data)
    assert "labels.txt is damaged: \"There is no item named 'labels.txt'" in find_damage(str(path))


def test_a_newer_bundle(whole_bundle: Path, tmp_path: Path):
    path = tmp_path / "newer.pyz"
    manifest = json.loads(contents(whole_bundle)["bundle.json"])
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("bundle.json", json.dumps({**manifest, "schema": 2}))
    with pytest.raises(ArtifactError, match=r"newer.pyz: schema 2; expected 1; make it again with"):
        open_bundle(path)


def test_an_old_python(monkeypatch, capsys):
    monkeypatch.setattr("sys.version_info", (3, 7, 1))
    assert start("x.pyz") == 1
    assert capsys.readouterr().err == "error: Python 3.7; expected 3.8 or later\n"


def test_damage_of_the_first_lines_says_how_damage_looks(bundle_path: Path):
    """Python runs them without a look at their checksum, so each says what an error in it means."""
    with zipfile.ZipFile(bundle_path) as bundle:
        member = bundle.getinfo("__main__.py")
    whole = bundle_path.read_bytes()
    place = member.header_offset + 30 + len("__main__.py")
    assert member.compress_type == zipfile.ZIP_STORED
    lines = whole[place : place + member.file_size].splitlines(keepends=True)
    assert lines[0].startswith(b"try:  # an error here: the bundle is damaged")
    for line in lines:
        code = len(line.partition(b"#")[0])
        for offset in sorted({1, code // 2, code - 3}):
            bundle_path.write_bytes(whole)
            flip(bundle_path, place + offset)
            ran = subprocess.run(
                [sys.executable, str(bundle_path), "info"],
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
            known = "bundle is damaged; copy it again", "__main__.py is damaged", "copy the bundle"
            assert ran.returncode, line
            assert any(words in ran.stderr for words in known), (line, ran.stderr)
        place += len(line)


def test_damage_of_the_check_itself(bundle_path: Path, run_bundle):
    flip(bundle_path, place_in(bundle_path, "resnet_edge/ondevice/command/start.py"))
    ran = run_bundle(bundle_path, "info")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: this file is damaged (")
    assert ran.err.endswith("); copy the bundle again\n")
