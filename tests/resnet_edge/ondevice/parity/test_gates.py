from __future__ import annotations

import math
from dataclasses import replace

import pytest

from resnet_edge.errors import UsageError
from resnet_edge.ondevice.formats.kinds import Precision
from resnet_edge.ondevice.measurements import Latency, Verdict
from resnet_edge.ondevice.parity.gates import (
    Evidence,
    Gates,
    judge_accuracy,
    judge_latency,
    not_checked,
)

GATES = Gates()
SOUND = Evidence(
    images=1000,
    agreeing=1000,
    reference_hits=960,
    gained=0,
    lost=0,
    max_abs_logit=1e-4,
    logit_range=20.0,
    collapse=None,
)


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


@pytest.mark.parametrize("precision", list(Precision))
def test_sound_evidence_passes_every_gate(precision):
    assert judge_accuracy(precision, SOUND, GATES).verdict is Verdict.PASS


def test_fp32_says_both_figures():
    assert judge_accuracy(Precision.FLOAT32, SOUND, GATES).reason == (
        "1000 of 1000 answers agree with the reference's (100.00%; at least 100.00% wanted); "
        "logits differ by at most 0.0001 (at most 0.02 wanted, 0.001 of their range)"
    )


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"agreeing": 999}, Verdict.FAIL),
        ({"max_abs_logit": 0.02}, Verdict.PASS),
        ({"max_abs_logit": 0.0201}, Verdict.FAIL),
        ({"max_abs_logit": math.nan}, Verdict.FAIL),
        ({"logit_range": math.nan}, Verdict.FAIL),
    ],
)
def test_fp32_gate(change, verdict):
    assert judge_accuracy(Precision.FLOAT32, replace(SOUND, **change), GATES).verdict is verdict


@pytest.mark.parametrize(("agreeing", "verdict"), [(995, Verdict.PASS), (994, Verdict.FAIL)])
def test_fp16_gate(agreeing, verdict):
    result = judge_accuracy(Precision.FLOAT16, replace(SOUND, agreeing=agreeing), GATES)
    assert result.verdict is verdict
    assert result.reason.startswith(f"{agreeing} of 1000 answers agree with the reference's (99.")


def test_int8_passes_with_the_interval_above_the_margin():
    result = judge_accuracy(Precision.INT8, SOUND, GATES)
    # No discordant pair: z^2 / (n + z^2) = 2.7055 / 1002.7055 = 0.2698 points
    assert result.interval is not None
    assert result.interval.low == pytest.approx(-0.0026982, abs=1e-6)
    assert result.reason == (
        "top-1 96.00%, reference 96.00% (0 gained, 0 lost of 1000): difference +0.00 points, "
        "90% interval -0.27 to +0.27; it must lie above -0.96 (99.0% of the reference's accuracy)"
    )


def test_int8_fails_with_the_interval_below_the_margin():
    result = judge_accuracy(Precision.INT8, replace(SOUND, lost=60), GATES)
    assert result.verdict is Verdict.FAIL
    assert result.interval is not None
    assert result.interval.high < -0.0096


def test_int8_is_inconclusive_in_between_and_says_how_many_pictures():
    few = replace(SOUND, images=100, agreeing=100, reference_hits=100)
    result = judge_accuracy(Precision.INT8, few, GATES)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.images_needed == 168  # by hand in test_interval
    assert result.reason.endswith("; needs about 168 more pictures")


def test_int8_says_where_no_number_of_pictures_decides():
    on_the_margin = replace(SOUND, images=100, reference_hits=100, lost=1)
    result = judge_accuracy(Precision.INT8, on_the_margin, GATES)
    assert (result.verdict, result.images_needed) == (Verdict.INCONCLUSIVE, None)
    assert result.reason.endswith("; no number of pictures would decide at these rates")


def test_gates_can_be_overridden():
    worse = replace(SOUND, agreeing=900, lost=60, max_abs_logit=1.0)
    easy = Gates(fp32_agreement=0.9, fp32_max_logit=0.05, fp16_agreement=0.9, int8_accuracy=0.8)
    for precision in Precision:
        assert judge_accuracy(precision, worse, GATES).verdict is Verdict.FAIL
        assert judge_accuracy(precision, worse, easy).verdict is Verdict.PASS


