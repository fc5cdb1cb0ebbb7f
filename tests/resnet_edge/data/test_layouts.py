"""Folders as people keep them, by names alone: the files are empty."""

import re
import unicodedata
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from resnet_edge.data.dataset import load_dataset, load_unlabelled
from resnet_edge.data.layouts import list_any, list_folders
from resnet_edge.data.listing import Listing
from resnet_edge.data.origins import OnDisk
from resnet_edge.data.sides import Side
from resnet_edge.data.tree import read_tree
from resnet_edge.errors import DataError


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def listed(root: Path, known: tuple[str, ...] | None = None) -> Listing:
    return list_folders(read_tree(root), root, known, OnDisk(root))


def sides(listing: Listing) -> dict[str, str | None]:
    return {c.name: c.side.value if c.side else None for c in listing.candidates}


def split(*names: str) -> list[str]:
    """Two classes with a picture each in every folder."""
    return [f"{name}/{label}/1.jpg" for name in names for label in ("cat", "dog")]


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Train", "Valid", "Test"),
        ("TRAINING", "VALIDATION", "TESTING"),
        ("training_set", "dev_set", "test_set"),
        ("training_data", "validation_data", "testing_data"),
        ("seg_train", "seg_val", "seg_test"),
        ("train2017", "val2017", "test2017"),
        ("flowers-train", "flowers-dev", "flowers-holdout"),
        ("TrainData", "ValData", "TestData"),
        ("traindata", "valset", "testimages"),
        ("01 train", "02 valid", "03 hold out"),
        ("data_train", "data_validation", "data_evaluation"),
        ("trainval", "dev", "test"),
        ("Fotos train", "Fotos val", "Fotos test"),
    ],
)
def test_sides_are_recognised_by_their_words(tmp_path, train, validation, test):
    found = listed(make(tmp_path, *split(train, validation, test)))
    assert found.labels == ("cat", "dog")
    assert found.root == tmp_path
    expected = dict.fromkeys(split(train), "train") | dict.fromkeys(split(test), "test")
    assert sides(found) == expected | dict.fromkeys(split(validation), "validation")
    assert found.notes == (
        f"the folders are a split: {train} for train; {validation} for validation; {test} for test",
    )
    assert found.problems == ()


@pytest.mark.parametrize(
    "wrapper", ["flowers.v1", "train", "seg", "archive/flowers", "a/b/c", "data/train"]
)
def test_folders_around_are_looked_through(tmp_path, wrapper):
    make(tmp_path, *(f"{wrapper}/{name}" for name in split("train", "test")), "README.md")
    found = listed(tmp_path)
    assert found.root == tmp_path / wrapper
    assert found.labels == ("cat", "dog")
    assert set(sides(found).values()) == {"train", "test"}


def test_each_side_in_a_folder_of_its_own_name(tmp_path):
    make(
        tmp_path,
        *(f"seg_train/{name}" for name in split("seg_train")),
        *(f"seg_test/{name}" for name in split("seg_test")),
        "seg_pred/seg_pred/1.jpg",
    )
    found = listed(tmp_path)
    assert found.labels == ("cat", "dog")
    assert sides(found)["seg_train/seg_train/cat/1.jpg"] == "train"
    assert len(found.candidates) == 4
    assert found.notes == (
        "the folders are a split: seg_train for train; seg_test for test",
        "seg_pred: pictures without class folders, not used",
    )


def test_classes_around_a_wrapper_are_looked_through(tmp_path):
    found = listed(make(tmp_path, "photos/photos/cat/1.jpg", "photos/photos/dog/1.jpg"))
    assert found.root == tmp_path / "photos" / "photos"
    assert sides(found) == {"cat/1.jpg": None, "dog/1.jpg": None}


