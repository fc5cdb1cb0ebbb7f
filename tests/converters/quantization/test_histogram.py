"""Histograms: exact counts, and the same whatever the order or the parts."""

import dataclasses
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.quantization.histogram import BINS, Grid, Histogram, HistogramRecord

LARGEST = float(np.finfo(np.float32).max)
TINIEST = 2.0**-149  # the smallest subnormal float32

numbers = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(-8, 8, width=32),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, TINIEST, -TINIEST, LARGEST, -LARGEST]),
)
tensors = st.one_of(
    st.lists(numbers, min_size=1, max_size=30),
    st.lists(st.floats(-8, -0.125, width=32), min_size=1, max_size=30),
    st.builds(lambda value, size: [value] * size, numbers, st.integers(1, 9)),
)


def histogram(*values: float) -> Histogram:
    return Histogram.of(np.array(values, np.float32))


def filled(of: Histogram) -> dict[int, int]:
    """Count by index of the bin, without the empty ones."""
    return {of.first + i: int(count) for i, count in enumerate(of.counts) if count}


def test_by_hand() -> None:
    found = histogram(0, 0.5, 1.5, 0.5, 0.50048828125)
    assert found.grid == Grid(exponent=-10, first=0, size=1537)
    assert filled(found) == {0: 1, 512: 3, 1536: 1}
    assert (found.low, found.high, found.count) == (0.0, 1.5, 5)


def test_signed_by_hand() -> None:
    assert histogram(-1, 0.9999).grid == Grid(exponent=-10, first=-1024, size=2048)
    found = histogram(-1, -0.001, 0, 1)  # one bin more, so bins of twice the width
    assert found.grid == Grid(exponent=-9, first=-512, size=1025)
    assert filled(found) == {-512: 1, -1: 1, 0: 1, 512: 1}


def test_edges_and_centres_by_hand() -> None:
    found = histogram(1000, 3000)
    assert found.grid == Grid(exponent=0, first=1000, size=2001)
    assert found.edges.dtype == found.centres.dtype == np.float64
    assert found.edges[[0, 1, -1]].tolist() == [1000.0, 1001.0, 3001.0]
    assert found.centres[[0, 1, -1]].tolist() == [1000.5, 1001.5, 3000.5]
    assert found.grid.width == 1.0


@pytest.mark.parametrize(
    ("value", "grid"),
    [
        (0.0, Grid(-149, 0, 1)),
        (-0.0, Grid(-149, 0, 1)),
        (1.0, Grid(-23, 2**23, 1)),
        (-1.0, Grid(-23, -(2**23), 1)),
        (TINIEST, Grid(-149, 1, 1)),
        (-TINIEST, Grid(-149, -1, 1)),
        (LARGEST, Grid(104, 2**24 - 1, 1)),
    ],
)
def test_a_constant_has_one_bin(value: float, grid: Grid) -> None:
    found = histogram(value, value, value)
    assert found.grid == grid
    assert found.counts.tolist() == [3]


def test_minus_zero_is_zero() -> None:
    assert math.copysign(1, histogram(-0.0).low) == math.copysign(1, histogram(-0.0).high) == 1


def test_the_whole_of_float32() -> None:
    found = histogram(-LARGEST, -TINIEST, 0, TINIEST, LARGEST)
    assert found.grid == Grid(exponent=118, first=-1024, size=2048)
    assert filled(found) == {-1024: 1, -1: 1, 0: 2, 1023: 1}


@given(tensors)
def test_every_value_is_in_its_bin(values: list[float]) -> None:
    found = histogram(*values)
    width = Fraction(2) ** found.exponent
    expected: dict[int, int] = {}
    for value in values:
        index = math.floor(Fraction(value) / width)
        expected[index] = expected.get(index, 0) + 1
    assert filled(found) == expected
    assert (found.low, found.high) == (min(values), max(values))


@given(tensors)
def test_bins_are_as_fine_as_they_may_be(values: list[float]) -> None:
    found = histogram(*values)
    assert found.counts.size <= BINS
    half = Fraction(2) ** (found.exponent - 1)
    first, last = (math.floor(Fraction(end) / half) for end in (found.low, found.high))
    beyond_float32 = max(abs(found.low), abs(found.high)) / half >= 2**24
    assert last - first + 1 > BINS or beyond_float32 or found.exponent == -149


