"""Parquet files of pictures in Hugging Face's layout."""

import io
import json

import pytest
from PIL import Image

from resnet_edge.data.dataset import load_dataset, load_unlabelled, read_verified
from resnet_edge.data.manifest import read_manifest, write_manifest
from resnet_edge.data.places import RowPlace
from resnet_edge.data.sides import Side
from resnet_edge.data.sources import parquet_rows
from resnet_edge.data.split import Split
from resnet_edge.errors import DataError, RuntimeMissingError
from resnet_edge.ondevice.fit import Fit

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

CLASSES = {"info": {"features": {"label": {"names": ["healthy", "rust"], "_type": "ClassLabel"}}}}
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture
def write(tmp_path, picture):
    """Write a Parquet file of pictures with some labels, as Hugging Face does."""

    def make(name, labels, *, first=0, described=CLASSES, group=2, images=None, **columns):
        images = images or [
            {"bytes": picture(first + n), "path": f"leaf.{n}.png"} for n in range(len(labels))
        ]
        table = pa.table({"image": pa.array(images, IMAGE), "label": labels, **columns})
        if described:
            table = table.replace_schema_metadata({"huggingface": json.dumps(described)})
        path = tmp_path / "data" / name
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, path, row_group_size=group)
        return path

    return make


def test_splits_and_names_of_classes(write, tmp_path, picture):
    write("train-00000-of-00002.parquet", [0, 1, 1])
    write("train-00001-of-00002.parquet", [1, 0], first=10)
    write("validation-00000-of-00001.parquet", [1], first=20)
    write("test-00000-of-00001.parquet", [0, 1], first=30)
    data = load_dataset(tmp_path / "data", tmp_path / "c")
    assert data.labels == ("healthy", "rust")
    assert data.notes == ("the archives are a split: 2 for train, 1 for validation, 1 for test",)
    rows = list(zip(data.pictures, data.sides, strict=True))
    assert [(p.name, p.label, side) for p, side in rows] == [
        ("test-00000-of-00001.parquet/0/leaf.0.png", 0, Side.TEST),
        ("test-00000-of-00001.parquet/1/leaf.1.png", 1, Side.TEST),
        ("train-00000-of-00002.parquet/0/leaf.0.png", 0, Side.TRAIN),
        ("train-00000-of-00002.parquet/1/leaf.1.png", 1, Side.TRAIN),
        ("train-00000-of-00002.parquet/2/leaf.2.png", 1, Side.TRAIN),
        ("train-00001-of-00002.parquet/0/leaf.0.png", 1, Side.TRAIN),
        ("train-00001-of-00002.parquet/1/leaf.1.png", 0, Side.TRAIN),
        ("validation-00000-of-00001.parquet/0/leaf.0.png", 1, Side.VALIDATION),
    ]
    third = data.pictures[4]
    assert third.place == RowPlace(tmp_path / "data" / "train-00000-of-00002.parquet", 1, 0)
    assert read_verified(third) == picture(2)


def test_manifest_of_rows(write, tmp_path):
    path = write("one.parquet", [0, 1, 0, 1])
    data = load_dataset(path, tmp_path / "c")
    split = Split(data.pictures[:2], data.pictures[2:3], data.pictures[3:])
    write_manifest(tmp_path / "dataset.json", data, split, (8, 8), Fit.CROP)
    assert '"#row=1.1"' in (tmp_path / "dataset.json").read_text()
    assert read_manifest(tmp_path / "dataset.json").split == split
    path.unlink()
    with pytest.raises(DataError, match=r"4 of its 4 pictures are gone, the first is .*one\.parq"):
        read_manifest(tmp_path / "dataset.json")


def test_labels_in_words_and_plain_bytes(tmp_path, picture):
    table = pa.table({"img": [picture(0), picture(1)], "species": ["x", "y"], "label": ["b", "a"]})
    pq.write_table(table, tmp_path / "t.parquet")
    data = load_dataset(tmp_path / "t.parquet", tmp_path / "c")
    assert data.labels == ("a", "b")
    assert [(p.name, p.label) for p in data.pictures] == [("0", 1), ("1", 0)]


