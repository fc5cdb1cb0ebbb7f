"""Limits as a person writes them."""

from pathlib import Path

import pytest

from resnet_edge.compression.limits import (
    CompressionOptions,
    Limits,
    parse_points,
    parse_results,
    parse_sides,
)
from resnet_edge.errors import UsageError


@pytest.mark.parametrize(
    ("text", "share"), [("1%", 0.01), ("0.5", 0.005), (" 2 % ", 0.02), (".25%", 0.0025)]
)
def test_points(text: str, share: float) -> None:
    assert parse_points(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "one", "1 point", "%", "nan", "1e400"])
def test_what_is_no_number_of_points(text: str) -> None:
    with pytest.raises(UsageError, match=r"--max-loss: got .*; expected percentage points"):
        parse_points(text)


def test_sides_come_largest_first_and_once() -> None:
    assert parse_sides("160, 224,160") == (224, 160)


@pytest.mark.parametrize("text", ["", "big", "-64", "64.5"])
def test_what_are_no_sides(text: str) -> None:
    with pytest.raises(UsageError, match="--input-sizes: got"):
        parse_sides(text)


def test_results_are_separated_by_commas() -> None:
    assert parse_results("a.json, b.json") == (Path("a.json"), Path("b.json"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_loss": 0.0}, "--max-loss: got 0.0; expected points above 0 %"),
        ({"max_loss": -0.01}, "--max-loss: got -0.01"),
        ({"max_loss": float("nan")}, "--max-loss: got nan"),
        ({"max_loss": 1.0}, "--max-loss: got 1.0"),
        ({"max_bytes": 0}, "--max-bytes: got 0"),
        ({"budget_minutes": 0.0}, "--budget-minutes: got 0.0"),
        ({"input_sizes": (8,)}, "--input-sizes: got 8; expected 16 to 4096"),
        ({"on_device": (Path("nothing.json"),)}, "--on-device: no such file: nothing.json"),
    ],
)
def test_values_out_of_range(values: dict, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        CompressionOptions(**values)
    assert str(refused.value).startswith(words)


@pytest.mark.parametrize("values", [{}, {"p90_s": 0.0}, {"loss": float("nan")}, {"bytes": -1}])
def test_limits_that_are_none(values: dict) -> None:
    with pytest.raises(ValueError, match="limits of"):
        Limits(**values)


def test_a_limit_of_latency_or_size_is_hard() -> None:
    assert Limits(p90_s=0.02).is_hard
    assert Limits(bytes=1).is_hard
    assert not Limits(loss=0.01).is_hard
