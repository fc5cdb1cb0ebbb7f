"""Temporary files: all in one folder, which goes with the command or with the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from resnet_edge.ondevice.files import remove_parts, write_bytes
from resnet_edge.ondevice.locks import is_abandoned, try_lock
from resnet_edge.ondevice.scratch import scratch_folder

REPOSITORY = Path(__file__).resolve().parents[3]

HOLDER = """
import sys, time
from resnet_edge.ondevice.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "half").write_text("x")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_all_temporary_files_are_in_it_and_go_with_it(home: Path):
    with scratch_folder() as folder:
        assert folder.parent == home
        assert Path(tempfile.mkdtemp()).parent == folder
        assert os.environ["TMPDIR"] == str(folder)
    assert list(home.iterdir()) == []
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(home)


def test_the_next_one_removes_what_a_killed_process_left(home: Path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert holder.stdout is not None
    with holder:
        left = Path(holder.stdout.readline().strip())
        with scratch_folder():
            assert (left / "half").exists()  # its process lives
        holder.send_signal(signal.SIGKILL)
    assert left.exists()
    with scratch_folder():
        assert not left.exists()


def test_a_link_of_that_name_is_left_alone(home: Path, tmp_path_factory: pytest.TempPathFactory):
    mine = tmp_path_factory.mktemp("mine")
    (mine / "photo").write_text("x")
    (home / "resnet-edge-scratch-x").symlink_to(mine)
    with scratch_folder():
        pass
    assert (mine / "photo").exists()


def test_a_part_that_is_being_written_stays(tmp_path: Path):
    path = tmp_path / "model.keras"
    part = tmp_path / ".model.keras.abcd.part"
    part.write_bytes(b"half")
    os.utime(part, (1, 1))
    with part.open("rb") as held:
        assert try_lock(held.fileno())
        assert not is_abandoned(part)
    assert is_abandoned(part)
    os.utime(part)  # so young that its writer may not have locked it yet
    remove_parts(path, 3600)
    assert part.exists()
    long_ago = part.stat().st_mtime - 60
    os.utime(part, (long_ago, long_ago))
    write_bytes(path, b"whole")
    assert sorted(tmp_path.iterdir()) == [path]
