import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge import units


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "–"),
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.98765, "98.77 %"),
        (0.999999, "> 99.99 %"),
        (0.000001, "< 0.01 %"),
        (math.nan, "NaN"),
    ],
)
def test_percent(share, text):
    assert units.percent(share) == text


@settings(deadline=None, max_examples=200)
@given(st.floats(0, 1), st.integers(1, 3))
def test_only_all_reads_as_all(share, digits):
    text = units.percent(share, digits)
    assert (text == "100 %") == (share == 1)
    assert (text == "0 %") == (share == 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.0123456, "0.0123"),
        (1.2345, "1.23"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (math.nan, "NaN"),
    ],
)
def test_significant(value, text):
    assert units.significant(value) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (25_600_000, "25.6 MB"), (3 * 10**9, "3.00 GB")]
)
def test_size(count, text):
    assert units.size(count) == text


@pytest.mark.parametrize(
    ("sqnr_db", "text"),
    [(None, "–"), (math.inf, "exact"), (math.nan, "NaN"), (31.25, "31.2 dB")],
)
def test_decibels(sqnr_db, text):
    assert units.decibels(sqnr_db) == text


def test_words():
    assert units.milliseconds(0.002) == "2.00"
    assert units.ratio(0.25) == "0.250×"
    assert units.operations(3_480_000_000) == "3.48 G"
    assert units.operations(318_000_000) == "318 M"
    assert units.plural(1, "picture") == "1 picture"
    assert units.plural(1000, "class") == "1,000 classes"
    assert (units.plural(1, "query"), units.plural(2, "query")) == ("1 query", "2 queries")


@pytest.mark.parametrize(
    ("words", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_listed(words, text):
    assert units.listed(words) == text
