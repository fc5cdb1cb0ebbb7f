"""Tar files: WebDataset's shards and folders of classes, read where they are."""

import hashlib
import io
import json
import os
import tarfile
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.data import stores
from resnet_edge.data.dataset import Dataset, load_dataset, load_unlabelled, read_verified
from resnet_edge.data.manifest import read_manifest, write_manifest
from resnet_edge.data.places import RangePlace
from resnet_edge.data.sides import Side
from resnet_edge.data.sources.archives import Archive
from resnet_edge.data.sources.tar_files import read_members, webdataset_entries
from resnet_edge.data.split import Split
from resnet_edge.errors import DataError, UsageError
from resnet_edge.ondevice.fit import Fit


@pytest.fixture
def shards(tmp_path, picture, tar):
    """Two shards, of four samples and of two; classes by number."""
    labels = (0, 1, 0, 1, 1, 0)
    for number, chosen in enumerate(((0, 1, 2, 3), (4, 5))):
        members = {}
        for seed in chosen:
            members[f"s{seed}.png"] = picture(seed)
            members[f"s{seed}.cls"] = str(labels[seed]).encode()
        tar(tmp_path / "wds" / f"shard-{number:03d}.tar", members)
    return tmp_path / "wds"


def found(data: Dataset) -> dict[str, str]:
    return {picture.name: data.labels[picture.label] for picture in data.pictures}


def test_shards_in_a_folder(shards, tmp_path, picture):
    data = load_dataset(shards, tmp_path / "c")
    assert data.root == shards
    assert data.labels == ("0", "1")
    assert found(data) == {
        "shard-000.tar/s0.png": "0",
        "shard-000.tar/s1.png": "1",
        "shard-000.tar/s2.png": "0",
        "shard-000.tar/s3.png": "1",
        "shard-001.tar/s4.png": "1",
        "shard-001.tar/s5.png": "0",
    }
    for seed, each in enumerate(data.pictures):
        assert isinstance(each.place, RangePlace)
        assert each.sha256 == hashlib.sha256(picture(seed)).hexdigest()
        assert read_verified(each) == picture(seed)
    assert data.pictures[0].place.offset == 512  # behind the first header


def test_names_of_classes_beside_the_shards(shards, tmp_path):
    (shards / "classnames.txt").write_text("cat\ndog\nowl\n")
    data = load_dataset(shards, tmp_path / "c")
    assert data.labels == ("cat", "dog")
    assert data.notes == (
        "names of classes from classnames.txt",
        "1 of 3 classes have no pictures: owl",
    )


@pytest.mark.parametrize("pattern", ["shard-{000..001}.tar", "shard-*.tar", "shard-00{0,1}.tar"])
def test_patterns_of_shards(shards, tmp_path, pattern):
    data = load_dataset(shards / pattern, tmp_path / "c")
    assert data.root == shards
    assert len(data.pictures) == 6


def test_a_shard_that_is_missing_of_a_pattern(shards, tmp_path):
    with pytest.raises(UsageError) as caught:
        load_dataset(shards / "shard-{000..002}.tar", tmp_path / "c")
    assert str(caught.value) == (
        f"{shards}/shard-{{000..002}}.tar: no file {shards}/shard-002.tar; expected archives, for "
        "instance shard-{000..099}.tar or *.parquet; check the pattern"
    )
    with pytest.raises(UsageError, match=r"\*\.tgz: no file fits it; expected archives"):
        load_dataset(shards / "*.tgz", tmp_path / "c")
    (shards / "1.png").touch()
    with pytest.raises(DataError, match=r"\*\.png: 1\.png is no archive; expected \.tar, \.parq"):
        load_dataset(shards / "*.png", tmp_path / "c")