def test_a_single_class_is_no_wrapper(tmp_path):
    make(tmp_path, "cat/1.jpg", "cat/indoor/2.jpg")
    assert listed(tmp_path).labels == ("cat",)
    make(tmp_path, "cat/outdoor/3.jpg")
    assert listed(tmp_path, ("cat", "dog")).labels == ("cat",)
    (tmp_path / "dog").mkdir()  # a class that its pictures have yet to come to
    assert listed(tmp_path).labels == ("cat", "dog")


def test_classes_that_are_divided_into_sides(tmp_path):
    make(
        tmp_path, "cat/train/1.jpg", "cat/test/2.jpg", "dog/train/a/3.jpg", "dog/test/4.jpg",
        "dog/val/5.jpg",
    )  # fmt: skip
    found = listed(tmp_path)
    assert found.labels == ("cat", "dog")
    assert sides(found) == {
        "cat/train/1.jpg": "train", "cat/test/2.jpg": "test", "dog/train/a/3.jpg": "train",
        "dog/test/4.jpg": "test", "dog/val/5.jpg": "validation",
    }  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        ("train", "bus", "plane"),
        ("Train", "Bus"),
        ("valid", "invalid"),
        ("test tube", "train station"),
        ("train", "tram", "val di sole"),
        ("positive", "negative"),
        ("dev", "ops"),
        ("train_1", "train_2"),
        ("testament", "trainer"),
        ("predator", "prey"),
    ],
)
def test_classes_named_like_sides_stay_classes(tmp_path, names):
    found = listed(make(tmp_path, *(f"{name}/1.jpg" for name in names)))
    assert set(found.labels) == set(names)
    assert set(sides(found).values()) == {None}
    assert found.notes == ()
    # And with folders inside of the classes, of the same names in all of them.
    make(tmp_path, *(f"{name}/{part}/2.jpg" for name in names for part in ("day", "night")))
    assert set(listed(tmp_path).labels) == set(names)


def test_a_class_named_train_within_a_split(tmp_path):
    names = [f"{side}/{c}/1.jpg" for side in ("train", "test") for c in ("train", "bus")]
    found = listed(make(tmp_path, *names))
    assert found.labels == ("bus", "train")
    assert sides(found)["train/train/1.jpg"] == "train"
    assert sides(found)["test/train/1.jpg"] == "test"


def test_a_split_without_classes_is_refused(tmp_path):
    make(tmp_path, "train/1.jpg", "test/2.jpg")
    with pytest.raises(DataError) as caught:
        listed(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: folders test, train look like a split, not like classes; expected folders "
        "per class in them; sort the pictures into classes, or pass a table of paths and labels "
        "(path,label,split) as --data; if these are classes, rename them"
    )


def test_a_side_without_classes_is_not_used(tmp_path):
    found = listed(make(tmp_path, *split("train"), "test1/1.jpg", "test1/2.jpg"))
    assert set(sides(found).values()) == {"train"}
    assert found.notes[-1] == "test1: pictures without class folders, not used"


def test_a_folder_that_does_not_belong_to_the_split(tmp_path):
    with pytest.raises(DataError) as caught:
        listed(make(tmp_path, *split("train", "test", "extra")))
    assert str(caught.value) == (
        f"{tmp_path}: folders test, train look like a split, extra does not; expected sides, such "
        "as train and test, with a folder per class in each, or a folder per class; move or rename "
        "what does not belong to them"
    )


def test_a_side_that_is_named_after_the_whole(tmp_path):
    names = [*split("rps", "rps-test-set"), "rps-validation/1.jpg"]
    with pytest.raises(DataError, match="rps-test-set, rps-validation look like a split, rps does"):
        listed(make(tmp_path, *names))


