from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_edge.errors import UsageError
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.option import (
    AT_LEAST_1,
    POSITIVE,
    Changes,
    Names,
    Range,
    check_options,
    declared_option,
    declared_options,
    option,
)


@dataclass(frozen=True)
class Record:
    number: int = option(1, "A number.", "Numbers", within=Range("1 to 9", 1, 9))
    share: float | None = option(None, "A share.", "Numbers", flag="--part", within=POSITIVE)
    counts: tuple[int, ...] = option((), "Counts.", "Numbers", within=AT_LEAST_1)
    word: str = option("cat", "A word.", "Words", within=Names(("cat", "dog")))
    path: Path | None = option(None, "A path.", "Words")
    fit: Fit = option(Fit.CROP, "A fit.", "Words")
    unseen: float = option(0.5, "Not on the command line.", within=POSITIVE)
    plain: int = 0

    def __post_init__(self) -> None:
        check_options(self)


def test_what_is_declared():
    found = declared_options(Record)
    assert [each.name for each in found] == [
        *("number", "share", "counts", "word", "path", "fit", "unseen")
    ]
    assert [each.flag for each in found[:3]] == ["--number", "--part", "--counts"]
    assert found[-1].flag == "unseen"
    assert declared_option(Record, "share").kind is float
    assert declared_option(LatencySpec, "min_queries").default == 64


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"number": 0}, "--number: got 0; expected 1 to 9"),
        ({"number": 10}, "--number: got 10; expected 1 to 9"),
        ({"share": 0.0}, "--part: got 0.0; expected a finite number above 0"),
        ({"share": math.nan}, "--part: got nan; expected a finite number above 0"),
        ({"counts": (2, 0)}, "--counts: got 0; expected at least 1"),
        ({"word": "cow"}, "--word: got cow; expected one of cat, dog"),
        ({"fit": "round"}, "--fit: got round; expected one of crop, stretch, pad"),
        ({"unseen": math.inf}, "unseen: got inf; expected a finite number above 0"),
    ],
)
def test_a_wrong_value_is_named(values, message):
    with pytest.raises(UsageError) as caught:
        Record(**values)
    assert str(caught.value) == message


def test_text_and_lists_become_what_the_field_is():
    record = Record(path="a/b", fit="pad", counts=[1, 2])
    assert record == Record(path=Path("a/b"), fit=Fit.PAD, counts=(1, 2))
    assert hash(record)


@given(st.floats(allow_nan=True))
def test_a_range_holds_what_lies_in_it(value):
    inner = Range("", 0, 1, open_low=True, open_high=True)
    assert inner.holds(value) == (0 < value < 1)
    assert Range("", 0, 1).holds(value) == (0 <= value <= 1)


def test_changes_leave_the_other_fields():
    changes = Changes(Record(number=5, word="dog"), frozenset({"number"}))
    assert changes.of(Record(number=2, word="cat")) == Record(number=5, word="cat")
    assert Changes(Record(), ["number"]).names == {"number"}
    with pytest.raises(UsageError, match=r"^changes: got nmber; expected some of number, share, "):
        Changes(Record(), frozenset({"nmber"}))
