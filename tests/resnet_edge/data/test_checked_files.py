import hashlib
import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resnet_edge.data import picture_check
from resnet_edge.data.checked_files import (
    CheckedFile,
    GrowingFiles,
    read_memory,
    write_memory,
)
from resnet_edge.data.dataset import load_dataset
from resnet_edge.data.places import Place
from resnet_edge.data.stores import Stamp


def noise(seed: int, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path):
    """Pictures that were written an hour ago."""
    root = tmp_path / "photos"
    for number, name in enumerate(("cat/1.png", "cat/2.png", "dog/1.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(noise(number))
        long_ago(root / name)
    return root


def long_ago(path: Path, seconds: float = 3600) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """Names of the files that are read."""
    names: list[str] = []
    whole = picture_check.read_place

    def note(place: Place, name: str) -> bytes:
        names.append(name)
        return whole(place, name)

    monkeypatch.setattr(picture_check, "read_place", note)
    return names


def test_what_was_not_changed_is_not_read_again(photos, tmp_path, read):
    first = load_dataset(photos, tmp_path / "c")
    assert len(read) == 3
    assert load_dataset(photos, tmp_path / "c") == first
    assert len(read) == 3
    (photos / "cat" / "2.png").write_bytes(noise(9))
    changed = load_dataset(photos, tmp_path / "c")
    assert read[3:] == ["cat/2.png"]
    assert changed.pictures[1].sha256 != first.pictures[1].sha256


def test_a_fresh_file_is_read_again(photos, tmp_path, read):
    """It could be changed once more within the resolution of its time."""
    (photos / "cat" / "2.png").write_bytes(noise(9))
    for _ in range(2):
        load_dataset(photos, tmp_path / "c")
    assert read[3:] == ["cat/2.png"]


def test_the_same_time_and_another_size(photos, tmp_path):
    load_dataset(photos, tmp_path / "c")
    path = photos / "dog" / "1.png"
    found = path.stat()
    path.write_bytes(noise(5, "BMP"))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    (changed,) = load_dataset(photos, tmp_path / "c").pictures[2:]
    assert changed.sha256 == hashlib.sha256(noise(5, "BMP")).hexdigest()


def test_a_run_that_was_interrupted_keeps_what_it_checked(photos, tmp_path, read):
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_dataset(photos, tmp_path / "c", progress=stop)
    read.clear()
    assert len(load_dataset(photos, tmp_path / "c").pictures) == 3
    assert set(read) <= {"dog/1.png"}


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_a_damaged_memory_is_no_error(tmp_path_factory, junk):
    root = tmp_path_factory.mktemp("memory")
    path = root / "checked.tsv"
    path.write_bytes(junk)
    assert len(read_memory(path)) == 0
    line = "\t".join(("ab" * 32, "", "5", "7", '"/photos/\\u00fc.png"'))
    path.write_bytes(line.encode() + b"\n" + junk.replace(b"\r", b""))
    assert set(read_memory(path).keys) <= {"/photos/ü.png"}


def test_the_memory_finds_by_place_and_by_content(tmp_path: Path):
    path = tmp_path / "checked.tsv"
    files = (
        ("/1.png", CheckedFile(5, 7, "ab" * 32, "aa")),
        ("/2.png", CheckedFile(6, 8, "ab" * 31 + "cd", "bb")),
        ("/1.png", CheckedFile(9, 7, "ef" * 32, "")),
    )
    path.write_text("\n".join(file.line(key) for key, file in files))
    memory = read_memory(path)
    assert memory.row("/1.png") == 2  # the last one counts
    assert memory.row("/2.png") == 1
    assert memory.row("/3.png") is None
    assert memory.files.at(1) == files[1][1]
    assert memory.is_current(2, Stamp(9, 7))
    assert not memory.is_current(2, Stamp(9, 8))
    assert not memory.is_current(2, None)
    assert [memory.get(file.sha256) for _, file in files] == ["aa", "bb", ""]
    assert memory.get("ab" * 30 + "0000") is None


def test_a_memory_without_anything_new_is_not_written(tmp_path: Path):
    path = tmp_path / "checked.tsv"
    growing = GrowingFiles()
    growing.append(CheckedFile(5, 7, "ab" * 32, "aa"))
    growing.append_defect()
    files = growing.done()
    write_memory(path, read_memory(path), files, lambda: iter([(0, "/ü.png")]))
    assert path.read_text() == "\t".join(("ab" * 32, "aa", "5", "7", '"/\\u00fc.png"'))
    written = path.stat().st_ino
    write_memory(path, read_memory(path), files, lambda: iter([(0, "/ü.png")]))
    assert path.stat().st_ino == written
    write_memory(path, read_memory(path), files, lambda: iter([(0, "/a.png")]))
    assert list(read_memory(path).keys) == ["/a.png", "/ü.png"]
