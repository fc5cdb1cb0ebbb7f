"""The gates that an artifact has to pass, and their verdicts with the reasons in words.

NaN passes nothing: every comparison is written so that it is false for NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from resnet_edge.ondevice.formats.kinds import Precision
from resnet_edge.ondevice.formats.names import parse_names
from resnet_edge.ondevice.latency.early_stopping import CONFIDENCE, queries_to_decide, within_limit
from resnet_edge.ondevice.measurements import GateResult, Interval, Latency, Verdict
from resnet_edge.ondevice.option import POSITIVE, SHARE, Range, check_options, option
from resnet_edge.ondevice.parity.interval import accuracy_interval, images_needed
from resnet_edge.ondevice.parity.placement import judge_placement
from resnet_edge.units import plural

_PANEL = "Gates"

LATENCY_GATES = frozenset(
    {"max_p90_ms", "max_latency_ratio", "require_delegate", "delegate_except"}
)
"""Those that are judged by the record of ``bench``."""


@dataclass(frozen=True)
class Gates:
    """The limits that artifacts have to hold.

    Raises:
        UsageError: A value is out of its range.
    """

    fp32_agreement: float = option(
        1.0, "Least agreement of float32 artifacts.", _PANEL, within=SHARE
    )
    """A share of pictures: those to which the artifact gives the reference's answer."""
    fp32_max_logit: float = option(
        1e-3,
        "Largest logit difference of float32 artifacts, as a share of the logits' range.",
        _PANEL,
        within=SHARE,
    )
    fp16_agreement: float = option(
        0.995, "Least agreement of float16 artifacts.", _PANEL, within=SHARE
    )
    int8_accuracy: float = option(
        0.99,
        "Least top-1 of quantized artifacts, as a share of the reference's.",
        _PANEL,
        within=SHARE,
    )
    """The default is MLPerf Inference's rule for its 99 % targets."""
    confidence: float = option(
        0.90,
        "Two-sided confidence of the intervals that judge --int8-accuracy, --max-ece-increase and "
        "--max-class-loss.",
        _PANEL,
        within=Range("a share between 0 and 1, both excluded", 0, 1, open_low=True, open_high=True),
    )
    """Of the intervals that judge ``int8_accuracy`` and the two below. 0.90 is 95 % per side, the
    usual one-sided level of a non-inferiority test."""
    max_ece_increase: float | None = option(
        None,
        "Largest increase of the calibration error (ECE) over the reference's, a share: 0.02 is 2 "
        "points.",
        _PANEL,
        within=SHARE,
    )
    """None asks nothing."""
    max_class_loss: float | None = option(
        None,
        "Largest loss of top-1 in any class, a share of its pictures: 0.05 is five points.",
        _PANEL,
        within=SHARE,
    )
    """None asks nothing."""
    max_p90_ms: float | None = option(
        None, "Largest 90th percentile of the latency, ms.", _PANEL, within=POSITIVE
    )
    """None asks nothing."""
    max_latency_ratio: float | None = option(
        None,
        "Largest median latency as a multiple of the reference's.",
        _PANEL,
        within=POSITIVE,
    )
    """None asks nothing."""
    require_delegate: bool = option(
        False,
        "Fail files of which the delegate (XNNPACK) or execution provider left operators to the "
        "runtime's own kernels, or whose runtime does not tell.",
        _PANEL,
    )
    delegate_except: tuple[str, ...] = option(
        (),
        "Operators that --require-delegate lets the runtime keep, separated by commas, for "
        "instance QUANTIZE,PAD.",
        _PANEL,
        parse=parse_names,
        show_default=False,
    )

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def judge_bench(self) -> bool:
        """True if some limit is judged by the record of ``bench``."""
        limits = (self.max_p90_ms, self.max_latency_ratio)
        return self.require_delegate or any(limit is not None for limit in limits)


