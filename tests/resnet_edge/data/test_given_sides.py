"""Splits that folders or tables give, and classes of a few pictures."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_edge.data.advice import advice
from resnet_edge.data.dataset import Dataset, load_dataset
from resnet_edge.data.pictures import Picture, pictures_of
from resnet_edge.data.places import FilePlace
from resnet_edge.data.shares import SplitShares
from resnet_edge.data.sides import Side
from resnet_edge.data.split import split_dataset
from resnet_edge.errors import DataError

ROOT = Path("/photos")
SHARES = SplitShares()


def given(*rows: tuple[str, int, Side], classes: int = 2) -> Dataset:
    """Pictures by content, class and side; their names say side and content."""
    pictures = tuple(
        Picture(
            FilePlace(ROOT / f"{side.value}/{label}/{number}"),
            f"{side.value}/{label}/{content}",
            label,
            hashlib.sha256(content.encode()).hexdigest(),
        )
        for number, (content, label, side) in enumerate(rows)
    )
    labels = tuple("abcdefgh"[:classes])
    return Dataset(ROOT, labels, pictures_of(pictures), (), tuple(side for *_, side in rows))


def rows(side: Side, count: int = 12, prefix: str = "") -> list[tuple[str, int, Side]]:
    name = prefix or side.value
    return [(f"{name}{number}", number % 2, side) for number in range(count)]


def test_three_sides_are_taken_as_they_are():
    data = given(*rows(Side.TRAIN), *rows(Side.VALIDATION), *rows(Side.TEST))
    split = split_dataset(data, SHARES)
    for side, pictures in (
        (Side.TRAIN, split.train),
        (Side.VALIDATION, split.validation),
        (Side.TEST, split.test),
    ):
        assert [p.name.split("/")[0] for p in pictures] == [side.value] * 12
    assert split.dropped == ()


def test_a_missing_validation_is_a_share_of_training():
    split = split_dataset(given(*rows(Side.TRAIN, 700), *rows(Side.TEST)), SHARES)
    assert len(split.test) == 12
    assert len(split.train) + len(split.validation) == 700
    assert len(split.validation) == pytest.approx(100, rel=0.3)  # 0.1 of 0.7
    assert all(p.name.startswith("train/") for p in split.validation)


def test_without_a_test_side_those_held_apart_test():
    split = split_dataset(given(*rows(Side.TRAIN, 100), *rows(Side.VALIDATION)), SHARES)
    assert all(p.name.startswith("validation/") for p in split.test)
    assert len(split.test) == 12
    assert split.validation
    assert all(p.name.startswith("train/") for p in split.validation)


def test_a_training_side_alone_is_split_by_content():
    alone = given(*rows(Side.TRAIN, 100))
    plain = Dataset(alone.root, alone.labels, alone.pictures, ())
    assert split_dataset(alone, SHARES) == split_dataset(plain, SHARES)


def test_a_test_set_of_its_own_replaces_the_side():
    test = given(*rows(Side.TEST, prefix="other"))
    test = Dataset(Path("/test"), test.labels, test.pictures, ())
    data = given(*rows(Side.TRAIN), *rows(Side.VALIDATION), *rows(Side.TEST))
    split = split_dataset(data, SHARES, test)
    assert split.test == test.pictures
    assert len(split.validation) == 12
    assert {p.name.split("/")[0] for p in split.dropped} == {"test"}


def test_copies_on_two_sides_are_left_out_of_the_earlier_one_and_named():
    data = given(
        *rows(Side.TRAIN), *rows(Side.VALIDATION), *rows(Side.TEST),
        ("test0", 0, Side.TRAIN), ("validation1", 1, Side.TRAIN), ("test1", 1, Side.VALIDATION),
    )  # fmt: skip
    split = split_dataset(data, SHARES)
    assert [p.name for p in split.dropped] == [
        "train/0/test0", "train/1/validation1", "validation/1/test1",
    ]  # fmt: skip
    words = advice(data, split, None)
    assert words[0] == (
        "3 pictures on two sides of the split, kept only where they test or validate: "
        "train/0/test0 = test/0/test0, train/1/validation1 = validation/1/validation1, "
        "validation/1/test1 = test/1/test1"
    )


def test_a_class_that_a_side_lacks():
    data = given(*rows(Side.TRAIN), ("x", 0, Side.TEST), ("y", 0, Side.VALIDATION))
    with pytest.raises(DataError) as caught:
        split_dataset(data, SHARES)
    assert str(caught.value) == (
        "/photos: too few pictures for the split in b (6 train, 0 validation, 0 test); expected at "
        "least one to train and one to test in each class; move some of its pictures to that side, "
        "or remove the class from all sides"
    )


def plain(contents: list[tuple[str, int]], classes: int) -> Dataset:
    pictures = tuple(
        Picture(
            FilePlace(ROOT / f"{label}/{number}"),
            f"{label}/{content}",
            label,
            hashlib.sha256(content.encode()).hexdigest(),
        )
        for number, (content, label) in enumerate(contents)
    )
    return Dataset(ROOT, tuple(f"c{label}" for label in range(classes)), pictures_of(pictures), ())


def test_300_classes_of_four_pictures_each_go_on_with_advice():
    data = plain([(f"{label}-{i}", label) for label in range(300) for i in range(4)], 300)
    split = split_dataset(data, SHARES)
    for side in (split.train, split.test):
        assert {p.label for p in side} == set(range(300))
    assert len(split.train) + len(split.validation) + len(split.test) == 1200
    (words,) = advice(data, split, None)
    assert words.startswith("300 of 300 classes have fewer than 5 pictures to train on (c")
    assert words.endswith(
        " and 295 more): they will hardly be recognised; add pictures, join classes that look "
        "alike, or start from pretrained weights with --weights imagenet"
    )


def test_two_pictures_are_enough_and_copies_of_one_are_not():
    many = [(f"{label}-{i}", label) for label in range(2) for i in range(40)]
    split = split_dataset(plain([*many, ("x", 2), ("y", 2)], 3), SHARES)
    assert [p.label for p in split.train].count(2) == [p.label for p in split.test].count(2) == 1
    with pytest.raises(DataError, match=r"in c2 \(.*one picture cannot do both: add a second of"):
        split_dataset(plain([*many, ("x", 2), ("x", 2)], 3), SHARES)


def test_without_a_share_for_tests_the_advice_is_another():
    many = [(f"{label}-{i}", label) for label in range(2) for i in range(40)]
    with pytest.raises(DataError, match=r"class; give test a share with --split, or pass --test D"):
        split_dataset(plain(many, 2), SplitShares(0.9, 0.1, 0))


def test_a_picture_in_two_classes_is_named():
    many = [(f"{label}-{i}", label) for label in range(2) for i in range(40)]
    data = plain([*many, ("0-1", 1), ("0-1", 1)], 2)
    (words,) = advice(data, split_dataset(data, SHARES), None)
    assert words == (
        "1 picture in more than one class, so one of the labels is wrong: "
        "0/0-1 (c0) = 1/0-1 (c1) = 1/0-1 (c1); keep each in one class"
    )


def test_pictures_of_the_test_set_apart_count_for_conflicts_too():
    many = [(f"{label}-{i}", label) for label in range(2) for i in range(40)]
    data = plain(many, 2)
    test = plain([("0-1", 1), ("1-x", 1), ("0-y", 0)], 2)
    words = advice(data, split_dataset(data, SHARES, test), test)
    assert words[0].startswith(
        "1 picture in more than one class, so one of the labels is wrong: 0/"
    )
    assert words[1] == (
        "1 picture on two sides of the split, kept only where they test or validate: 0/0-1 = 1/0-1"
    )


def test_copies_that_look_the_same_are_named(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        for side in ("train", "test"):
            (tmp_path / side / label).mkdir(parents=True)
            for number in range(20):
                small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
                picture = small.resize((120, 90), Image.Resampling.BICUBIC)
                picture.save(tmp_path / side / label / f"{number}.png")
    original = Image.open(tmp_path / "train" / "cat" / "3.png")
    original.resize((60, 45)).save(tmp_path / "test" / "cat" / "small.png")
    original.save(tmp_path / "train" / "dog" / "again.jpg", quality=70)
    for side in ("train", "test"):
        for number, value in enumerate((250, 251)):
            flat = Image.new("RGB", (40, 40), (value, value, value - len(side)))
            flat.save(tmp_path / side / "dog" / f"flat{number}.png")
    data = load_dataset(tmp_path, tmp_path / "c")
    words = advice(data, split_dataset(data, SHARES), None)
    assert words == (
        "1 picture in more than one class as copies that were scaled or compressed again, by their "
        "look: test/cat/small.png (cat) ~ train/cat/3.png (cat) ~ train/dog/again.jpg (dog); look "
        "at them, and keep each in one class",
        "1 test picture with a copy among those that train, scaled or compressed again, by its "
        "look: test/cat/small.png ~ train/cat/3.png; the measured accuracy flatters by as much; "
        "delete the copies",
    )
