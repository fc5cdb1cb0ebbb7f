"""The gate of placement: what fell back, what may, and what is not told."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_edge.ondevice.measurements import UNNAMED, Latency, Provider, Verdict
from resnet_edge.ondevice.parity.gates import Gates, judge_latency
from resnet_edge.ondevice.parity.placement import judge_placement

LATENCY = Latency("LiteRT", 1, (0.01,) * 64, 0.01, 0.1, 10**8, 5)
REQUIRED = Gates(require_delegate=True)


def placed(*left: str) -> Latency:
    return dataclasses.replace(LATENCY, provider=Provider("XNNPACK", "…", left))


def test_nothing_left_passes() -> None:
    result = judge_placement([placed()], ())
    assert (result.verdict, result.reason) == (Verdict.PASS, "every operator ran in XNNPACK")


def test_what_fell_back_is_named_and_counted() -> None:
    result = judge_placement([placed("PAD", "QUANTIZE", "PAD")], ("QUANTIZE",))
    assert result.verdict is Verdict.FAIL
    assert result.reason == (
        "LiteRT ran PAD (2) in its own kernels, not in XNNPACK (every operator wanted there; "
        "--delegate-except names those that may stay)"
    )


def test_what_may_stay_is_told_too() -> None:
    result = judge_placement([placed("QUANTIZE")], ("QUANTIZE", "PAD"))
    assert result.verdict is Verdict.PASS
    assert result.reason == "every operator ran in XNNPACK, but for QUANTIZE (1), as allowed"


def test_operators_without_names_cannot_be_allowed_by_name() -> None:
    result = judge_placement([placed(UNNAMED)], ("QUANTIZE", "PAD"))
    assert result.verdict is Verdict.FAIL
    assert result.reason.startswith("LiteRT ran operators that it does not name in its own kernels")


@pytest.mark.parametrize(
    ("provider", "asked"),
    [
        (None, "a delegate"),
        (Provider("", ""), "a delegate"),
        (Provider("XNNPACK", ""), "XNNPACK"),
    ],
)
def test_the_unknown_is_no_proof(provider: Provider | None, asked: str) -> None:
    latency = dataclasses.replace(LATENCY, provider=provider)
    result = judge_placement([latency], ())
    assert result.verdict is Verdict.FAIL
    assert result.reason == (
        f"LiteRT does not tell which operators ran elsewhere than in {asked}, so nothing is proven"
    )


@given(st.lists(st.lists(st.sampled_from(["PAD", "ADD", "SOFTMAX"])), min_size=1))
def test_one_thread_count_that_fails_is_enough(lefts: list[list[str]]) -> None:
    result = judge_placement([placed(*left) for left in lefts], ("ADD",))
    fell = any(set(left) - {"ADD"} for left in lefts)
    assert (result.verdict is Verdict.FAIL) is fell


def test_it_is_a_gate_only_where_it_is_asked_for() -> None:
    assert judge_latency([placed("PAD")], None, Gates()).verdict is Verdict.NOT_CHECKED
    assert judge_latency([placed("PAD")], None, REQUIRED).verdict is Verdict.FAIL
    allowing = dataclasses.replace(REQUIRED, delegate_except=("PAD",))
    assert judge_latency([placed("PAD")], None, allowing).verdict is Verdict.PASS


def test_it_stands_beside_the_limits_of_the_latency() -> None:
    both = dataclasses.replace(REQUIRED, max_p90_ms=50.0)
    result = judge_latency([placed("PAD")], None, both)
    assert result.verdict is Verdict.FAIL
    assert "(at most 50 ms wanted)" in result.reason
    assert "LiteRT ran PAD (1)" in result.reason
