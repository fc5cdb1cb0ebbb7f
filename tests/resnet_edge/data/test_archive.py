import os
import stat
import struct
import time
import zipfile
from pathlib import Path

import pytest

from resnet_edge.data import archive
from resnet_edge.data.archive import unpack_zip
from resnet_edge.errors import DataError, OutputError
from resnet_edge.ondevice.locks import held


def make_zip(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as opened:
        for name, data in entries.items():
            opened.writestr(name, data)
    return path


def test_unpacks_under_the_hash_and_reuses_it(tmp_path):
    source = make_zip(tmp_path / "a.zip", {"cat/1.jpg": b"one", "cat/deep/2.jpg": b"two"})
    cache = tmp_path / "cache"
    root = unpack_zip(source, cache)
    assert root.parent == cache
    assert root.name == archive.hash_path(source)[:16]
    assert (root / "cat/1.jpg").read_bytes() == b"one"
    assert (root / "cat/deep/2.jpg").read_bytes() == b"two"
    (root / "marker").touch()
    assert unpack_zip(source, cache) == root
    assert (root / "marker").exists()
    assert [p.name for p in cache.iterdir()] == [root.name]


def test_backslashes_are_folders(tmp_path):
    source = make_zip(tmp_path / "a.zip", {"cat\\1.jpg": b"one"})
    assert (unpack_zip(source, tmp_path / "cache") / "cat" / "1.jpg").is_file()


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "cat/../../evil.jpg", "/evil.jpg", "..\\evil.jpg", "C:\\evil.jpg"]
)
def test_no_path_leaves_the_folder(tmp_path, name):
    source = make_zip(tmp_path / "a.zip", {"cat/1.jpg": b"one", name: b"evil"})
    with pytest.raises(DataError) as caught:
        unpack_zip(source, tmp_path / "in" / "cache")
    assert str(caught.value) == (
        f"{source}: entry {name!r} points outside the archive; expected plain relative paths; "
        "do not trust this file, or make it again"
    )
    assert [p.name for p in tmp_path.rglob("*")] == ["a.zip"]


def test_symbolic_links(tmp_path):
    source = tmp_path / "a.zip"
    with zipfile.ZipFile(source, "w") as opened:
        link = zipfile.ZipInfo("cat/1.jpg")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match=r"entry 'cat/1\.jpg' is a symbolic link or a special file"):
        unpack_zip(source, tmp_path / "cache")


def test_too_many_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_ENTRIES", 2)
    source = make_zip(tmp_path / "a.zip", {f"cat/{i}.jpg": b"x" for i in range(3)})
    with pytest.raises(DataError, match="3 entries; expected at most 2; unpack it yourself"):
        unpack_zip(source, tmp_path / "cache")


def test_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1000)
    source = make_zip(tmp_path / "a.zip", {"cat/1.jpg": bytes(600), "cat/2.jpg": bytes(600)})
    with pytest.raises(DataError, match="unpacks to 1,200 bytes; expected at most 1,000"):
        unpack_zip(source, tmp_path / "cache")


