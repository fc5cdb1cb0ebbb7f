import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.data.dataset import Dataset
from resnet_edge.data.pictures import Picture, pictures_of
from resnet_edge.data.places import FilePlace
from resnet_edge.data.shares import SplitShares, parse_shares
from resnet_edge.data.split import Split, split_dataset
from resnet_edge.errors import DataError, UsageError

ROOT = Path("/photos")
SHARES = SplitShares()


def picture(content: str, label: int, name: str | None = None) -> Picture:
    name = name or f"{label}/{content}.png"
    return Picture(
        FilePlace(ROOT / name), name, label, hashlib.sha256(content.encode()).hexdigest()
    )


def at(share: float, label: int, name: str) -> Picture:
    """Return a picture whose hash is the number ``share``."""
    return Picture(
        FilePlace(ROOT / name), name, label, f"{int(share * 2**64):016x}" + f"{label:048x}"
    )


def dataset(*pictures: Picture, labels: tuple[str, ...] = ("cat", "dog")) -> Dataset:
    return Dataset(ROOT, labels, pictures_of(pictures), ())


def anchors() -> tuple[Picture, ...]:
    """Return one picture for every side and class."""
    return tuple(at(s, label, f"{label}/{s}") for label in (0, 1) for s in (0.1, 0.35, 0.9))


def sides(split: Split) -> dict[str, set[str]]:
    return {
        side: {p.sha256 for p in getattr(split, side)} for side in ("train", "validation", "test")
    }


def test_hash_chooses_the_side():
    split = split_dataset(dataset(*anchors()), SHARES)
    assert [p.name for p in split.test] == ["0/0.1", "1/0.1"]
    assert [p.name for p in split.validation] == ["0/0.35", "1/0.35"]
    assert [p.name for p in split.train] == ["0/0.9", "1/0.9"]
    assert split.dropped == ()


def test_shares_hold_on_average():
    pictures = [picture(str(i), i % 2) for i in range(5000)]
    split = split_dataset(dataset(*pictures), SHARES)
    assert len(split.train) == pytest.approx(3000, rel=0.05)
    assert len(split.validation) == pytest.approx(500, rel=0.15)
    assert len(split.test) == pytest.approx(1500, rel=0.08)


@settings(deadline=None, max_examples=50)
@given(
    old=st.lists(st.tuples(st.text(max_size=4), st.integers(0, 1)), max_size=30),
    new=st.lists(st.tuples(st.text(max_size=4), st.integers(0, 1)), max_size=30),
)
def test_stable_when_pictures_are_added_and_copies_stay_together(old, new):
    first = [picture(content, label, f"old{i}") for i, (content, label) in enumerate(old)]
    second = [picture(content, label, f"new{i}") for i, (content, label) in enumerate(new)]
    before = split_dataset(dataset(*anchors(), *first), SHARES)
    after = split_dataset(dataset(*second, *first, *anchors()), SHARES)
    for side in ("train", "validation", "test"):
        assert set(getattr(before, side)) <= set(getattr(after, side))
    found = sides(after)
    assert not found["train"] & found["test"]
    assert not found["train"] & found["validation"]
    assert not found["validation"] & found["test"]
    everything = after.train + after.validation + after.test
    assert len(everything) == 6 + len(first) + len(second)


def plainly(pictures: tuple[Picture, ...], shares: SplitShares) -> dict[str, tuple[Picture, ...]]:
    """The split by hash, picture by picture."""
    side_of: dict[str, str] = {}
    for each in pictures:
        number = int(each.sha256[:16], 16) / 2**64
        learns = "validation" if number < shares.test + shares.validation else "train"
        side_of[each.sha256] = "test" if number < shares.test else learns
    for label in (0, 1):
        of_class = sorted({p.sha256 for p in pictures if p.label == label})
        found = {side_of[sha256] for sha256 in of_class}
        if len(of_class) > 1 and shares.test and "test" not in found:
            side_of[of_class[0]] = "test"
        if of_class and "train" not in found:
            side_of[of_class[-1]] = "train"
    return {
        side: tuple(p for p in pictures if side_of[p.sha256] == side)
        for side in ("train", "validation", "test")
    }


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1)), max_size=20))
def test_columns_are_split_as_pictures_one_by_one(contents):
    few = [picture(str(number), label, f"{i}") for i, (number, label) in enumerate(contents)]
    pictures = (*few, *(picture(f"more {i}", i % 2) for i in range(30)))
    split = split_dataset(dataset(*pictures), SHARES)
    for side, expected in plainly(pictures, SHARES).items():
        assert getattr(split, side) == expected