@given(st.lists(tensors, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_parts_in_any_order_merge_to_the_whole(parts: list[list[float]], random) -> None:
    whole = histogram(*(value for part in parts for value in part))
    random.shuffle(parts)
    merged = [histogram(*part) for part in parts]
    while len(merged) > 1:
        one, other = merged.pop(random.randrange(len(merged))), merged.pop()
        merged.append(one.merge(other))
    assert merged == [whole]


@given(tensors, st.randoms(use_true_random=False))
def test_the_order_of_values_does_not_matter(values: list[float], random) -> None:
    first = histogram(*values)
    random.shuffle(values)
    assert histogram(*values) == first


def test_a_large_tensor_equals_its_parts() -> None:
    values = np.random.default_rng(5).normal(size=(7, 50, 500)).astype(np.float32)
    whole = Histogram.of(values)
    merged = Histogram.of(values[0])
    for part in values[1:]:
        merged = merged.merge(Histogram.of(part))
    assert merged == whole == Histogram.of(values.transpose(2, 0, 1)[::-1])
    assert whole.count == values.size


def test_merging_leaves_the_parts_alone() -> None:
    narrow, wide = histogram(0.25, 0.5), histogram(-300, 4)
    before = (narrow.to_record(), wide.to_record())
    assert filled(narrow.merge(wide)) == {-1200: 1, 1: 1, 2: 1, 16: 1}
    assert (narrow.to_record(), wide.to_record()) == before


@given(tensors)
def test_a_record_survives_json(values: list[float]) -> None:
    found = histogram(*values)
    text = json.dumps(dataclasses.asdict(found.to_record()))
    assert Histogram.from_record(HistogramRecord(**json.loads(text))) == found


def test_a_record_holds_plain_numbers() -> None:
    assert histogram(3000, 3001, 3001.25).to_record() == HistogramRecord(
        exponent=-10,
        first=3000 * 1024,
        counts=(1, *[0] * 1023, 1, *[0] * 255, 1),
        low=3000.0,
        high=3001.25,
    )


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint8, np.int16])
def test_types_that_float32_holds(dtype: type) -> None:
    values = np.array([3, 100, 7], dtype)
    assert Histogram.of(values) == Histogram.of(values.astype(np.float32))


def test_equality_is_of_all_fields() -> None:
    assert histogram(1, 2) != histogram(1, 1, 2)
    assert histogram(0.5) != 0.5


def test_counts_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        histogram(1, 2).counts[0] = 5


def test_counts_on_a_coarser_grid() -> None:
    found = histogram(1000, 1001, 3000)
    assert found.counts_on(Grid(10, -1, 5)).tolist() == [0, 2, 0, 1, 0]
    assert found.counts_on(Grid(500, 0, 1)).tolist() == [3]
    assert histogram(-1000, 3).counts_on(Grid(500, -1, 2)).tolist() == [1, 1]


@pytest.mark.parametrize("grid", [Grid(-1, 0, 9999), Grid(0, 1001, 9999), Grid(0, 0, 3000)])
def test_counts_on_a_grid_that_does_not_hold_them(grid: Grid) -> None:
    with pytest.raises(ValueError, match="expected a coarser one around them") as caught:
        histogram(1000, 3000).counts_on(grid)
    assert str(caught.value) == (
        f"{grid} for bins of Grid(exponent=0, first=1000, size=2001); "
        "expected a coarser one around them"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, np.nan, 2.0], "values from nan to nan; expected finite values only"),
        ([1.0, np.inf], "values from 1.0 to inf; expected finite values only"),
        ([-np.inf, 2.0], "values from -inf to 2.0; expected finite values only"),
        ([], "no values; expected at least one"),
    ],
)
def test_values_that_cannot_be_counted(values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        histogram(*values)
    assert str(caught.value) == message


def test_float64_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^values of type float64; expected float32$"):
        Histogram.of(np.zeros(3))


@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (math.nan, 1.0), (0.0, math.inf)])
def test_a_grid_of_impossible_ends(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="expected finite and ascending ends") as caught:
        Grid.of(low, high)
    assert str(caught.value) == (f"values from {low} to {high}; expected finite and ascending ends")


@pytest.mark.parametrize(
    "change",
    [{"exponent": -9}, {"first": 1}, {"counts": (1,)}, {"counts": ()}, {"high": 9.0}],
)
def test_a_record_on_other_bins(change: dict[str, object]) -> None:
    record = dataclasses.replace(histogram(0, 1.5).to_record(), **change)
    with pytest.raises(ValueError, match="collect the statistics anew") as caught:
        Histogram.from_record(record)
    assert str(caught.value) == (
        f"histogram of values from 0.0 to {record.high} on "
        f"{Grid(record.exponent, record.first, len(record.counts))}; "
        f"expected {Grid.of(0.0, record.high)}; collect the statistics anew"
    )


@pytest.mark.parametrize("counts", [(0, 1), (1, 0), (-1, 1)])
def test_a_record_with_impossible_counts(counts: tuple[int, int]) -> None:
    low = 1.0
    record = HistogramRecord(-23, 2**23, counts, low, low + 2.0**-23)
    with pytest.raises(ValueError, match="negative count") as caught:
        Histogram.from_record(record)
    assert str(caught.value) == (
        "histogram with a negative count or an empty first or last bin; expected the first "
        "to hold the smallest value and the last the largest; collect the statistics anew"
    )