def test_absurd_ratio(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "RATIO_FREE_BYTES", 1000)
    source = make_zip(tmp_path / "a.zip", {"cat/1.bmp": bytes(1_000_000)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match=r"unpacks to \d+ times its size .* zip bomb does"):
        unpack_zip(source, tmp_path / "cache")


def test_more_bytes_than_declared(tmp_path):
    source = make_zip(tmp_path / "a.zip", {"cat/1.bmp": bytes(100_000)}, zipfile.ZIP_DEFLATED)
    data = source.read_bytes().replace(struct.pack("<I", 100_000), struct.pack("<I", 10))
    source.write_bytes(data)
    with pytest.raises(DataError, match=r"entry 'cat/1\.bmp' cannot be unpacked"):
        unpack_zip(source, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_damaged_entry_leaves_nothing(tmp_path):
    source = make_zip(tmp_path / "a.zip", {"cat/1.jpg": b"picture bytes"})
    source.write_bytes(source.read_bytes().replace(b"picture", b"PICTURE"))
    with pytest.raises(DataError, match=r"entry 'cat/1\.jpg' cannot be unpacked \(Bad CRC-32"):
        unpack_zip(source, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_encrypted(tmp_path):
    source = make_zip(tmp_path / "a.zip", {"cat/1.jpg": b"one"})
    data = bytearray(source.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    source.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"entry 'cat/1\.jpg' is encrypted; expected a zip without"):
        unpack_zip(source, tmp_path / "cache")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_same_name_twice(tmp_path):
    source = tmp_path / "a.zip"
    with zipfile.ZipFile(source, "w") as opened:
        opened.writestr("cat/1.jpg", b"one")
        opened.writestr("cat/1.jpg", b"two")
    with pytest.raises(DataError, match=r"cat/1\.jpg is in it twice"):
        unpack_zip(source, tmp_path / "cache")


@pytest.mark.parametrize("data", [b"", b"no zip at all", b"PK\x03\x04 cut off"])
def test_not_a_zip(tmp_path, data):
    source = tmp_path / "a.zip"
    source.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.zip: not a zip file, or a damaged one"):
        unpack_zip(source, tmp_path / "cache")


def test_full_disk(tmp_path, monkeypatch):
    source = make_zip(tmp_path / "a.zip", {"cat/1.jpg": b"one"})
    monkeypatch.setattr(
        archive.shutil,
        "copyfileobj",
        lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")),
    )
    with pytest.raises(OutputError, match=r"cannot be unpacked there \(No space left\); free some"):
        unpack_zip(source, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path):
    source = make_zip(tmp_path / "a.zip", {"cat/1.jpg": b"one"})
    digest = archive.hash_path(source)[:16]
    left, used = (tmp_path / "cache" / f".{digest}-{name}" for name in ("left", "used"))
    for folder in (left, used):
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - 60,) * 2)
    with held(used):  # another process unpacks into it
        root = unpack_zip(source, tmp_path / "cache")
    assert sorted((tmp_path / "cache").iterdir()) == sorted([used, root])
    os.utime(used, (1e9, 1e9))
    with held(used):  # for longer than a day: a lock that nobody lets go
        assert unpack_zip(source, tmp_path / "cache") == root
    assert list((tmp_path / "cache").iterdir()) == [root]


def test_too_little_room_is_said_before(tmp_path, monkeypatch):
    source = make_zip(tmp_path / "a.zip", {"cat/1.jpg": b"one"})
    usage = archive.shutil.disk_usage(tmp_path)._replace(free=2)
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match=r"2 bytes free; .*a\.zip unpacks to 3; free some space"):
        unpack_zip(source, tmp_path / "cache")


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"\x1f\x8b\x08", "a gzip or tar.gz archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (bytes(257) + b"ustar\x0000", "a tar archive"),
    ],
)
def test_an_archive_of_another_kind(tmp_path, start, what):
    path = tmp_path / "photos.zip"
    path.write_bytes(start + bytes(300))
    with pytest.raises(DataError) as caught:
        unpack_zip(path, tmp_path / "c")
    assert str(caught.value) == (
        f"{path}: {what}; expected a folder, a zip or a CSV; unpack it and pass the folder"
    )


def test_progress_counts_entries(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3):
            archive.writestr(f"cat/{number}.png", b"x")
    seen: list[tuple[int, int]] = []
    unpack_zip(path, tmp_path / "c", lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("at", "new", "words"),
    [
        (6, b"\xff\x00", "not a zip file, or a damaged one (zip file version 25.5)"),
        (9, b"\x08", "not a zip file, or a damaged one ('utf-8' codec can't decode byte 0x82"),
        (10, b"\x63\x00", "cannot be unpacked (That compression method is not supported"),
        (42, b"\xff\xff\xff\x7f", "; make or copy it again"),
    ],
)
def test_a_damaged_directory(tmp_path, at, new, words):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat/X1.png", b"x")
    data = bytearray(path.read_bytes().replace(b"X1", b"\x821"))  # a letter of code page 437
    place = data.index(b"PK\x01\x02") + at
    data[place : place + len(new)] = new
    path.write_bytes(data)
    with pytest.raises(DataError) as raised:
        unpack_zip(path, tmp_path / "to")
    assert words in str(raised.value)
    assert str(raised.value).startswith(f"{path}: ")