def test_a_single_shard_and_labels_of_every_kind(tmp_path, picture, tar):
    members = {}
    for seed, (ending, label) in enumerate(
        [
            ("cls", b"cat\n"),
            ("txt", "\ufeffdog".encode()),
            ("json", json.dumps({"label": "owl", "caption": "x"}).encode()),
            ("json", json.dumps({"class_name": "cat", "label": 7}).encode()),
            ("json", b'"dog"'),
        ]
    ):
        members[f"a/k.{seed}.JPEG"] = picture(seed, "JPEG")
        members[f"a/k.{seed}.{ending}"] = label
    path = tar(tmp_path / "one.tar", members)
    data = load_dataset(path, tmp_path / "c")
    assert data.root == path
    assert found(data) == {
        "a/k.0.JPEG": "cat",
        "a/k.1.JPEG": "dog",
        "a/k.2.JPEG": "owl",
        "a/k.3.JPEG": "cat",
        "a/k.4.JPEG": "dog",
    }


def test_a_picture_that_is_not_the_labels(tmp_path, picture, tar):
    members = {"1.jpg": picture(1), "1.seg.png": picture(2), "1.cls": b"cat"}
    members |= {"2.left.jpg": picture(3), "2.cls": b"dog"}  # WebDataset's key is all that fits
    data = load_dataset(tar(tmp_path / "t.tar", members), tmp_path / "c")
    assert found(data) == {"1.jpg": "cat", "2.left.jpg": "dog"}
    assert data.notes == ("1 pictures beside those of the labels are not used",)


def test_cmyk_and_other_kinds_of_pictures(tmp_path, picture, tar):
    members = {"cat/1.JPEG": picture(1, "JPEG", "CMYK"), "dog/2.bmp": picture(2, "BMP", "L")}
    data = load_dataset(tar(tmp_path / "t.tar", members), tmp_path / "c")
    assert found(data) == {"cat/1.JPEG": "cat", "dog/2.bmp": "dog"}


def test_defects_of_members_are_listed(tmp_path, picture, tar):
    members = {
        "1.png": picture(1),
        "1.cls": b"cat",
        "2.png": picture(2),
        "3.png": picture(3),
        "3.cls": b"  ",
        "4.png": picture(4),
        "4.json": b"{",
        "5.png": picture(5),
        "5.json": b'{"caption": "a cat"}',
        "6.png": b"",
        "6.cls": b"cat",
        "7.png": picture(7)[:60],
        "7.cls": b"dog",
    }
    path = tar(tmp_path / "t.tar", members)
    with pytest.raises(DataError) as caught:
        load_dataset(path, tmp_path / "c")
    text = str(caught.value)
    assert text.startswith(f"{path}: 6 of 7 files cannot be used:\n")
    for line in (
        "2.png: no label beside it; expected 2.cls, .txt or .json\n",
        "3.png: an empty label; expected the class\n",
        "4.png: its label cannot be read (Expecting property name",
        "5.png: its label cannot be read (no class_name or label_name or label or class in .json)",
        "6.png: 0 bytes; expected a JPEG, PNG",
        "7.png: truncated PNG",
    ):
        assert f"\n  {line}" in text


def test_numbers_out_of_range(shards, tmp_path):
    (shards / "classes.txt").write_text("cat\n")
    with pytest.raises(DataError, match=r"shard-000\.tar/s1\.png: label 1; expected 0 to 0\n"):
        load_dataset(shards, tmp_path / "c")


def test_a_tar_of_class_folders(tmp_path, picture, tar):
    members = {
        f"./my photos/{c}/{n}.png": picture(10 * i + n)
        for i, c in enumerate("ab")
        for n in range(3)
    }
    members |= {"__MACOSX/a/._0.png": b"junk", "./my photos/a/.DS_Store": b"junk"}
    path = tar(tmp_path / "photos.tar", members)
    data = load_dataset(path, tmp_path / "c")
    assert data.root == path
    assert data.labels == ("a", "b")
    assert [p.name for p in data.pictures] == [f"{c}/{n}.png" for c in "ab" for n in range(3)]
    names = [f"{side}/{c}/{n}.png" for side in ("train", "test") for c in "ab" for n in (1, 2)]
    split = tar(tmp_path / "split.tar", {name: picture(n) for n, name in enumerate(names)})
    assert set(load_dataset(split, tmp_path / "c").sides) == {Side.TRAIN, Side.TEST}


