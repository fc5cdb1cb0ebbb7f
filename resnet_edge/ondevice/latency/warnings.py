"""Why a latency is not to be relied on, and how to measure it better.

Runs on the device too: standard library only.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from resnet_edge.ondevice.latency.early_stopping import least_queries
from resnet_edge.ondevice.latency.words import name_measurements
from resnet_edge.ondevice.measurements import Latency

BUSY_SHARE = 0.05
"""Of the time of the cores that may be used: what an idle Linux does by itself is under 2 %."""

STOLEN_SHARE = 0.01
"""Of the same time: a core that another machine has is missing whole, for milliseconds."""


class Doubt(enum.Enum):
    """What speaks against a measurement: first what its samples show, then what was seen to be
    the cause.
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


SYMPTOMS = (Doubt.NOISY, Doubt.DRIFTING, Doubt.GROUPED, Doubt.UNSETTLED)
"""What needs a cause."""

_SENTENCES = {
    Doubt.FEW: "There are too few queries for a bound of p90: {names}.",
    Doubt.NOISY: "The machine was noisy: the middle half of the latency samples spans over 10 % of "
    "the median for {names}.",
    Doubt.DRIFTING: "The latency drifted: the median of the second half of the samples is over 5 % "
    "off the first half's for {names}.",
    Doubt.GROUPED: "Slow queries came in groups, so the bound of p90 is less sure than 99 % for "
    "{names}.",
    Doubt.UNSETTLED: "The latency still changed when the warm-up ended: {names}.",
    Doubt.THROTTLED: "The processor was throttled while it ran {names}.",
    Doubt.POWERSAVE: "The cores' governor was powersave while they ran {names}.",
    Doubt.BUSY: "Other programs took over 5 % of the cores' time while {names} ran.",
    Doubt.STOLEN: "The host of this virtual machine took over 1 % of the cores' time while {names} "
    "ran.",
}

_ADVICE = {
    Doubt.FEW: f"Measure at least {least_queries()}: --min-queries {least_queries()}, or a longer "
    "--min-seconds.",
    Doubt.THROTTLED: "Cool the processor (heat sink, fan), give a board a power supply that holds "
    "its voltage, and measure again.",
    Doubt.POWERSAVE: "Run `sudo cpupower frequency-set -g performance` and measure again.",
    Doubt.BUSY: "Stop other programs and measure again.",
    Doubt.STOLEN: "Measure on a machine of its own, or again when its host is idle.",
}

NO_CAUSE = (
    "No cause was seen in governor, throttling or other load, as far as they can be read here: "
    "measure longer, for instance --min-seconds 60, on an idle machine of its own."
)


def doubts_of(latency: Latency) -> tuple[Doubt, ...]:
    """Return what speaks against a measurement, in the order of ``Doubt``."""
    found = {
        Doubt.FEW: latency.p90_bound_s is None,
        Doubt.NOISY: latency.noisy,
        Doubt.DRIFTING: latency.drifting,
        Doubt.GROUPED: latency.in_groups,
        Doubt.UNSETTLED: not latency.settled,
    }
    if (seen := latency.conditions) is not None:
        cores = len(seen.cores)
        found[Doubt.THROTTLED] = bool(seen.throttled)
        found[Doubt.POWERSAVE] = any(clock.governor == "powersave" for clock in seen.clocks)
        found[Doubt.BUSY] = (seen.other_load or 0) > BUSY_SHARE * cores
        found[Doubt.STOLEN] = (seen.stolen_load or 0) > STOLEN_SHARE * cores
    return tuple(doubt for doubt, is_so in found.items() if is_so)


def advice_for(doubt: Doubt, beside: Sequence[Doubt]) -> str:
    """Say how to measure without this doubt.

    Args:
        doubt: One of a measurement's doubts.
        beside: All of them: a symptom whose cause was seen needs no advice of its own.

    Returns:
        A sentence, or nothing.
    """
    if doubt in SYMPTOMS:
        causes = [each for each in beside if each not in (*SYMPTOMS, Doubt.FEW)]
        return "" if causes else NO_CAUSE
    return _ADVICE[doubt]


def doubt_sentences(measured: Sequence[tuple[str, Latency]]) -> tuple[str, ...]:
    """Say what speaks against measurements and what to do, every doubt and every advice once.

    Args:
        measured: Latencies with their artifacts' names.
    """
    found = [(name, latency.threads, doubts_of(latency)) for name, latency in measured]
    sentences = []
    for doubt in Doubt:
        doubted = [(name, threads) for name, threads, doubts in found if doubt in doubts]
        if doubted:
            everything = len(doubted) == len(measured) > 3
            names = "all measurements" if everything else name_measurements(doubted)
            sentence = _SENTENCES[doubt].format(names=names)
            sentences.append(f"{sentence} {_ADVICE[doubt]}" if doubt in _ADVICE else sentence)
    if any(advice_for(doubt, doubts) == NO_CAUSE for _, _, doubts in found for doubt in doubts):
        sentences.append(NO_CAUSE)
    return tuple(sentences)