def test_a_copy_of_all_classes_among_them(tmp_path):
    make(tmp_path, "cat/1.jpg", "dog/1.jpg", "cow/1.jpg", "all/cat/1.jpg", "all/dog/1.jpg")
    with pytest.raises(DataError) as caught:
        listed(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: folder all lies among the classes and holds folders of the same names (cat, "
        "dog), as a copy of all does; expected a class; remove it, or pass it alone as --data"
    )


def test_folders_without_pictures_do_not_disturb_a_split(tmp_path):
    make(tmp_path, *split("images/train", "images/val"), "labels/train/1.txt", "notes.txt")
    found = listed(tmp_path)
    assert found.root == tmp_path / "images"
    assert set(sides(found).values()) == {"train", "validation"}


def test_classes_divided_differently_are_refused(tmp_path):
    with pytest.raises(DataError) as caught:
        listed(make(tmp_path, "cat/train/1.jpg", "cat/test/2.jpg", "dog/3.jpg"))
    assert str(caught.value).startswith(
        f"{tmp_path}: folder cat is divided into test, train, dog is not; expected all classes to "
        "be divided alike; expected sides"
    )


def test_other_classes_on_another_side(tmp_path):
    make(tmp_path, *split("train"), "test/cat/2.jpg", "test/cow/1.jpg")
    with pytest.raises(DataError, match="cow are classes of other sides, not of train; expected "):
        load_dataset(tmp_path, tmp_path / "c", skip_unreadable=True)


def test_folders_inside_of_all_classes_are_pointed_out(tmp_path):
    found = listed(make(tmp_path, *split("a", "b")))
    assert found.labels == ("a", "b")
    assert found.notes == (
        "each of the classes a, b has folders cat, dog: taken as parts of a class; if those are "
        "the classes, put them at the top",
    )


def test_pictures_outside_the_classes_are_problems(tmp_path):
    make(tmp_path, *split("train", "test"), "train/loose.jpg", "cover.png")
    assert listed(tmp_path).problems == (
        "cover.png: a picture outside the class folders; move it into one",
        "train/loose.jpg: a picture outside the class folders; move it into one",
    )


def test_two_unicode_forms_of_a_name_are_one_class(tmp_path):
    one, other = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert one != other
    make(tmp_path, f"{one}/1.jpg", "thé/1.jpg")
    if unicodedata.normalize("NFC", "x") and not (tmp_path / other).exists():
        make(tmp_path, f"{other}/2.jpg")
    found = listed(tmp_path)
    assert found.labels == (one, "thé")
    assert [c.label for c in found.candidates].count(one) == 2
    names = [c.name for c in found.candidates if c.label == one]
    assert all((tmp_path / name).is_file() for name in names)  # as the disk has them
    known = listed(tmp_path, (other, "thé"))
    assert {c.label for c in known.candidates} == {one, "thé"}


@pytest.mark.parametrize(
    "name", ["🐈", "big cat", " cat ", "a..b", "猫", "Ünïcode", "cat's, #1 (ä)"]
)
def test_any_name_is_a_label(tmp_path, name):
    found = listed(make(tmp_path, f"{name}/{name}.jpg", "other/1.jpg"))
    assert name.strip() in found.labels
    assert f"{name}/{name}.jpg" in sides(found)


def test_a_name_that_no_labels_file_can_hold(tmp_path):
    with pytest.raises(DataError, match=r"folder 'a\\nb' cannot be a label; expected letters"):
        listed(make(tmp_path, "a\nb/1.jpg", "c/1.jpg"))


def test_hidden_pictures_count_and_hidden_folders_are_named(tmp_path):
    make(tmp_path, "cat/.1.jpg", "cat/...and then.jpg", "dog/1.jpg", ".net/1.jpg", ".git/x.jpg")
    found = listed(tmp_path)
    assert set(sides(found)) == {"cat/.1.jpg", "cat/...and then.jpg", "dog/1.jpg"}
    assert found.notes == (f"{tmp_path / '.net'}: hidden, passed over",)


def test_links_to_classes_are_followed_and_circles_are_not(tmp_path):
    make(tmp_path / "elsewhere", "cat/1.jpg", "dog/1.jpg")
    root = tmp_path / "photos"
    for side in ("train", "test"):
        (root / side).mkdir(parents=True)
        for name in ("cat", "dog"):
            (root / side / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "elsewhere" / "cat" / "up").symlink_to(tmp_path / "elsewhere")
    found = listed(root)
    assert sides(found)["test/cat/1.jpg"] == "test"
    assert found.problems == (
        "test/cat/up: a symbolic link to a folder; expected the folder itself",
        "train/cat/up: a symbolic link to a folder; expected the folder itself",
    )


def test_a_table_beside_pictures_is_advised(tmp_path):
    with pytest.raises(DataError, match=r"; if train\.csv lists their classes, pass that file"):
        listed(make(tmp_path, "1.jpg", "2.jpg", "train.csv"))


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.lists(st.sampled_from(["train", "test", "val", "cat", "dog", "a b", ".x"]), max_size=4),
        max_size=6,
    )
)
def test_any_tree_is_listed_or_refused_with_words(tmp_path_factory, paths):
    root = tmp_path_factory.mktemp("tree")
    make(root, *("/".join([*parts, f"{number}.jpg"]) for number, parts in enumerate(paths)))
    try:
        found = listed(root)
    except DataError:
        with pytest.raises(DataError, match=re.escape(str(root))):
            listed(root)
        return
    assert {c.side for c in found.candidates} in ({None}, set()) or None not in {
        c.side for c in found.candidates
    }
    for candidate in found.candidates:
        assert (found.root / candidate.name).is_file()
        assert candidate.label in found.labels