def test_several_tars_of_class_folders(tmp_path, picture, tar):
    for number in (1, 2, 10):
        members = {f"{c}/x.png": picture(number + ord(c)) for c in "ab"}
        tar(tmp_path / "tars" / f"part{number}.tar", members)
    data = load_dataset(tmp_path / "tars", tmp_path / "c")
    assert [p.name for p in data.pictures] == [
        *("part1.tar/a/x.png", "part1.tar/b/x.png", "part2.tar/a/x.png", "part2.tar/b/x.png"),
        *("part10.tar/a/x.png", "part10.tar/b/x.png"),
    ]
    assert data.labels == ("a", "b")


def test_sides_by_the_names_of_shards(tmp_path, picture, tar):
    for place, name in enumerate(("train/0.tar", "train/1.tar", "test/0.tar")):
        labels = {f"{n}.cls": str(n).encode() for n in range(2)}
        pictures = {f"{n}.png": picture(10 * place + n) for n in range(2)}
        tar(tmp_path / "wds" / name, labels | pictures)
    data = load_dataset(tmp_path / "wds", tmp_path / "c")
    sides = dict(zip([p.name for p in data.pictures], data.sides, strict=True))
    assert sides["test/0.tar/0.png"] is Side.TEST
    assert sides["train/1.tar/1.png"] is Side.TRAIN
    assert data.notes == ("the archives are a split: 2 for train, 1 for test",)
    taken = load_unlabelled(tmp_path / "wds", tmp_path / "c", labels=("0", "1"))
    assert {p.name[:6] for p in taken.pictures} == {"train/"}
    tar(tmp_path / "wds" / "more.tar", {"1.png": picture(77), "1.cls": b"1"})
    with pytest.raises(
        DataError, match=r"wds: more\.tar has no side in its name, others have \(te"
    ):
        load_dataset(tmp_path / "wds", tmp_path / "c")


def test_one_side_alone_is_no_split(tmp_path, picture, tar):
    for number in range(2):
        members = {
            "1.png": picture(number),
            "1.cls": b"1",
            "2.png": picture(9 + number),
            "2.cls": b"2",
        }
        tar(tmp_path / "wds" / f"train-{number}.tar", members)
    assert load_dataset(tmp_path / "wds", tmp_path / "c").sides == ()


def test_a_compressed_tar(tmp_path, picture, tar):
    path = tar(tmp_path / "photos.tar.gz", {"cat/1.png": picture(1)}, "w:gz")
    expected = (
        "compressed as a whole, so no picture in it can be read alone; expected a plain .tar, "
        ".parquet or .tfrecord; unpack it once, for instance with `gunzip`"
    )
    with pytest.raises(DataError) as caught:
        load_dataset(path, tmp_path / "c")
    assert str(caught.value) == f"{path}: {expected}"
    (tmp_path / "f").mkdir()
    path.rename(tmp_path / "f" / "x.tgz")
    with pytest.raises(DataError) as caught:
        load_dataset(tmp_path / "f", tmp_path / "c")
    assert str(caught.value) == f"{tmp_path}/f: x.tgz: {expected}"


@pytest.mark.parametrize("cut", [1, 511, 700, 1024 + 300, 1536, 2048 + 100])
def test_a_truncated_tar(shards, tmp_path, cut):
    path = shards / "shard-000.tar"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError) as caught:
        load_dataset(shards, tmp_path / "c")
    assert str(caught.value).startswith(f"{path}: not a tar file, or a damaged one (")
    assert str(caught.value).endswith("expected a whole, plain tar; copy it again")


