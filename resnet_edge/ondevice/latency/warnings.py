"""Warnings about a measured latency, with advice on how to measure it better."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from resnet_edge import units
from resnet_edge.ondevice.latency.early_stopping import CONFIDENCE, least_queries
from resnet_edge.ondevice.latency.trend import SMALLEST_DRIFT
from resnet_edge.ondevice.latency.words import name_measurements
from resnet_edge.ondevice.measurements import NOISY_SPREAD, Latency

BUSY_SHARE = 0.05
"""Largest share of the usable cores' time that other programs may take: an idle Linux takes under
2 %."""

STOLEN_SHARE = 0.01
"""Largest share of the usable cores' time that a virtual machine's host may take: it takes a core
whole, for milliseconds."""


class LatencyWarning(enum.Enum):
    """A reason not to rely on a measurement: first what its samples show, then causes that were
    seen. The values stand in ``report.json``.
    """

    FEW = "few queries"
    NOISY = "noisy"
    DRIFTING = "drifting"
    GROUPED = "slow in groups"
    UNSETTLED = "not settled"
    THROTTLED = "throttled"
    POWERSAVE = "governor powersave"
    BUSY = "other load"
    STOLEN = "cores taken by the host"


_W = LatencyWarning

SYMPTOMS = (_W.NOISY, _W.DRIFTING, _W.GROUPED, _W.UNSETTLED)
"""Warnings that have a cause, seen or not."""

_SENTENCES = {
    _W.FEW: "There are too few queries for an upper bound of p90: {names}.",
    _W.NOISY: "The machine was noisy: the middle half of the latency samples spans over "
    f"{units.percent(NOISY_SPREAD, 0)} of the median for {{names}}.",
    _W.DRIFTING: "The latency drifted: the median of the second half of the samples is over "
    f"{units.percent(SMALLEST_DRIFT, 0)} off the first half's for {{names}}.",
    _W.GROUPED: "Slow queries came in groups, so the upper bound of p90 holds with less than "
    f"{units.percent(CONFIDENCE, 0)} confidence for {{names}}.",
    _W.UNSETTLED: "The latency still changed when the warm-up ended: {names}.",
    _W.THROTTLED: "The processor was throttled while it ran {names}.",
    _W.POWERSAVE: "The cores' governor was powersave while they ran {names}.",
    _W.BUSY: f"Other programs took over {units.percent(BUSY_SHARE, 0)} of the cores' time while "
    "{names} ran.",
    _W.STOLEN: f"The host of this virtual machine took over {units.percent(STOLEN_SHARE, 0)} of "
    "the cores' time while {names} ran.",
}

_ADVICE = {
    _W.FEW: f"Measure at least {least_queries()}: --min-queries {least_queries()}, or a longer "
    "--min-seconds.",
    _W.THROTTLED: "Cool the processor (heat sink, fan), give a board a power supply that holds "
    "its voltage, and measure again.",
    _W.POWERSAVE: "Run `sudo cpupower frequency-set -g performance` and measure again.",
    _W.BUSY: "Stop other programs and measure again.",
    _W.STOLEN: "Measure on a machine of its own, or again when its host is idle.",
}

NO_CAUSE = (
    "No cause was seen in governor, throttling or other load, as far as they can be read here: "
    "measure longer, for instance --min-seconds 60, on an idle machine of its own."
)


def find_warnings(latency: Latency) -> tuple[LatencyWarning, ...]:
    """Return the warnings about a measurement, in the order of ``LatencyWarning``."""
    single = latency.queries_per_sample == 1  # of means p90 has no bound, however many there are
    found = {
        _W.FEW: single and latency.p90_bound_s is None,
        _W.NOISY: latency.noisy,
        _W.DRIFTING: latency.drifting,
        _W.GROUPED: single and latency.in_groups,
        _W.UNSETTLED: not latency.settled,
    }
    if (seen := latency.conditions) is not None:
        cores = len(seen.cores)
        found[_W.THROTTLED] = bool(seen.throttled)
        found[_W.POWERSAVE] = any(clock.governor == "powersave" for clock in seen.clocks)
        found[_W.BUSY] = (seen.other_load or 0) > BUSY_SHARE * cores
        found[_W.STOLEN] = (seen.stolen_load or 0) > STOLEN_SHARE * cores
    return tuple(warning for warning, is_so in found.items() if is_so)


def advice_for(warning: LatencyWarning, beside: Sequence[LatencyWarning]) -> str:
    """Return a sentence that says how to measure without this warning.

    Args:
        warning: One of a measurement's warnings.
        beside: All of them.

    Returns:
        Nothing for a symptom whose cause is among them: the cause has its own advice.
    """
    if warning in SYMPTOMS:
        causes = [each for each in beside if each not in (*SYMPTOMS, _W.FEW)]
        return "" if causes else NO_CAUSE
    return _ADVICE[warning]


def warning_sentences(measured: Sequence[tuple[str, Latency]]) -> tuple[str, ...]:
    """Return the warnings about measurements and what to do, each warning and each advice once.

    Args:
        measured: Latencies with their artifacts' names.
    """
    found = [(name, latency.threads, find_warnings(latency)) for name, latency in measured]
    sentences = []
    for warning in LatencyWarning:
        concerned = [(name, threads) for name, threads, warnings in found if warning in warnings]
        if concerned:
            everything = len(concerned) == len(measured) > 3
            names = "all measurements" if everything else name_measurements(concerned)
            sentence = _SENTENCES[warning].format(names=names)
            sentences.append(f"{sentence} {_ADVICE[warning]}" if warning in _ADVICE else sentence)
    advice = {advice_for(each, warnings) for _, _, warnings in found for each in warnings}
    if NO_CAUSE in advice:
        sentences.append(NO_CAUSE)
    return tuple(sentences)
