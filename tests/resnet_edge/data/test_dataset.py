import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resnet_edge.data import picture_check
from resnet_edge.data.dataset import load_dataset, read_verified
from resnet_edge.data.names import natural_key
from resnet_edge.data.places import FilePlace
from resnet_edge.errors import DataError, OutputError, UsageError


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for seed, name in enumerate(["10/1.png", "2/10.png", "2/2.png", "2/deep/1.png"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(seed))
    return root


def zipped(root: Path, prefix: str = "") -> Path:
    target = root.parent / "photos.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            archive.write(path, prefix + path.relative_to(root).as_posix())
    return target


def test_folder_per_class(photos, tmp_path):
    seen = []
    data = load_dataset(photos, tmp_path / "c", progress=lambda done, n: seen.append((done, n)))
    assert data.root == photos
    assert data.labels == ("2", "10")
    names = ["2/2.png", "2/10.png", "2/deep/1.png", "10/1.png"]
    assert [p.name for p in data.pictures] == names
    assert [p.label for p in data.pictures] == [0, 0, 0, 1]
    assert data.pictures[0].place == FilePlace(photos / "2" / "2.png")
    assert data.pictures[0].sha256 == hashlib.sha256(png(2)).hexdigest()
    assert data.skipped == ()
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("prefix", ["", "my photos/"])
def test_zip_gives_the_same(photos, tmp_path, prefix):
    from_folder = load_dataset(photos, tmp_path / "c")
    (photos / "__MACOSX" / "2").mkdir(parents=True)
    (photos / "__MACOSX" / "2" / "._2.png").write_bytes(b"junk")
    from_zip = load_dataset(zipped(photos, prefix), tmp_path / "c")
    assert from_zip.labels == from_folder.labels
    for one, other in zip(from_folder.pictures, from_zip.pictures, strict=True):
        assert (one.name, one.label, one.sha256) == (other.name, other.label, other.sha256)
        assert other.place.read_bytes() == one.place.read_bytes()


def test_labels_of_a_model(photos, tmp_path):
    data = load_dataset(photos, tmp_path / "c", labels=("10", "7", "2"))
    assert data.labels == ("10", "7", "2")
    assert [p.label for p in data.pictures] == [0, 2, 2, 2]
    with pytest.raises(DataError) as caught:
        load_dataset(photos, tmp_path / "c", labels=("cat", "2"))
    assert str(caught.value) == (
        f"{photos}: folders 10 are no classes of the model; expected cat, 2; rename or remove them"
    )


def test_a_model_without_names(photos, tmp_path):
    with pytest.raises(DataError) as caught:
        load_dataset(photos, tmp_path / "c", labels=("class 0", "class 1"))
    assert str(caught.value) == (
        f"{photos}: folders 2, 10 are no classes of the model; expected class 0, class 1; "
        "export it again with its names: `resnet-edge export --labels FILE`"
    )


def test_no_such_folder(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere: no such folder or zip file; .* check the path"):
        load_dataset(tmp_path / "nowhere", tmp_path / "c")


def test_pictures_without_class_folders(tmp_path):
    (tmp_path / "1.png").write_bytes(png(0))
    with pytest.raises(DataError, match="no folders in it; expected a folder per class"):
        load_dataset(tmp_path, tmp_path / "1.png")


def test_every_unreadable_file_is_listed(photos, tmp_path):
    (photos / "2" / "empty.jpg").touch()
    (photos / "2" / "notes.jpg").write_text("words")
    (photos / "10" / "cut.png").write_bytes(png(9)[:100])
    (photos / "10" / "readme.md").write_text("words")
    (photos / "loose.png").write_bytes(png(9))
    with pytest.raises(DataError) as caught:
        load_dataset(photos, tmp_path / "c")
    text = str(caught.value)
    assert text.startswith(f"{photos}: 5 of 9 files cannot be used:\n")
    assert "\n  loose.png: a picture outside the class folders; move it into one\n" in text
    assert (
        "\n  2/empty.jpg: 0 bytes; expected a JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or GIF\n"
        in text
    )
    assert "\n  2/notes.jpg: not a picture but a text file; expected a JPEG" in text
    assert "\n  10/readme.md: not a picture but a text file" in text
    assert "\n  10/cut.png: truncated PNG (image file is truncated" in text
    assert text.endswith("\nrepair or delete them, or pass --skip-unreadable to go on without them")

    data = load_dataset(photos, tmp_path / "c", skip_unreadable=True)
    assert len(data.pictures) == 4
    assert [line.split(":")[0] for line in data.skipped] == [
        "loose.png", "2/empty.jpg", "2/notes.jpg", "10/cut.png", "10/readme.md",
    ]  # fmt: skip


def test_a_missing_reader_is_advised_at_the_end(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (photos / "2" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    with pytest.raises(DataError) as caught:
        load_dataset(photos, tmp_path / "c")
    assert str(caught.value) == (
        f"{photos}: 1 of 5 files cannot be used:\n"
        "  2/IMG_1.HEIC: an HEIC, which pillow-heif reads, and that is not installed; "
        "run `pip install pillow-heif`\n"
        "install what is missing, repair or delete them, or pass --skip-unreadable to go on "
        "without them"
    )


def test_a_long_list_is_cut(photos, tmp_path):
    for i in range(25):
        (photos / "2" / f"empty{i}.png").touch()
    with pytest.raises(DataError, match="25 of 29 files cannot be used") as caught:
        load_dataset(photos, tmp_path / "c")
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + 20 + 1 + 1
    assert lines[21] == "  and 5 more"


def test_junk_is_passed_over(photos, tmp_path):
    for name in ("2/.DS_Store", "2/Thumbs.db", "2/desktop.ini", ".git/config", "README.md"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes(b"junk")
    data = load_dataset(photos, tmp_path / "c")
    assert len(data.pictures) == 4
    assert data.skipped == ()


def test_linked_folder_is_reported(photos, tmp_path):
    (photos / "2" / "again").symlink_to(photos, target_is_directory=True)
    with pytest.raises(DataError, match="2/again: a symbolic link to a folder"):
        load_dataset(photos, tmp_path / "c")


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_name_outside_utf8_is_reported(photos, tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(photos) + b"/2/\xff.png")).write_bytes(png(5))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(DataError, match=r"2/\\udcff\.png: not named in UTF-8; rename it"):
        load_dataset(photos, tmp_path / "c")


def test_nothing_left(photos, tmp_path):
    for path in photos.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no pictures in its class folders"):
        load_dataset(photos, tmp_path / "c", skip_unreadable=True)


def test_content_is_decoded_once(photos, tmp_path, monkeypatch):
    first = load_dataset(photos, tmp_path / "c")
    decoded = []

    def check(data: bytes, name: str) -> Image.Image:
        decoded.append(name)
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr(picture_check, "check_bytes", check)
    assert load_dataset(photos, tmp_path / "c") == first
    assert decoded == []
    (photos / "2" / "2.png").write_bytes(png(77))
    load_dataset(photos, tmp_path / "c")
    assert decoded == ["2/2.png"]


def test_unwritable_cache(photos, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written \(Not a directory\)"):
        load_dataset(photos, tmp_path / "file" / "c")


def test_an_interruption_does_not_decode_the_rest(photos, tmp_path):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_dataset(photos, tmp_path / "c", progress=interrupt)
    assert len(load_dataset(photos, tmp_path / "c").pictures) == 4


def test_changed_or_gone_picture(photos, tmp_path):
    picture = load_dataset(photos, tmp_path / "c").pictures[0]
    assert read_verified(picture) == png(2)
    picture.place.path.write_bytes(png(3))
    with pytest.raises(DataError, match=r"2\.png: changed since the data were split \(sha256 is"):
        read_verified(picture)
    picture.place.path.unlink()
    with pytest.raises(DataError, match=r"2\.png: gone since the data were split; put it back"):
        read_verified(picture)


def test_natural_order():
    names = ["img12", "10", "b", "2", "A", "img2", "01", "1"]
    assert sorted(names, key=natural_key) == ["01", "1", "2", "10", "A", "b", "img2", "img12"]


@given(st.lists(st.text(max_size=6), max_size=8))
def test_natural_order_takes_any_names(names):
    ordered = sorted(names, key=natural_key)
    names.reverse()
    assert sorted(names, key=natural_key) == ordered
