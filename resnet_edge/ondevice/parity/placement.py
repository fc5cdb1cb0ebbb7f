"""The gate of placement: did the delegate take every operator of a file?"""

from __future__ import annotations

from collections.abc import Sequence

from resnet_edge.ondevice.measurements import UNNAMED, GateResult, Latency, Verdict
from resnet_edge.units import counted


def judge_placement(latencies: Sequence[Latency], allowed: Sequence[str]) -> GateResult:
    """Judge where a file's operators ran, by what its runtime told when it was measured.

    What a runtime does not tell is no proof, and fails.

    Args:
        latencies: At least one, of one file; the worst is the verdict.
        allowed: The operators that the runtime's own kernels may keep, for instance ``QUANTIZE``.
    """
    judged = [_judge(latency, allowed) for latency in latencies]
    return max(judged, key=lambda result: result.verdict.severity)


def _judge(latency: Latency, allowed: Sequence[str]) -> GateResult:
    runtime, provider = latency.runtime, latency.provider
    if provider is None or provider.left is None:
        asked = provider.requested if provider is not None and provider.requested else "a delegate"
        return GateResult(
            Verdict.FAIL,
            f"{runtime} does not tell which operators ran elsewhere than in {asked}, so nothing "
            "is proven",
        )
    fell = [name for name in provider.left if name not in allowed]
    if not fell:
        kept = f", but for {counted(provider.left)}, as allowed" if provider.left else ""
        return GateResult(Verdict.PASS, f"every operator ran in {provider.requested}{kept}")
    names = UNNAMED if UNNAMED in fell else counted(fell)
    return GateResult(
        Verdict.FAIL,
        f"{runtime} ran {names} in its own kernels, not in {provider.requested} (every operator "
        "wanted there; --delegate-except names those that may stay)",
    )