# -- From the command's side: what is loaded of a folder or a zip


def write_pictures(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number, 7, 9)).save(path, "PNG")
    return root


def test_a_split_in_a_zip_with_a_folder_around(tmp_path):
    root = write_pictures(tmp_path / "flowers.v1", *split("train", "valid", "test"))
    target = tmp_path / "photos.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for path in root.rglob("*.jpg"):
            archive.write(path, path.relative_to(tmp_path).as_posix())
            archive.writestr(f"__MACOSX/{path.relative_to(tmp_path).as_posix()}", b"junk")
    data = load_dataset(target, tmp_path / "c")
    assert data.labels == ("cat", "dog")
    found = zip(data.pictures, data.sides, strict=True)
    assert {picture.name.split("/")[0]: side for picture, side in found} == {
        "train": Side.TRAIN, "valid": Side.VALIDATION, "test": Side.TEST,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "taken"), [(("train", "val", "test"), "test"), (("train", "val"), "val")]
)
def test_of_a_split_the_test_side_is_taken(tmp_path, names, taken):
    root = write_pictures(tmp_path / "photos", *split(*names))
    take = (Side.TEST, Side.VALIDATION)
    data = load_dataset(root, tmp_path / "c", labels=("dog", "cat"), take=take)
    assert [p.name for p in data.pictures] == [f"{taken}/dog/1.jpg", f"{taken}/cat/1.jpg"]
    assert data.sides == ()
    assert data.notes[-1].startswith("its pictures for ")


def test_of_a_split_the_training_side_calibrates(tmp_path):
    root = write_pictures(tmp_path / "photos", *split("train", "test"))
    data = load_unlabelled(root, tmp_path / "c", labels=("cat", "dog"))
    assert [(p.name, p.label) for p in data.pictures] == [
        ("train/cat/1.jpg", 0), ("train/dog/1.jpg", 1),
    ]  # fmt: skip


def test_pictures_for_calibration_lie_anywhere(tmp_path):
    root = make(tmp_path, "1.jpg", "x/2.jpg", "x/dog/deep/3.jpg", "Thumbs.db", "@eaDir/4.jpg")
    found = list_any(read_tree(root), root, ("cat", "dog"), OnDisk(root))
    assert {c.name: c.label for c in found.candidates} == {
        "1.jpg": "", "x/2.jpg": "", "x/dog/deep/3.jpg": "dog",
    }  # fmt: skip