@pytest.mark.parametrize("precision", list(Precision))
def test_collapse_and_no_pictures_always_fail(precision):
    collapsed = judge_accuracy(precision, replace(SOUND, collapse="chance level"), GATES)
    assert (collapsed.verdict, collapsed.reason) == (Verdict.FAIL, "collapsed: chance level")
    nothing = judge_accuracy(precision, replace(SOUND, images=0), GATES)
    assert (nothing.verdict, nothing.reason) == (
        Verdict.FAIL,
        "no pictures were compared; nothing is proven",
    )


def test_not_checked_says_why():
    result = not_checked("there is no test split")
    assert (result.verdict, result.reason) == (
        Verdict.NOT_CHECKED,
        "not checked: there is no test split",
    )


@pytest.mark.parametrize("name", ["fp32_agreement", "fp32_max_logit", "fp16_agreement"])
@pytest.mark.parametrize("value", [-0.1, 1.1, 99.0, math.nan])
def test_shares_are_validated(name, value):
    with pytest.raises(UsageError, match=f"^{flag(name)}: got {value}; expected a share from 0"):
        replace(GATES, **{name: value})


@pytest.mark.parametrize("value", [0, 1, 95, math.nan])
def test_confidence_is_validated(value):
    with pytest.raises(UsageError, match=f"^--confidence: got {value}; expected a share between 0"):
        Gates(confidence=value)


@pytest.mark.parametrize("name", ["max_p90_ms", "max_latency_ratio"])
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_latency_limits_are_validated(name, value):
    with pytest.raises(UsageError, match=f"^{flag(name)}: got {value}; expected a finite number"):
        replace(GATES, **{name: value})


def _latency(threads: int, milliseconds: float, spread: float = 0.0) -> Latency:
    half = milliseconds * spread / 2
    samples = [(milliseconds - half) / 1e3, milliseconds / 1e3, (milliseconds + half) / 1e3]
    return Latency("LiteRT", threads, tuple(samples) * 30, 0.1, 0.1, 10**6, 10)


def _counted(over: int, queries: int) -> Latency:
    """So many queries of 20 ms, the others of 10 ms."""
    samples = (0.01,) * (queries - over) + (0.02,) * over
    return Latency("LiteRT", 1, samples, 0.1, 0.1, 10**6, 10)


BOTH = (_latency(1, 20), _latency(2, 12))


def test_latency_without_limits_is_not_checked():
    result = judge_latency(BOTH, 0.01, GATES)
    assert result.verdict is Verdict.NOT_CHECKED
    assert result.reason == "not checked: no latency limit was given"


def test_latency_is_judged_with_the_fastest_thread_count():
    result = judge_latency(BOTH, None, Gates(max_p90_ms=15))
    assert result.verdict is Verdict.PASS
    assert result.reason == (
        "p90 12 ms, bound 12 ms at 99% confidence (at most 15 ms wanted), with 2 threads"
    )
    assert judge_latency(BOTH[:1], None, Gates(max_p90_ms=15)).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("over", "queries", "verdict"),
    [
        # MLPerf's bound is the slowest of 64 to 80 queries, and leaves one more out from 81 on
        (0, 64, Verdict.PASS),
        (1, 80, Verdict.INCONCLUSIVE),
        (1, 81, Verdict.PASS),
        (0, 63, Verdict.INCONCLUSIVE),
        # By chance, three of three are over a 90th percentile once in a thousand times
        (3, 3, Verdict.FAIL),
        (1, 1, Verdict.INCONCLUSIVE),
        # 130 or more of 1000 by chance: 0.0015; 101 or more: 0.47
        (130, 1000, Verdict.FAIL),
        (101, 1000, Verdict.INCONCLUSIVE),
        (60, 1000, Verdict.PASS),
    ],
)
def test_p90_is_judged_with_99_percent_confidence(over, queries, verdict):
    result = judge_latency([_counted(over, queries)], None, Gates(max_p90_ms=15))
    assert result.verdict is verdict
    assert (result.queries_needed is not None) == (verdict is Verdict.INCONCLUSIVE)


