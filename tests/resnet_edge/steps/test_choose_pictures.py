from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_edge.data.calibration import read_calibration
from resnet_edge.data.decoded import decoded_path
from resnet_edge.data.manifest import read_manifest
from resnet_edge.display import Silent
from resnet_edge.errors import DataError, UsageError
from resnet_edge.inspection.model_description import read_labels
from resnet_edge.layout import Layout
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.pictures import decode_picture
from resnet_edge.options import CalibrationOptions, DataOptions, Options
from resnet_edge.steps.choose_pictures import (
    choose_pictures,
    decode_split,
    load_photos,
)

LABELS = ("blue", "green", "red")


def told(folder: Path, data: DataOptions) -> Options:
    return Options(out=folder / "build", data=data)


def test_photos_are_split_and_nothing_is_on_two_sides(edge_photos, tmp_path):
    photos = load_photos(told(tmp_path, DataOptions(edge_photos)), Silent())
    split = photos.split
    hashes = [{p.sha256 for p in side} for side in (split.train, split.validation, split.test)]
    assert sum(map(len, hashes)) == len(set.union(*hashes)) == 60
    assert photos.dataset.labels == LABELS
    assert photos.skipped == ()


def test_a_separate_test_set(edge_photos, write_photos, tmp_path, recorder):
    test = write_photos(tmp_path / "test", count=4, seed=5)
    (test / "red" / "9.png").write_bytes(b"")
    options = DataOptions(edge_photos, test=test, skip_unreadable=True)
    photos = load_photos(told(tmp_path, options), recorder)
    assert len(photos.split.test) == 12
    assert len(photos.split.train) + len(photos.split.validation) == 60
    assert len(photos.skipped) == 1
    assert photos.skipped[0].startswith(
        "red/9.png: 0 bytes; expected a JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or"
    )
    assert recorder.warned == [f"skipped {photos.skipped[0]}"]


def test_calibration_pictures_come_from_the_training_split(edge_photos, tmp_path):
    split = load_photos(told(tmp_path, DataOptions(edge_photos)), Silent()).split
    layout = Layout(tmp_path)
    chosen = choose_pictures(
        CalibrationOptions(calibration_count=9), split.train, split.test, LABELS, layout
    )
    assert chosen.source == "training split"
    assert {p.sha256 for p in chosen.pictures} < {p.sha256 for p in split.train}
    assert [p.label for p in chosen.pictures] == [0, 1, 2] * 3
    assert read_calibration(layout.calibration, edge_photos) == chosen


def test_a_calibration_folder(edge_photos, write_photos, tmp_path):
    layout = Layout(tmp_path / "out")
    folder = write_photos(tmp_path / "more", count=2, seed=7)
    chosen = choose_pictures(CalibrationOptions(folder), (), (), LABELS, layout)
    assert (len(chosen.pictures), chosen.source) == (6, "folder more")


def test_calibration_pictures_that_test_too_are_refused(edge_photos, tmp_path):
    split = load_photos(told(tmp_path, DataOptions(edge_photos)), Silent()).split
    (tmp_path / "leak").mkdir()
    shutil.copy(split.test[0].place.path, tmp_path / "leak" / "renamed.png")
    shutil.copy(split.train[0].place.path, tmp_path / "leak" / "fine.png")
    layout = Layout(tmp_path)
    with pytest.raises(DataError) as caught:
        choose_pictures(CalibrationOptions(tmp_path / "leak"), (), split.test, LABELS, layout)
    assert str(caught.value) == (
        "--calibration: 1 calibration pictures are test pictures too, the first is renamed.png; "
        "expected others, or the measured accuracy would flatter; "
        "remove them from one of the two folders"
    )
    assert not layout.calibration.exists()