def test_several_columns_of_classes(tmp_path, picture):
    features = {
        name: {"names": names, "_type": "ClassLabel"}
        for name, names in (("fine_label", ["cat", "dog"]), ("coarse_label", ["pet"]))
    }
    columns = {"img": [picture(0), picture(1)], "fine_label": [1, 0], "coarse_label": [0, 0]}
    table = pa.table(
        columns, metadata={"huggingface": json.dumps({"info": {"features": features}})}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    data = load_dataset(tmp_path / "t.parquet", tmp_path / "c")
    assert [p.label for p in data.pictures] == [1, 0]
    assert data.labels == ("cat", "dog")
    assert data.notes == ("the column fine_label has the labels; not used: coarse_label",)


def test_a_side_without_labels_is_not_used(write, tmp_path):
    write("train-0.parquet", [0, 1, 0, 1])
    write("test-0.parquet", [-1, -1], first=10)
    data = load_dataset(tmp_path / "data", tmp_path / "c")
    assert len(data.pictures) == 4
    assert data.notes[1] == "test-0.parquet: no labels, not used"


def test_rows_that_cannot_be_used(write, tmp_path, picture):
    images = [
        {"bytes": picture(0), "path": "a.png"},
        {"bytes": None, "path": "photos/b.png"},
        {"bytes": picture(2), "path": None},
        {"bytes": picture(3), "path": ""},
        {"bytes": picture(4), "path": "e.png"},
        {"bytes": b"words", "path": "f.png"},
    ]
    path = write("t.parquet", [0, 1, 5, None, -1, 1], images=images)
    with pytest.raises(DataError) as caught:
        load_dataset(path, tmp_path / "c")
    text = str(caught.value)
    assert text.startswith(f"{path}: 5 of 6 files cannot be used:\n")
    assert "\n  2: label 5; expected 0 to 1\n" in text
    assert "\n  3: no label\n" in text
    assert "\n  4/e.png: label -1; expected 0 to 1\n" in text
    assert "\n  1/b.png: cannot be read (row 1 of row group 0 has no bytes); check " in text
    assert "\n  5/f.png: not a picture but a text file" in text


def test_no_pictures_and_no_labels(tmp_path, picture):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": ["a"], "label": [1]}), path)
    with pytest.raises(DataError) as caught:
        load_dataset(path, tmp_path / "c")
    assert str(caught.value) == (
        f"{path}: no column of pictures; got text, label; expected one named image with the "
        "pictures' bytes, as Hugging Face has it"
    )
    pq.write_table(pa.table({"image": [picture(0)]}), path)
    with pytest.raises(DataError) as caught:
        load_dataset(path, tmp_path / "c")
    assert str(caught.value) == f"{path}: pictures without labels; expected a column named label"
    assert len(load_unlabelled(path, tmp_path / "c", labels=("a", "b")).pictures) == 1


def test_damaged_files(write, tmp_path):
    path = write("t.parquet", [0, 1])
    whole = path.read_bytes()
    for data in (whole[:200], b"PAR1", b"PAR1" + bytes(100)):
        path.write_bytes(data)
        with pytest.raises(
            DataError, match=r"t\.parquet: cannot be read as Parquet \(.*\); expect"
        ):
            load_dataset(path, tmp_path / "c")


def test_files_that_name_classes_differently(write, tmp_path):
    write("a.parquet", [0, 1])
    other = {"info": {"features": {"label": {"names": ["rust", "x"], "_type": "ClassLabel"}}}}
    write("b.parquet", [0, 1], described=other)
    with pytest.raises(DataError, match="its archives name their classes differently; expected"):
        load_dataset(tmp_path / "data", tmp_path / "c")


def test_two_classes_of_one_name(write, tmp_path):
    same = {"info": {"features": {"label": {"names": ["crane", "crane"], "_type": "ClassLabel"}}}}
    path = write("a.parquet", [0, 1, 0], described=same)
    assert load_dataset(path, tmp_path / "c").labels == ("crane (0)", "crane (1)")


def test_two_kinds_of_archives(write, tmp_path, tar, picture):
    write("a.parquet", [0, 1])
    tar(tmp_path / "data" / "b.tar", {"cat/1.png": picture(1)})
    with pytest.raises(DataError) as caught:
        load_dataset(tmp_path / "data", tmp_path / "c")
    assert str(caught.value) == (
        f"{tmp_path}/data: archives of 2 kinds (a.parquet, b.tar); expected one kind; pass a "
        f"pattern, for instance {tmp_path}/data/*.parquet"
    )


def test_a_row_group_is_read_once_and_few_are_kept(write, tmp_path, monkeypatch):
    path = write("t.parquet", [0, 1] * 4)
    monkeypatch.setattr(parquet_rows, "_KEPT_BYTES", 1)
    data = load_dataset(path, tmp_path / "c")
    parquet_rows._kept.clear()
    read = []
    whole = parquet_rows._read_group
    monkeypatch.setattr(parquet_rows, "_read_group", lambda f, g: read.append(g) or whole(f, g))
    for each in data.pictures:
        read_verified(each)
    assert read == [0, 1, 2, 3]
    assert len(parquet_rows._kept) == 1


def test_a_file_that_was_written_again_is_read_again(write, tmp_path, picture):
    path = write("t.parquet", [0, 1])
    old = load_dataset(path, tmp_path / "c").pictures
    write("t.parquet", [0, 1], first=50)
    with pytest.raises(DataError, match=r"t\.parquet:0/leaf\.0\.png: changed since the data were"):
        read_verified(old[0])


def test_without_pyarrow(write, tmp_path, monkeypatch):
    path = write("t.parquet", [0, 1])
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(
        RuntimeMissingError, match=r"pyarrow, which reads Parquet, is not installed"
    ):
        load_dataset(path, tmp_path / "c")


def test_the_original_library_writes_the_same_layout(tmp_path, picture):
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets are not installed")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["healthy", "rust"])}
    )
    rows = {
        "image": [Image.open(io.BytesIO(picture(seed))) for seed in range(4)],
        "label": [0, 1, 1, 0],
    }
    path = tmp_path / "train-00000-of-00001.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(path))
    data = load_dataset(path, tmp_path / "c")
    assert data.labels == ("healthy", "rust")
    assert [p.label for p in data.pictures] == [0, 1, 1, 0]


def test_a_page_whose_checksum_differs(tmp_path, picture):
    path = tmp_path / "t.parquet"
    table = pa.table({"image": [picture(0), picture(1)], "label": ["healthy", "rusty"]})
    pq.write_table(table, path, write_page_checksum=True, compression="none")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"rusty", b"rustx", 1))
    with pytest.raises(DataError, match=r"t\.parquet: cannot be read as Parquet \(.*CRC"):
        load_dataset(path, tmp_path / "c")