@dataclass(frozen=True)
class Evidence:
    """The figures of an artifact on the test split that gates judge."""

    images: int
    agreeing: int
    """Pictures to which artifact and reference give the same answer."""
    reference_hits: int
    """Pictures that the reference has right."""
    gained: int
    """Pictures that only the artifact has right."""
    lost: int
    """Pictures that only the reference has right."""
    max_abs_logit: float
    logit_range: float
    collapse: str | None


def not_checked(reason: str) -> GateResult:
    """Return a verdict for what could not be judged, for instance without a test split.

    Args:
        reason: The missing thing, in words.
    """
    return GateResult(Verdict.NOT_CHECKED, f"not checked: {reason}")


def judge_accuracy(precision: Precision, evidence: Evidence, gates: Gates) -> GateResult:
    """Judge an artifact by the gate of its precision.

    Collapse, of which no pictures at all is a kind, always fails.

    Args:
        precision: Chooses the gate: float32, float16, or the one of all integer precisions.
        evidence: The figures to judge.
        gates: The limits.
    """
    if evidence.collapse is not None:
        return GateResult(Verdict.FAIL, f"collapsed: {evidence.collapse}")
    if evidence.images == 0:
        return GateResult(Verdict.FAIL, "no pictures were compared; nothing is proven")
    return _JUDGES[precision](evidence, gates)


def _judge_fp16(evidence: Evidence, gates: Gates) -> GateResult:
    return _judge_agreement(evidence, gates.fp16_agreement)


def _judge_agreement(evidence: Evidence, least: float) -> GateResult:
    share = evidence.agreeing / evidence.images
    reason = (
        f"{evidence.agreeing} of {evidence.images} answers agree with the reference's "
        f"({share:.2%}; at least {least:.2%} wanted)"
    )
    return GateResult(Verdict.PASS if share >= least else Verdict.FAIL, reason)


def _judge_fp32(evidence: Evidence, gates: Gates) -> GateResult:
    agreement = _judge_agreement(evidence, gates.fp32_agreement)
    limit = gates.fp32_max_logit * evidence.logit_range
    close = evidence.max_abs_logit <= limit
    reason = (
        f"{agreement.reason}; logits differ by at most {evidence.max_abs_logit:.3g} "
        f"(at most {limit:.3g} wanted, {gates.fp32_max_logit:g} of their range)"
    )
    return GateResult(agreement.verdict if close else Verdict.FAIL, reason)


def _judge_int8(evidence: Evidence, gates: Gates) -> GateResult:
    seen = (evidence.gained, evidence.lost, evidence.images)
    reference = evidence.reference_hits / evidence.images
    margin = -(1 - gates.int8_accuracy) * reference
    interval = accuracy_interval(*seen, gates.confidence)
    summary = _difference_words(evidence, interval, margin, gates)
    if interval.low > margin:
        return GateResult(Verdict.PASS, summary, interval)
    if interval.high < margin:
        return GateResult(Verdict.FAIL, summary, interval)
    more = images_needed(*seen, margin, gates.confidence)
    need = "no number of pictures would decide at these rates"
    if more is not None:
        need = f"needs about {more} more pictures"
    return GateResult(Verdict.INCONCLUSIVE, f"{summary}; {need}", interval, more)


_JUDGES: Mapping[Precision, Callable[[Evidence, Gates], GateResult]] = {
    Precision.FLOAT32: _judge_fp32,
    Precision.FLOAT16: _judge_fp16,
    Precision.INT8: _judge_int8,
    Precision.INT16X8: _judge_int8,
}


def _difference_words(evidence: Evidence, interval: Interval, margin: float, gates: Gates) -> str:
    reference = evidence.reference_hits / evidence.images
    difference = (evidence.gained - evidence.lost) / evidence.images
    return (
        f"top-1 {reference + difference:.2%}, reference {reference:.2%} "
        f"({evidence.gained} gained, {evidence.lost} lost of {evidence.images}): "
        f"difference {100 * difference:+.2f} points, {100 * interval.confidence:.4g}% interval "
        f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}; "
        f"it must lie above {100 * margin:+.2f} ({gates.int8_accuracy:.1%} of the reference's "
        "accuracy)"
    )