def test_labels_are_read_by_lines(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("cat\n dög \r\n\nhot dog\n", encoding="utf-8")
    assert read_labels(path, 3) == ("cat", "dög", "hot dog")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_a_label(tmp_path, encoding):
    path = tmp_path / "labels.txt"
    path.write_text("cat\ndo\u0308g\n", encoding=encoding)
    assert read_labels(path, 2) == ("cat", "d\u00f6g")


def test_unreadable_calibration_pictures(write_photos, tmp_path, recorder):
    folder = write_photos(tmp_path / "more", count=2, seed=7)
    (folder / "red" / "9.png").write_bytes(b"words")
    options, layout = CalibrationOptions(folder), Layout(tmp_path / "out")
    with pytest.raises(DataError, match="1 of 7 files cannot be used"):
        choose_pictures(options, (), (), LABELS, layout)
    chosen = choose_pictures(options, (), (), LABELS, layout, recorder, skip_unreadable=True)
    assert len(chosen.pictures) == 6
    assert recorder.warned[0].startswith("skipped red/9.png: not a picture but a text file; ")


def test_calibration_pictures_in_a_zip_or_a_table(write_photos, tmp_path):
    folder = write_photos(tmp_path / "more", count=2, seed=7)
    archive = Path(shutil.make_archive(str(tmp_path / "more"), "zip", folder))
    (tmp_path / "list.csv").write_text("more/red/1.png,red\nmore/blue/0.png,blue\n")
    for source, labels in ((archive, [0, 1, 2, 0, 1, 2]), (tmp_path / "list.csv", [0, 2])):
        layout = Layout(tmp_path / "out")
        chosen = choose_pictures(CalibrationOptions(source), (), (), LABELS, layout)
        assert [p.label for p in chosen.pictures] == labels


def test_folders_for_the_sides_decide(write_photos, tmp_path, recorder):
    root = tmp_path / "photos"
    write_photos(root / "train", count=12, seed=1)
    test = write_photos(root / "validation", count=4, seed=2)
    shutil.copy(test / "red" / "0.png", root / "train" / "red" / "leaked.png")
    photos = load_photos(told(tmp_path, DataOptions(root)), recorder)
    assert {p.place.path for p in photos.split.test} == set(test.rglob("*.png"))
    assert len(photos.split.train) + len(photos.split.validation) == 36
    assert recorder.said == [
        "photos: the folders are a split: train for train; validation for validation",
        "photos: split as it was given; none is for test: the pictures for validation test, and "
        "a share of those to train validates",
    ]
    assert recorder.warned == [
        "1 picture on two sides of the split, kept only where they test or validate: "
        "train/red/leaked.png = validation/red/0.png"
    ]
    apart = load_photos(told(tmp_path, DataOptions(root / "train", test=root)), recorder)
    assert apart.split.test == apart.test.pictures
    assert {p.place.path for p in apart.split.test} == set(test.rglob("*.png"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\n", "has 2 names (2 different); the model has 3 classes; expected one name a line"),
        ("a\nb\nc\nd\n", "has 4 names (4 different); the model has 3 classes"),
        ("a\nb\nb\n", "has 3 names (2 different); the model has 3 classes"),
        ("", "has 0 names (0 different); the model has 3 classes"),
    ],
)
def test_labels_that_do_not_fit_the_model(tmp_path, text, message):
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_labels(path, 3)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"--labels: {path} ")


def test_labels_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"^--labels: .*gone.txt cannot be read \(.*No such file"):
        read_labels(tmp_path / "gone.txt", 3)
    (tmp_path / "latin1.txt").write_bytes("dög".encode("latin-1"))
    with pytest.raises(UsageError, match=r"^--labels: .*latin1.txt cannot be read \('utf-8' codec"):
        read_labels(tmp_path / "latin1.txt", 3)


def test_every_path_sees_the_same_bytes(edge_build: Path):
    """Training, calibration and evaluation map the very files that are compared here."""
    layout = Layout(edge_build)
    manifest = read_manifest(layout.dataset)
    calibration = read_calibration(layout.calibration, manifest.root)
    sides = {
        "training": manifest.split.train,
        "validation": manifest.split.validation,
        "evaluation": manifest.split.test,
        "calibration": calibration.pictures,
    }
    seen: dict[str, set[bytes]] = {}
    for side, pictures in sides.items():
        path = decoded_path(pictures, manifest.size, manifest.fit, layout.cache)
        assert path.is_file(), f"{side} did not decode through the cache"
        pixels = np.load(path, allow_pickle=False)
        for picture, row in zip(pictures, pixels, strict=True):
            expected = decode_picture(picture.place.path, manifest.size, manifest.fit)
            assert (row == expected).all(), (side, picture.name)
            seen.setdefault(picture.sha256, set()).add(row.tobytes())
    assert {len(versions) for versions in seen.values()} == {1}
    written = {path.name for path in layout.cache.glob("decoded-*.npy")}
    assert len(written) == len(sides)  # and nothing else was decoded by any step


@pytest.mark.parametrize("fit", Fit)
def test_a_split_of_other_shapes_is_what_decode_picture_gives(tmp_path, fit):
    rng = np.random.default_rng(0)
    for name, size in (("a/1.jpg", (90, 40)), ("a/2.png", (33, 70)), ("b/3.webp", (64, 64))):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    from resnet_edge.data.dataset import load_dataset

    pictures = load_dataset(tmp_path / "photos", tmp_path / "cache").pictures
    decoded = decode_split(pictures, (48, 32), fit, Options(out=tmp_path), Silent(), "training")
    for picture, row in zip(pictures, decoded, strict=True):
        assert (row == decode_picture(picture.place.path, (48, 32), fit)).all()