def test_separate_test_set():
    same = at(0.9, 0, "copy")
    test = Dataset(Path("/test"), ("cat", "dog"), pictures_of((same, at(0.5, 1, "other"))), ())
    split = split_dataset(dataset(*anchors(), at(0.95, 0, "0/more")), SHARES, test)
    assert split.test == test.pictures
    assert [p.name for p in split.dropped] == ["0/0.9"]
    # Validation is 0.1 of 0.7 now: below 1/7.
    assert [p.name for p in split.validation] == ["0/0.1", "1/0.1"]
    assert [p.name for p in split.train] == ["0/0.35", "1/0.35", "1/0.9", "0/more"]


def test_separate_test_set_of_other_classes():
    test = Dataset(Path("/test"), ("cat", "cow"), pictures_of(anchors()), ())
    with pytest.raises(DataError, match="/test: classes cat, cow; expected cat, dog as in /photos"):
        split_dataset(dataset(*anchors()), SHARES, test)


def test_one_class():
    one = dataset(picture("a", 0), labels=("cat",))
    with pytest.raises(
        DataError, match=r"^/photos: 1 class \(cat\); expected at least two folders"
    ):
        split_dataset(one, SHARES)


def test_empty_class():
    with pytest.raises(
        DataError, match=r"^/photos: no pictures in dog; expected some in each class"
    ):
        split_dataset(dataset(picture("a", 0)), SHARES)


def test_too_few_pictures():
    with pytest.raises(DataError) as caught:
        split_dataset(dataset(*anchors()[:3], at(0.9, 1, "1/a")), SHARES)
    assert str(caught.value) == (
        "/photos: too few pictures for the split in dog (1 train, 0 validation, 0 test); expected "
        "at least one to train and one to test in each class; one picture cannot do both: add a "
        "second of each, or remove the folder; 20 of each class begin to teach, 100 begin to "
        "prove; or pass --test DIR with a folder per class"
    )


def test_too_few_in_the_separate_test_set():
    test = Dataset(Path("/test"), ("cat", "dog"), pictures_of((at(0.5, 0, "0/a"),)), ())
    with pytest.raises(DataError, match=r"in dog \(2 train, 1 validation, 0 test\).*, to /test$"):
        split_dataset(dataset(*anchors()), SHARES, test)


def test_nothing_to_validate():
    pictures = [p for p in anchors() if not p.name.endswith("0.35")]
    with pytest.raises(DataError, match="2 pictures to train, 0 to validate, 2 to test; expected"):
        split_dataset(dataset(*pictures), SHARES)


def test_parse_shares():
    assert parse_shares("0.7, 0.1, 0.2") == SplitShares(0.7, 0.1, 0.2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b,c", "--split: got 'a,b,c'; expected train,validation,test, for instance 0.6,"),
        ("0.5,0.5", "--split: got '0.5,0.5'; expected train,validation,test"),
        ("0.5,0.2,0.2", r"got 0.5,0.2,0.2, which add up to 0.9; expected 1"),
        ("1.5,-0.7,0.2", r"expected each share in \[0, 1\]"),
        ("nan,0.5,0.5", r"expected each share in \[0, 1\]"),
        ("0,0.5,0.5", "expected train and validation above 0"),
        ("0.5,0,0.5", "expected train and validation above 0"),
    ],
)
def test_wrong_shares(text, reason):
    with pytest.raises(UsageError, match=reason):
        parse_shares(text)