def judge_latency(
    latencies: Sequence[Latency], reference_p50_s: float | None, gates: Gates
) -> GateResult:
    """Judge an artifact's latency and placement on this machine by the limits of the user.

    The thread count with the lowest 90th percentile is judged: an artifact holds a limit if it
    holds it with some thread count. The percentile holds its limit if MLPerf's early-stopping
    bound does. It exceeds the limit if so many queries over it are no chance, also with 99 %
    confidence. In between, and with too few queries, the verdict is INCONCLUSIVE. Samples that are
    means of several queries hide the slow ones: no percentile of them is judged, only the median.

    Args:
        latencies: One per thread count.
        reference_p50_s: The reference's median, needed for a relative limit.
        gates: The limits; without any the verdict is NOT_CHECKED.
    """
    if not gates.judge_bench:
        return not_checked("no latency limit was given")
    if not latencies:
        return GateResult(Verdict.FAIL, "no latency was measured; run `resnet-edge bench`")
    best = min(latencies, key=lambda each: (each.queries_per_sample > 1, each.p90_s))
    judged = []
    if gates.max_p90_ms is not None:
        judged.append(_judge_p90(best, gates.max_p90_ms))
    if gates.max_latency_ratio is not None:
        ratio = best.p50_s / reference_p50_s if reference_p50_s else math.nan
        held = ratio <= gates.max_latency_ratio
        reason = _ratio_words(ratio, gates.max_latency_ratio)
        judged.append(GateResult(Verdict.PASS if held else Verdict.FAIL, reason))
    if gates.require_delegate:
        judged.append(judge_placement(latencies, gates.delegate_except))
    words = [result.reason for result in judged]
    words.append(f"with {plural(best.threads, 'thread')}")
    if best.noisy:
        words.append(f"the machine was noisy (spread {best.spread:.0%} of the median)")
    if best.queries_per_sample == 1 and best.in_groups and gates.max_p90_ms is not None:
        words.append(f"slow queries came in groups, so this is less sure than {CONFIDENCE:.0%}")
    worst = max(judged, key=lambda result: result.verdict.severity)
    return replace(worst, reason=", ".join(words))


def _judge_p90(latency: Latency, limit_ms: float) -> GateResult:
    if latency.queries_per_sample > 1:
        return not_checked(
            f"p90 (at most {limit_ms:g} ms wanted) cannot be judged: the clock was too coarse for "
            f"single queries, and means of {latency.queries_per_sample} hide the slow ones; limit "
            "the median (--max-latency-ratio) or measure with a finer clock"
        )
    queries = len(latency.samples_s)
    over = sum(sample * 1e3 > limit_ms for sample in latency.samples_s)
    held, bound_s = within_limit(over, queries), latency.p90_bound_s
    reason = f"p90 {latency.p90_s * 1e3:.4g} ms"
    if bound_s is not None:
        reason += f", bound {bound_s * 1e3:.4g} ms at {CONFIDENCE:.0%} confidence"
    reason += f" (at most {limit_ms:g} ms wanted)"
    if held is not None:
        return GateResult(Verdict.PASS if held else Verdict.FAIL, reason)
    needed = queries_to_decide(over, queries)
    reason += f", {over} of {queries} queries took longer, which does not decide it"
    reason += ": " + (
        "no number of queries would"
        if needed is None
        else f"about {needed} queries would (--min-queries {needed})"
    )
    return GateResult(Verdict.INCONCLUSIVE, reason, queries_needed=needed)


def _ratio_words(ratio: float, limit: float) -> str:
    if math.isnan(ratio):
        return f"at most {limit:g} times the reference's median wanted, but that was not measured"
    return f"median {ratio:.3g} times the reference's (at most {limit:g} wanted)"
