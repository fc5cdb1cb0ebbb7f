import hashlib
import json
from pathlib import Path

import pytest

from resnet_edge.data.dataset import Dataset
from resnet_edge.data.manifest import read_manifest, write_manifest
from resnet_edge.data.picture_list import ListedPicture
from resnet_edge.data.pictures import Picture, pictures_of
from resnet_edge.data.places import FilePlace
from resnet_edge.data.split import Split
from resnet_edge.errors import DataError
from resnet_edge.ondevice.fit import Fit


def make_dataset(root: Path, *names: str, skipped: tuple[str, ...] = ()) -> Dataset:
    pictures = []
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        label = ("cat", "dog").index(path.parent.name)
        pictures.append(
            Picture(FilePlace(path), name, label, hashlib.sha256(name.encode()).hexdigest())
        )
    return Dataset(root, ("cat", "dog"), pictures_of(pictures), skipped)


@pytest.fixture
def written(tmp_path):
    data = make_dataset(tmp_path / "photos", "cat/1.png", "cat/2.png", "dog/1.png", "dog/ü.png")
    split = Split(data.pictures[:2], data.pictures[2:3], data.pictures[3:])
    path = tmp_path / "out" / "dataset.json"
    write_manifest(path, data, split, (64, 48), Fit.PAD)
    return path, data, split


def test_file_and_back(written):
    path, data, split = written
    manifest = read_manifest(path)
    assert manifest.split == split
    assert manifest.labels == ("cat", "dog")
    assert manifest.size == (64, 48)
    assert manifest.fit is Fit.PAD
    assert manifest.root == manifest.test_root == data.root
    assert manifest.skipped == ()


def test_separate_test_set(tmp_path):
    data = make_dataset(tmp_path / "a", "cat/1.png", "dog/1.png", "dog/2.png", skipped=("x: y",))
    test = make_dataset(tmp_path / "b", "cat/9.png", "dog/9.png", skipped=("z: y",))
    split = Split(data.pictures[:1], data.pictures[1:2], test.pictures, data.pictures[2:])
    write_manifest(tmp_path / "dataset.json", data, split, (8, 8), Fit.CROP, test=test)
    manifest = read_manifest(tmp_path / "dataset.json")
    assert manifest.split == split
    assert manifest.test_root == tmp_path / "b"
    assert manifest.skipped == ("x: y", "z: y")


def test_pictures_that_are_gone(written):
    path, data, _ = written
    data.pictures[1].place.path.unlink()
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    assert str(caught.value) == (
        f"{path}: 1 of its 4 pictures are gone, the first is {data.pictures[1].place}; "
        "put them back, or run finetune again"
    )


def test_damaged_file(written):
    path, _, _ = written
    text = path.read_text()
    for change, message in (
        ({"schema": 7}, r"written by a newer resnet-edge \(schema 7; this one reads 2\); update"),
        ({"labels": ["cat"]}, "a label without a name"),
        ({"fit": "squeeze"}, "fit: got 'squeeze'; expected one of crop, stretch, pad"),
        ({"size": [1, 2, 3]}, "size: got"),
    ):
        path.write_text(json.dumps(json.loads(text) | change))
        with pytest.raises(DataError, match=message):
            read_manifest(path)
    path.write_text(text[:50])
    with pytest.raises(DataError, match="not JSON"):
        read_manifest(path)
    path.unlink()
    with pytest.raises(DataError, match="no such file; run the step that writes it"):
        read_manifest(path)


@pytest.mark.parametrize("name", ["x" * 300, "cat/" + "\N{SNOWMAN}" * 90, "a\0b"])
def test_a_name_that_no_system_knows(name: str):
    with pytest.raises(ValueError, match="is no name of a picture"):
        ListedPicture(name, 0, "ab")


def test_a_folder_that_no_system_knows(tmp_path: Path):
    manifest = tmp_path / "dataset.json"
    picture = {"name": "cat/1.jpg", "label": 0, "sha256": "ab" * 32}
    listed = {"train": [picture], "validation": [], "test": [], "dropped": []}
    root = "/" + "x" * 300
    about = {"root": root, "test_root": root, "labels": ["cat"], "size": [8, 8], "fit": "crop"}
    manifest.write_text(json.dumps({**about, **listed, "skipped": []}))
    with pytest.raises(DataError, match=r"damaged \(File name too long\); run finetune again"):
        read_manifest(manifest)
