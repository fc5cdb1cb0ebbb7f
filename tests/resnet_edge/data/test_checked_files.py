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
from resnet_edge.data.checked_files import read_memory
from resnet_edge.data.dataset import load_dataset
from resnet_edge.data.places import Place


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
