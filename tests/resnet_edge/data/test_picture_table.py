"""Very many pictures: ``dataset.parquet`` beside ``dataset.json``."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from resnet_edge.data import picture_table
from resnet_edge.data.address import Address
from resnet_edge.data.dataset import Dataset
from resnet_edge.data.manifest import copy_manifest, read_manifest, write_manifest
from resnet_edge.data.picture_table import RootedPictures, read_pictures, write_pictures
from resnet_edge.data.pictures import Picture, pictures_of
from resnet_edge.data.places import FilePlace, ObjectPlace, RangePlace, RowPlace
from resnet_edge.data.split import Split
from resnet_edge.errors import DataError, OutputError, RuntimeMissingError
from resnet_edge.ondevice.fit import Fit

pytest.importorskip("pyarrow")

SHA = "ab" * 32
ROOTS = (Path("/photos"), Path("/photos.tar"), Address("s3://b/photos"), Path("/"))
NAMES = st.sampled_from(("cat/1.png", "ü.png", "photos", "a b/c/d.png"))


@st.composite
def sides(draw: st.DrawFn) -> RootedPictures:
    found = []
    for number in range(draw(st.integers(0, 5))):
        name = draw(NAMES)
        archive = draw(st.sampled_from((Path("/photos/x.tar"), Path("/photos.tar"), ROOTS[2])))
        places = (
            *(FilePlace(root / name) for root in (Path("/photos"), Path("/photos2"), Path("/"))),
            FilePlace(Path("/photos/else.png")),
            *(ObjectPlace(root / name) for root in (Address("s3://b/photos"), Address("gs://c"))),
            RangePlace(archive, number, 2**40),
            RowPlace(archive, 7, number),
        )
        sha256 = hashlib.sha256(bytes([number])).hexdigest()
        found.append(Picture(draw(st.sampled_from(places)), name, number, sha256))
    return RootedPictures(pictures_of(found), draw(st.sampled_from(ROOTS)))


@settings(deadline=None, max_examples=20)
@given(st.lists(sides(), min_size=4, max_size=4), st.integers(1, 4))
def test_file_and_back(tmp_path_factory, written, group):
    assume(any(side.pictures for side in written))
    path = tmp_path_factory.mktemp("table") / "t.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture_table, "_GROUP", group)
        write_pictures(path, written)
    roots, counts = [side.root for side in written], [len(side.pictures) for side in written]
    assert read_pictures(path, roots, counts) == tuple(side.pictures for side in written)


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """Four pictures in a folder."""
    root, found = tmp_path / "photos", []
    for number in range(4):
        name = f"{'cd'[number % 2]}/{number}.png"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
        found.append(Picture(FilePlace(root / name), name, number % 2, f"{number:064x}"))
    return Dataset(root, ("c", "d"), pictures_of(found), ("x: y",))


@pytest.fixture
def written(data: Dataset, tmp_path: Path) -> tuple[Path, Split]:
    """A ``dataset.json`` whose pictures are beside it."""
    pictures = data.pictures
    split = Split(pictures[:1], pictures[1:2], pictures[2:3], pictures[3:])
    path = tmp_path / "out" / "dataset.json"
    write_manifest(path, data, split, (8, 9), Fit.PAD, split_reason="so", most_listed=3)
    return path, split


def test_a_manifest_of_many_pictures(written: tuple[Path, Split], data: Dataset):
    path, split = written
    assert path.with_suffix(".parquet").exists()
    record = json.loads(path.read_text())
    assert (record["train"], record["dropped"], record["schema"]) == (1, 1, 2)
    manifest = read_manifest(path)
    assert manifest.split == split
    assert (manifest.root, manifest.test_root) == (data.root, data.root)
    assert (manifest.labels, manifest.size, manifest.fit) == (("c", "d"), (8, 9), Fit.PAD)
    assert (manifest.skipped, manifest.split_reason) == (("x: y",), "so")


def test_pictures_that_moved_with_their_root(written: tuple[Path, Split], data: Dataset):
    path, _ = written
    moved = data.root.rename(data.root.with_name("moved"))
    path.write_text(path.read_text().replace(str(data.root), str(moved)))
    assert read_manifest(path).split.train[0].place == FilePlace(moved / "c" / "0.png")


def test_few_pictures_again_leave_no_table(written: tuple[Path, Split], data: Dataset):
    path, split = written
    write_manifest(path, data, split, (8, 9), Fit.PAD, most_listed=4)
    assert not path.with_suffix(".parquet").exists()
    assert read_manifest(path).split == split
    assert json.loads(path.read_text())["train"][0]["name"] == "c/0.png"


def test_a_copy_at_another_size(written: tuple[Path, Split], tmp_path: Path):
    path, split = written
    copy_manifest(path, tmp_path / "trial" / "dataset.json", (5, 6))
    manifest = read_manifest(tmp_path / "trial" / "dataset.json")
    assert (manifest.size, manifest.split) == ((5, 6), split)
    path.write_text("[]")
    with pytest.raises(DataError, match="not a list of pictures; run finetune or reference again"):
        copy_manifest(path, tmp_path / "trial" / "dataset.json", (5, 6))


def test_a_table_of_other_pictures(written: tuple[Path, Split]):
    path, _ = written
    table = path.with_suffix(".parquet")
    with table.open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    expected = json.loads(path.read_text())["pictures_sha256"]
    actual = hashlib.sha256(table.read_bytes()).hexdigest()
    assert str(caught.value) == (
        f"{table}: other pictures than those of dataset.json (sha256 is {actual[:16]}…, expected "
        f"{expected[:16]}…); copy both files, or run finetune again"
    )
    table.unlink()
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    assert str(caught.value) == (
        f"{table}: not there; expected the pictures of dataset.json beside it; copy both files, or "
        "run finetune again"
    )


def test_a_table_that_does_not_fit(written: tuple[Path, Split], data: Dataset):
    path, _ = written
    table, text = path.with_suffix(".parquet"), path.read_text()
    for change, reason in (
        ({"train": 2}, "4 rows; expected 5"),
        ({"labels": ["c"]}, "a label without a name"),
        ({"schema": 3}, "written by a newer resnet-edge"),
    ):
        path.write_text(json.dumps(json.loads(text) | change))
        with pytest.raises(DataError, match=reason):
            read_manifest(path)
    long = Picture(FilePlace(data.root / "x"), "x" * 256, 0, SHA)
    write_pictures(table, [RootedPictures(pictures_of((long,)), data.root)])
    with pytest.raises(ValueError, match="a name that no picture has"):
        read_pictures(table, (data.root,), (1,))
    table.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"cannot be read as Parquet \(.*\); run finetune again"):
        read_pictures(table, (data.root,), (1,))


def test_pictures_that_are_gone(written: tuple[Path, Split], data: Dataset):
    path, _ = written
    (data.root / "d" / "1.png").unlink()
    (data.root / "d" / "3.png").unlink()  # dropped, so nobody needs it
    with pytest.raises(DataError, match=r"1 of its 3 pictures are gone, the first is .*d/1\.png;"):
        read_manifest(path)


def test_a_name_that_is_no_text(data: Dataset, tmp_path: Path):
    bad = pictures_of((Picture(FilePlace(Path("/\udcff/1.png")), "1.png", 0, SHA),))
    with pytest.raises(OutputError) as caught:
        write_pictures(tmp_path / "t.parquet", [RootedPictures(bad, data.root)])
    assert str(caught.value) == (
        f"{tmp_path / 't.parquet'}: a name in it is no Unicode text ('/\\udcff/'); rename that "
        "file or folder"
    )
    assert list(tmp_path.glob("*.p*")) == []


def test_without_pyarrow(written: tuple[Path, Split], monkeypatch: pytest.MonkeyPatch):
    path, _ = written
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RuntimeMissingError) as caught:
        read_manifest(path)
    assert str(caught.value) == (
        f"{path.with_suffix('.parquet')}: pyarrow, which keeps lists of very many pictures, is not "
        "installed; run `pip install pyarrow`"
    )
