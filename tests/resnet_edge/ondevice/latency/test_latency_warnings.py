from __future__ import annotations

from dataclasses import replace

import pytest

from resnet_edge.ondevice.latency.cpu_state import CoreClock, MeasuringConditions
from resnet_edge.ondevice.latency.warnings import (
    NO_CAUSE,
    LatencyWarning,
    advice_for,
    find_warnings,
    name_measurements,
    warning_sentences,
)
from resnet_edge.ondevice.measurements import Latency

QUIET = MeasuringConditions(
    seconds=10.0,
    cores=(0, 1),
    clocks=(CoreClock(0, "performance", 10**9, 10**9, 10**9),),
    throttled=(),
    other_load=0.02,
    stolen_load=0.0,
)
SOUND = Latency("LiteRT", 1, (0.01,) * 64, 0.1, 0.1, 10**6, 10, conditions=QUIET)
NOISY = replace(SOUND, samples_s=(0.008, 0.01, 0.012) * 30)
SLOWING = replace(SOUND, samples_s=(0.01,) * 50 + (0.0107,) * 50)


def test_a_sound_measurement_has_no_doubts():
    assert find_warnings(SOUND) == ()
    assert find_warnings(replace(SOUND, conditions=None)) == ()
    assert warning_sentences([("a", SOUND)]) == ()


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"samples_s": (0.01,) * 63}, LatencyWarning.FEW),
        ({"samples_s": NOISY.samples_s}, LatencyWarning.NOISY),
        ({"samples_s": SLOWING.samples_s}, LatencyWarning.DRIFTING),
        (
            {"samples_s": (0.01,) * 95 + (0.02,) * 5 + (0.01,) * 95 + (0.02,) * 15},
            LatencyWarning.GROUPED,
        ),
        ({"settled": False}, LatencyWarning.UNSETTLED),
    ],
)
def test_what_samples_show(change, warning):
    assert find_warnings(replace(SOUND, **change)) == (warning,)


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"throttled": ("under-voltage",)}, LatencyWarning.THROTTLED),
        ({"clocks": (CoreClock(1, "powersave", 10**9, 10**9, 10**9),)}, LatencyWarning.POWERSAVE),
        ({"other_load": 0.11}, LatencyWarning.BUSY),  # over 5 % of two cores
        ({"stolen_load": 0.03}, LatencyWarning.STOLEN),
    ],
)
def test_what_was_seen_of_the_machine(change, warning):
    assert find_warnings(replace(SOUND, conditions=replace(QUIET, **change))) == (warning,)


def test_what_a_machine_does_not_tell_is_no_doubt():
    silent = MeasuringConditions(seconds=10.0, cores=(0, 1))
    assert find_warnings(replace(SOUND, conditions=silent)) == ()


def test_a_symptom_is_advised_on_only_where_its_cause_was_not_seen():
    assert (
        advice_for(LatencyWarning.NOISY, (LatencyWarning.NOISY, LatencyWarning.DRIFTING))
        == NO_CAUSE
    )
    assert advice_for(LatencyWarning.NOISY, (LatencyWarning.NOISY, LatencyWarning.BUSY)) == ""
    assert advice_for(LatencyWarning.BUSY, (LatencyWarning.NOISY, LatencyWarning.BUSY)) == (
        "Stop other programs and measure again."
    )


def test_every_cause_has_its_remedy():
    remedies = {warning: advice_for(warning, (warning,)) for warning in LatencyWarning}
    assert "sudo cpupower frequency-set -g performance" in remedies[LatencyWarning.POWERSAVE]
    assert "Cool the processor" in remedies[LatencyWarning.THROTTLED]
    assert "--min-queries 64, or a longer --min-seconds" in remedies[LatencyWarning.FEW]
    assert all(remedies.values())


def test_sentences_name_what_they_are_of():
    busy = replace(NOISY, threads=2, conditions=replace(QUIET, other_load=1.0))
    assert warning_sentences([("a.onnx", SOUND), ("a.onnx", busy), ("b.onnx", NOISY)]) == (
        "The machine was noisy: the middle half of the latency samples spans over 10 % of the "
        "median for a.onnx (2 threads), b.onnx (1 thread).",
        "Other programs took over 5 % of the cores' time while a.onnx (2 threads) ran. "
        "Stop other programs and measure again.",
        NO_CAUSE,
    )


def test_measurements_are_named_by_file():
    measured = [("a.onnx", 1), ("b.onnx", 4), ("a.onnx", 2), ("c.onnx", 1)]
    named = "a.onnx (1, 2 threads), b.onnx (4 threads), c.onnx (1 thread)"
    assert name_measurements(measured) == named


def test_what_all_share_is_said_of_all():
    few = replace(SOUND, samples_s=(0.01,))
    (sentence,) = warning_sentences([(name, few) for name in "abcd"])
    assert sentence == (
        "There are too few queries for an upper bound of p90: all measurements. "
        "Measure at least 64: --min-queries 64, or a longer --min-seconds."
    )


def test_a_thread_count_in_two_runtimes_is_named_once():
    assert (
        name_measurements([("a.onnx", 1), ("a.onnx", 2), ("a.onnx", 1)]) == "a.onnx (1, 2 threads)"
    )
