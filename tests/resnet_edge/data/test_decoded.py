import hashlib
import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from resnet_edge.data import decoded
from resnet_edge.data.decoded import decode_pictures
from resnet_edge.data.pictures import Picture
from resnet_edge.data.places import FilePlace
from resnet_edge.errors import DataError, OutputError, PictureError
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.pictures import decode_picture

SIZE = (4, 6)


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 9, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def picture(path: Path) -> Picture:
    return Picture(FilePlace(path), path.name, 0, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def pictures(tmp_path):
    found = []
    for seed in range(5):
        path = tmp_path / f"{seed}.png"
        path.write_bytes(png(seed))
        os.utime(path, (1e9, 1e9))  # long before the cache
        found.append(picture(path))
    return found


def test_equals_the_one_function(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(decoded, "_BATCH", 2)
    seen = []
    pixels = decode_pictures(
        pictures, SIZE, Fit.CROP, tmp_path / "c", lambda done, n: seen.append((done, n))
    )
    expected = np.stack([decode_picture(p.place.path, SIZE, Fit.CROP) for p in pictures])
    np.testing.assert_array_equal(pixels, expected)
    assert pixels.dtype == np.uint8
    assert not pixels.flags.writeable
    assert isinstance(pixels, np.memmap)
    assert seen == [(i, 5) for i in range(1, 6)]


def test_decoded_once(pictures, tmp_path, monkeypatch):
    first = decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "c")
    monkeypatch.setattr(decoded, "decode_bytes", lambda *_: pytest.fail("decoded again"))
    again = decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "c")
    np.testing.assert_array_equal(first, again)
    assert len(list((tmp_path / "c").iterdir())) == 1


def test_other_size_fit_order_or_pillow_is_another_file(pictures, tmp_path, monkeypatch):
    cache = tmp_path / "c"
    decode_pictures(pictures, SIZE, Fit.CROP, cache)
    decode_pictures(pictures, (6, 4), Fit.CROP, cache)
    decode_pictures(pictures, SIZE, Fit.PAD, cache)
    decode_pictures(pictures[::-1], SIZE, Fit.CROP, cache)
    monkeypatch.setattr(PIL, "__version__", "0.0")
    decode_pictures(pictures, SIZE, Fit.CROP, cache)
    assert len(list(cache.iterdir())) == 5


def test_no_pictures(tmp_path):
    assert decode_pictures([], SIZE, Fit.CROP, tmp_path / "c").shape == (0, 4, 6, 3)


@pytest.mark.parametrize("cached", [False, True])
def test_changed_picture(pictures, tmp_path, cached):
    if cached:
        decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "c")
    pictures[2].place.path.write_bytes(png(77))
    with pytest.raises(DataError, match=r"2\.png: changed since the data were split"):
        decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "c")
    pictures[2].place.path.unlink()
    with pytest.raises(DataError, match=r"2\.png: gone since the data were split"):
        decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "c")


def test_touched_picture_is_no_changed_picture(pictures, tmp_path):
    first = decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "c")
    pictures[2].place.path.touch()
    np.testing.assert_array_equal(decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "c"), first)


def test_unreadable_picture_leaves_nothing(pictures, tmp_path):
    pictures[1].place.path.write_bytes(b"words")
    pictures[1] = picture(pictures[1].place.path)
    with pytest.raises(PictureError, match=r"1\.png: not a picture but a text file"):
        decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []


def test_damaged_cache_is_written_again(pictures, tmp_path):
    first = np.array(decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "c"))
    (path,) = (tmp_path / "c").iterdir()
    for damage in (path.read_bytes()[:-10], b"", b"rubbish"):
        path.unlink()
        path.write_bytes(damage)
        again = decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "c")
        np.testing.assert_array_equal(again, first)


def test_left_over_part_is_overwritten(pictures, tmp_path):
    first = np.array(decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "c"))
    (path,) = (tmp_path / "c").iterdir()
    path.unlink()
    path.with_name(f".{path.name}.part").write_bytes(b"\xaa" * 10_000)
    np.testing.assert_array_equal(decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "c"), first)
    assert list((tmp_path / "c").iterdir()) == [path]


def test_kill_9_then_the_same_again(pictures, tmp_path):
    started = tmp_path / "started"
    program = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from resnet_edge.data.pictures import Picture
        from resnet_edge.data.decoded import decode_pictures
        from resnet_edge.data.places import FilePlace
        from resnet_edge.ondevice.fit import Fit
        pictures = [Picture(FilePlace(Path(p)), n, 0, h) for p, n, h in
                    {[(str(p.place.path), p.name, p.sha256) for p in pictures]!r}]
        def hang(done, total):
            if done == 3:
                Path({str(started)!r}).touch()
                time.sleep(600)
        decode_pictures(pictures, {SIZE!r}, Fit.CROP, Path({str(tmp_path / "c")!r}), hang)
    """)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment)
    try:
        while not started.exists() and process.poll() is None:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert started.exists()
    assert list((tmp_path / "c").glob("decoded-*")) == []
    pixels = decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "c")
    expected = np.stack([decode_picture(p.place.path, SIZE, Fit.CROP) for p in pictures])
    np.testing.assert_array_equal(pixels, expected)
    assert len(list((tmp_path / "c").iterdir())) == 1


def test_full_disk(pictures, tmp_path, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoded.os, "fsync", full)
    with pytest.raises(
        OutputError, match=r"cannot be written \(No space left on device\); free some space"
    ):
        decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []


def test_unwritable_cache(pictures, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written \(Not a directory\)"):
        decode_pictures(pictures, SIZE, Fit.CROP, tmp_path / "file" / "c")