def test_an_undecided_p90_says_how_many_queries_would_decide():
    result = judge_latency([_counted(0, 3)], None, Gates(max_p90_ms=15))
    assert result.queries_needed == 64
    assert result.reason == (
        "p90 10 ms (at most 15 ms wanted), 0 of 3 queries took longer, which does not decide it: "
        "about 64 queries would (--min-queries 64), with 1 thread"
    )
    result = judge_latency([_counted(2, 80)], None, Gates(max_p90_ms=15))
    assert result.reason.startswith(
        "p90 10 ms, bound 20 ms at 99% confidence (at most 15 ms wanted), "
        "2 of 80 queries took longer, which does not decide it: about "
    )


def test_a_p90_just_at_its_limit_is_never_decided():
    result = judge_latency([_counted(10, 100)], None, Gates(max_p90_ms=15))
    assert (result.verdict, result.queries_needed) == (Verdict.INCONCLUSIVE, None)
    assert "which does not decide it: no number of queries would, with 1 thread" in result.reason


def test_slow_queries_in_groups_are_said():
    apart = replace(_counted(0, 64), samples_s=((0.01,) * 10 + (0.02,)) * 20)
    assert "in groups" not in judge_latency([apart], None, Gates(max_p90_ms=50)).reason
    samples = ((0.01,) * 40 + (0.02, 0.03, 0.03, 0.03)) * 5
    grouped = Latency("LiteRT", 1, samples, 0.1, 0.1, 10**6, 10)
    result = judge_latency([grouped], None, Gates(max_p90_ms=50))
    assert result.reason.endswith("slow queries came in groups, so this is less sure than 99%")


def test_the_worse_of_both_latency_gates_counts():
    gates = Gates(max_p90_ms=15, max_latency_ratio=1.5)
    few = [_counted(0, 3)]
    assert judge_latency(few, 0.01, gates).verdict is Verdict.INCONCLUSIVE
    assert judge_latency(few, 0.001, gates).verdict is Verdict.FAIL


def test_latency_ratio():
    result = judge_latency(BOTH[:1], 0.01, Gates(max_latency_ratio=1.5))
    assert result.verdict is Verdict.FAIL
    assert result.reason == "median 2 times the reference's (at most 1.5 wanted), with 1 thread"
    assert judge_latency(BOTH, 0.01, Gates(max_latency_ratio=1.5)).verdict is Verdict.PASS


@pytest.mark.parametrize("reference", [None, math.nan])
def test_latency_ratio_without_a_reference_fails(reference):
    result = judge_latency(BOTH, reference, Gates(max_latency_ratio=1.5))
    assert result.verdict is Verdict.FAIL
    assert result.reason.startswith("at most 1.5 times the reference's median wanted, but that was")


def test_missing_latency_fails():
    result = judge_latency((), None, Gates(max_p90_ms=15))
    assert result.verdict is Verdict.FAIL
    assert result.reason == "no latency was measured; run `resnet-edge bench`"


def test_noise_is_said():
    result = judge_latency([_latency(1, 10, spread=0.5)], None, Gates(max_p90_ms=15))
    assert result.reason.endswith("the machine was noisy (spread 50% of the median)")


def _means(milliseconds: float, threads: int = 1) -> Latency:
    return replace(_latency(threads, milliseconds), queries_per_sample=5)


def test_a_percentile_of_means_is_not_judged():
    gates = replace(GATES, max_p90_ms=20.0)
    for milliseconds in (10, 30):
        gate = judge_latency([_means(milliseconds)], None, gates)
        assert gate.verdict is Verdict.NOT_CHECKED
        assert gate.reason == (
            "not checked: p90 (at most 20 ms wanted) cannot be judged: the clock was too coarse "
            "for single queries, and means of 5 hide the slow ones; limit the median "
            "(--max-latency-ratio) or measure with a finer clock, with 1 thread"
        )
    single = judge_latency([_means(10), _latency(2, 12)], None, gates)
    assert single.verdict is Verdict.PASS
    assert single.reason.endswith("with 2 threads")


@pytest.mark.parametrize(("limit", "verdict"), [(2.0, Verdict.PASS), (0.5, Verdict.FAIL)])
def test_a_median_of_means_is_judged(limit, verdict):
    gates = replace(GATES, max_latency_ratio=limit)
    assert judge_latency([_means(10)], 0.01, gates).verdict is verdict
    both = judge_latency([_means(10)], 0.01, replace(gates, max_p90_ms=20.0))
    assert both.verdict is (Verdict.FAIL if verdict is Verdict.FAIL else Verdict.NOT_CHECKED)