def test_links_and_copies_in_a_tar(tmp_path, picture):
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w") as made:
        for name in ("cat/1.png", "cat/1.png", "dog/1.png"):
            info = tarfile.TarInfo(name)
            info.size = len(picture(1))
            made.addfile(info, io.BytesIO(picture(1)))
        link = tarfile.TarInfo("dog/2.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)
    with pytest.raises(DataError) as caught:
        load_dataset(path, tmp_path / "c")
    assert "\n  cat/1.png: in it twice; expected each once\n" in str(caught.value)
    assert "\n  dog/2.png: a link or a special file; expected a plain file\n" in str(caught.value)


def test_the_manifest_finds_members_again(shards, tmp_path):
    data = load_dataset(shards, tmp_path / "c")
    split = Split(data.pictures[:3], data.pictures[3:4], data.pictures[4:])
    path = tmp_path / "dataset.json"
    write_manifest(path, data, split, (8, 8), Fit.CROP)
    manifest = read_manifest(path)
    assert manifest.split == split
    assert manifest.root == shards
    assert '"shard-000.tar#bytes=512+' in path.read_text()
    (shards / "shard-001.tar").unlink()
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    assert str(caught.value) == (
        f"{path}: 2 of its 6 pictures are gone, the first is {shards}/shard-001.tar:s4.png; "
        "put them back, or run finetune again"
    )


def test_a_single_archive_in_the_manifest(tmp_path, picture, tar):
    archive = tar(tmp_path / "x.tar", {f"{c}/1.png": picture(ord(c)) for c in "ab"})
    data = load_dataset(archive, tmp_path / "c")
    write_manifest(tmp_path / "d.json", data, Split(data.pictures, (), ()), (8, 8), Fit.CROP)
    assert '"#bytes=512+' in (tmp_path / "d.json").read_text()
    assert read_manifest(tmp_path / "d.json").split.train == data.pictures


def test_a_shard_that_was_changed_or_cut(shards, tmp_path, picture, tar):
    data = load_dataset(shards, tmp_path / "c")
    path = shards / "shard-001.tar"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"IDAT", b"XDAT"))
    with pytest.raises(DataError, match=r"shard-001\.tar:s4\.png: changed since the data were spl"):
        read_verified(data.pictures[4])
    path.write_bytes(whole[:600])
    with pytest.raises(DataError, match=r"s4\.png: cannot be read \(88 bytes at byte 512; expect"):
        read_verified(data.pictures[4])
    path.unlink()
    with pytest.raises(DataError, match=r"shard-001\.tar:s4\.png: gone since the data were split"):
        read_verified(data.pictures[4])


def test_members_are_read_once_while_the_shard_stays(shards, tmp_path, monkeypatch):
    for path in shards.iterdir():
        os.utime(path, (time.time() - 3600,) * 2)
    first = load_dataset(shards, tmp_path / "c")
    monkeypatch.setattr(stores, "read_range", lambda *place: pytest.fail(str(place)))
    assert load_dataset(shards, tmp_path / "c") == first


def test_the_original_library_writes_the_same_layout(tmp_path, picture):
    webdataset = pytest.importorskip("webdataset", reason="WebDataset is not installed")
    with webdataset.TarWriter(str(tmp_path / "w.tar")) as writer:
        for seed in range(4):
            sample = {"__key__": f"n/s{seed}", "png": picture(seed), "cls": seed % 2}
            writer.write({**sample, "json": {"label": "x"}})
    data = load_dataset(tmp_path / "w.tar", tmp_path / "c")
    assert found(data) == {f"n/s{seed}.png": str(seed % 2) for seed in range(4)}


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=3000))
def test_any_bytes_are_a_tar_or_refused_with_words(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("tar") / "t.tar"
    path.write_bytes(data)
    try:
        webdataset_entries(read_members(Archive(path, "t.tar")))
    except DataError as problem:
        assert str(problem).startswith(f"{path}: ")  # noqa: PT017


def test_a_picture_that_describes_the_shards(shards, tmp_path, picture):
    (shards / "assets").mkdir()
    (shards / "assets" / "preview.png").write_bytes(picture(99))
    data = load_dataset(shards, tmp_path / "c")
    assert len(data.pictures) == 6
    assert data.notes == ("pictures beside the archives are not used",)
    (shards / "cat").mkdir()
    (shards / "cat" / "1.png").write_bytes(picture(98))
    assert load_dataset(shards, tmp_path / "c").labels == ("assets", "cat")
