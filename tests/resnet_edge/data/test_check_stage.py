"""Checks by other processes: what they find is what this process finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_edge.data.dataset import load_dataset
from resnet_edge.data.decoded import decode_pictures
from resnet_edge.data.loaded_pixels import load_pixels
from resnet_edge.data.pixel_source import GivenPixels, MappedPixels, StreamedPictures, pixel_source
from resnet_edge.errors import DataError
from resnet_edge.ondevice.fit import Fit
from resnet_edge.scale.engine import Engine, EngineKind
from resnet_edge.scale.running import Computing

TWO = Computing(Engine(EngineKind.LOCAL, 2, 1), print)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """12 pictures, one of them damaged, one of one colour."""
    rng = np.random.default_rng(0)
    for number in range(12):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (20, 24, 3), np.uint8) if number else np.zeros((9, 9, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    (tmp_path / "photos" / "a" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n half a picture")
    return tmp_path / "photos"


def test_processes_find_what_one_finds(photos: Path, tmp_path: Path):
    counts: list[tuple[int, int]] = []
    here = load_dataset(photos, tmp_path / "here", skip_unreadable=True)
    there = load_dataset(
        photos,
        tmp_path / "there",
        skip_unreadable=True,
        progress=lambda *count: counts.append(count),
        computing=TWO,
    )
    assert there == here
    assert len(there.skipped) == 1
    assert max(counts) == (13, 13)
    with pytest.raises(DataError) as one:
        load_dataset(photos, tmp_path / "here")
    with pytest.raises(DataError) as two:
        load_dataset(photos, tmp_path / "there", computing=TWO)
    assert str(one.value) == str(two.value)


def test_processes_decode_the_same_file(photos: Path, tmp_path: Path):
    pictures = load_dataset(photos, tmp_path / "c", skip_unreadable=True).pictures
    here = decode_pictures(pictures, (8, 10), Fit.PAD, tmp_path / "here")
    there = load_pixels(pictures, (8, 10), Fit.PAD, tmp_path / "there", computing=TWO)
    assert there.tobytes() == here.tobytes()
    (one,), (two,) = ((tmp_path / name).glob("*.npy") for name in ("here", "there"))
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()
    pictures[3].place.path.write_bytes(b"other")
    with pytest.raises(DataError, match="changed since the data were split"):
        load_pixels(pictures, (9, 9), Fit.PAD, tmp_path / "there", computing=TWO)


def test_streamed_pictures_are_an_array(photos: Path, tmp_path: Path):
    pictures = load_dataset(photos, tmp_path / "c", skip_unreadable=True).pictures
    whole = decode_pictures(pictures, (8, 10), Fit.CROP, tmp_path / "here")
    streamed = load_pixels(pictures, (8, 10), Fit.CROP, tmp_path / "none", most_bytes=1)
    assert isinstance(streamed, StreamedPictures)
    assert not (tmp_path / "none").exists()
    assert (streamed.shape, streamed.dtype, len(streamed)) == (whole.shape, whole.dtype, 12)
    for places in (slice(2, 9), slice(None, None, 5), np.array([7, 0, 7]), slice(3, 3)):
        assert (streamed[places] == whole[places]).all()
    assert (streamed[-1] == whole[-1]).all()
    for many in (streamed, whole, np.array(whole)):
        assert (pixel_source(many, 4, 11).pixels() == whole[4:11]).all()
    assert isinstance(pixel_source(whole, 0, 1), MappedPixels)
    assert isinstance(pixel_source(np.array(whole), 0, 1), GivenPixels)


def test_a_file_that_another_machine_does_not_have(tmp_path: Path):
    with pytest.raises(DataError) as caught:
        MappedPixels(tmp_path / "pixels.npy", 0, 1).pixels()
    assert str(caught.value).startswith(f"{tmp_path / 'pixels.npy'}: not on ")
    assert str(caught.value).endswith(
        "; expected the build folder and the pictures under the same path on every machine; share "
        "the folder, or take pictures from a store such as s3://"
    )
