from __future__ import annotations

from dataclasses import replace

import pytest

from resnet_edge.ondevice.latency.cpu_state import Conditions, CoreClock
from resnet_edge.ondevice.latency.warnings import (
    NO_CAUSE,
    Doubt,
    advice_for,
    doubt_sentences,
    doubts_of,
    name_measurements,
)
from resnet_edge.ondevice.measurements import Latency

QUIET = Conditions(
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
    assert doubts_of(SOUND) == ()
    assert doubts_of(replace(SOUND, conditions=None)) == ()
    assert doubt_sentences([("a", SOUND)]) == ()


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        ({"samples_s": (0.01,) * 63}, Doubt.FEW),
        ({"samples_s": NOISY.samples_s}, Doubt.NOISY),
        ({"samples_s": SLOWING.samples_s}, Doubt.DRIFTING),
        ({"samples_s": (0.01,) * 95 + (0.02,) * 5 + (0.01,) * 95 + (0.02,) * 15}, Doubt.GROUPED),
        ({"settled": False}, Doubt.UNSETTLED),
    ],
)
def test_what_samples_show(change, doubt):
    assert doubts_of(replace(SOUND, **change)) == (doubt,)


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        ({"throttled": ("under-voltage",)}, Doubt.THROTTLED),
        ({"clocks": (CoreClock(1, "powersave", 10**9, 10**9, 10**9),)}, Doubt.POWERSAVE),
        ({"other_load": 0.11}, Doubt.BUSY),  # over 5 % of two cores
        ({"stolen_load": 0.03}, Doubt.STOLEN),
    ],
)
def test_what_was_seen_of_the_machine(change, doubt):
    assert doubts_of(replace(SOUND, conditions=replace(QUIET, **change))) == (doubt,)


def test_what_a_machine_does_not_tell_is_no_doubt():
    silent = Conditions(seconds=10.0, cores=(0, 1))
    assert doubts_of(replace(SOUND, conditions=silent)) == ()


def test_a_symptom_is_advised_on_only_where_its_cause_was_not_seen():
    assert advice_for(Doubt.NOISY, (Doubt.NOISY, Doubt.DRIFTING)) == NO_CAUSE
    assert advice_for(Doubt.NOISY, (Doubt.NOISY, Doubt.BUSY)) == ""
    assert advice_for(Doubt.BUSY, (Doubt.NOISY, Doubt.BUSY)) == (
        "Stop other programs and measure again."
    )


def test_every_cause_has_its_remedy():
    remedies = {doubt: advice_for(doubt, (doubt,)) for doubt in Doubt}
    assert "sudo cpupower frequency-set -g performance" in remedies[Doubt.POWERSAVE]
    assert "Cool the processor" in remedies[Doubt.THROTTLED]
    assert "--min-queries 64, or a longer --min-seconds" in remedies[Doubt.FEW]
    assert all(remedies.values())


def test_sentences_name_what_they_are_of():
    busy = replace(NOISY, threads=2, conditions=replace(QUIET, other_load=1.0))
    assert doubt_sentences([("a.onnx", SOUND), ("a.onnx", busy), ("b.onnx", NOISY)]) == (
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
    (sentence,) = doubt_sentences([(name, few) for name in "abcd"])
    assert sentence == (
        "There are too few queries for a bound of p90: all measurements. "
        "Measure at least 64: --min-queries 64, or a longer --min-seconds."
    )


def test_a_thread_count_in_two_runtimes_is_named_once():
    assert (
        name_measurements([("a.onnx", 1), ("a.onnx", 2), ("a.onnx", 1)]) == "a.onnx (1, 2 threads)"
    )
