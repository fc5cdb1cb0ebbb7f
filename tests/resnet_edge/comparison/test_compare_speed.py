from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.comparison.compare_speed import compare_size, compare_speed, noise_floors
from resnet_edge.comparison.differences import Change, Figure
from resnet_edge.comparison.tolerance import Tolerance

TOLERANCE = Tolerance()
OPPOSITE = {
    Change.BETTER: Change.WORSE,
    Change.WORSE: Change.BETTER,
    Change.NOISE: Change.NOISE,
    Change.SAME: Change.SAME,
}
LIGHT = settings(deadline=None, max_examples=60)


def only(differences, figure):
    (found,) = [each for each in differences if each.figure is figure]
    return found


@pytest.mark.parametrize(
    ("before", "after", "change", "regression"),
    [
        (1000, 1000, Change.SAME, False),
        (1000, 999, Change.BETTER, False),
        (1000, 1050, Change.WORSE, False),
        (1000, 1051, Change.WORSE, True),
    ],
)
def test_sizes_are_exact(before, after, change, regression):
    found = compare_size(before, after, TOLERANCE)
    assert (found.change, found.regression, found.interval) == (change, regression, None)


def test_a_slower_median_with_its_interval(bench_of, latency_of):
    a, b = (bench_of("int8.onnx", latency_of(ms, 2)) for ms in (10, 12))
    found = only(compare_speed(a, b, {}, TOLERANCE), Figure.LATENCY)
    assert (found.change, found.regression, found.threads) == (Change.WORSE, True, 2)
    assert found.amount == pytest.approx(0.2)
    assert 0.15 < found.interval.low < 0.2 < found.interval.high < 0.25
    assert not only(compare_speed(a, b, {}, Tolerance(0.25)), Figure.LATENCY).regression
    assert only(compare_speed(b, a, {}, TOLERANCE), Figure.LATENCY).change is Change.BETTER


def test_less_than_five_percent_is_noise_however_narrow_the_interval(bench_of, latency_of):
    a, b = (bench_of("int8.onnx", latency_of(ms)) for ms in (10, 10.4))
    found = only(compare_speed(a, b, {}, Tolerance(0)), Figure.LATENCY)
    assert found.interval.low > 0
    assert (found.change, found.regression) == (Change.NOISE, False)


def test_overlapping_middle_halves_are_noise(bench_of, latency_of):
    wide = replace(latency_of(10), samples_s=(0.008, 0.012) * 32)
    slow = replace(wide, samples_s=(0.0115, 0.0125) * 32)
    found = compare_speed(bench_of("int8.onnx", wide), bench_of("int8.onnx", slow), {}, TOLERANCE)
    assert only(found, Figure.LATENCY).change is Change.NOISE


def test_what_an_unchanged_file_changes_by_is_noise(bench_of, latency_of):
    unchanged = (
        bench_of("fp32.onnx", latency_of(100), latency_of(60, 2)),
        bench_of("fp32.onnx", latency_of(125), latency_of(60, 2)),
    )
    rebuilt = (
        bench_of("int8.onnx", latency_of(50), latency_of(30, 2), sha256="old"),
        bench_of("int8.onnx", latency_of(60), latency_of(36, 2), sha256="new"),
    )
    floors = noise_floors([unchanged, rebuilt])
    assert floors[Figure.LATENCY, 1] == pytest.approx(0.2)
    assert floors[Figure.LATENCY, 2] == floors[Figure.MEMORY, 1] == floors[Figure.LOAD, 2] == 0
    found = [
        each for each in compare_speed(*rebuilt, floors, TOLERANCE) if each.figure is Figure.LATENCY
    ]
    assert [each.change for each in found] == [Change.NOISE, Change.WORSE]
    assert found[0].basis == "64 and 64 samples; an unchanged file differs by 20.0%"


def test_too_few_samples_say_so(bench_of, latency_of):
    a, b = (replace(latency_of(ms), samples_s=(ms / 1e3,) * 3) for ms in (10, 20))
    found = compare_speed(bench_of("int8.onnx", a), bench_of("int8.onnx", b), {}, TOLERANCE)
    latency = only(found, Figure.LATENCY)
    assert (latency.change, latency.interval) == (Change.NOISE, None)
    assert latency.basis == "3 and 3 samples, too few for an interval (at least 7 wanted)"


def test_only_the_same_runtime_and_threads_are_compared(bench_of, latency_of):
    a = bench_of("int8.tflite", latency_of(10, 1, "LiteRT"), latency_of(6, 2, "LiteRT"))
    b = bench_of("int8.tflite", latency_of(20, 1, "tflite-runtime"), latency_of(6, 2, "LiteRT"))
    found = compare_speed(a, b, {}, TOLERANCE)
    assert {(each.runtime, each.threads) for each in found} == {("LiteRT", 2)}


@pytest.mark.parametrize(
    ("before", "after", "change", "regression"),
    [
        (100, 100, Change.SAME, False),
        (100, 104, Change.NOISE, False),
        (100, 107, Change.NOISE, False),  # 8 MB, which the samples may take
        (100, 120, Change.WORSE, True),
        (120, 100, Change.BETTER, False),
    ],
)
def test_memory(bench_of, latency_of, before, after, change, regression):
    a, b = (bench_of("int8.onnx", latency_of(10, memory=mb * 10**6)) for mb in (before, after))
    found = only(compare_speed(a, b, {}, TOLERANCE), Figure.MEMORY)
    assert (found.change, found.regression) == (change, regression)


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [(0.1, 0.1, Change.SAME), (0.1, 0.3, Change.NOISE), (0.1, 0.5, Change.WORSE)],
)
def test_load_time_is_one_reading_and_never_a_regression(
    bench_of, latency_of, before, after, change
):
    a, b = (bench_of("int8.onnx", latency_of(10, load=load)) for load in (before, after))
    found = only(compare_speed(a, b, {}, TOLERANCE), Figure.LOAD)
    assert (found.change, found.regression) == (change, False)


def test_memory_of_an_unchanged_file_is_noise_too(bench_of, latency_of):
    unchanged = tuple(bench_of("fp32.onnx", latency_of(10, memory=m * 10**6)) for m in (100, 150))
    rebuilt = tuple(
        bench_of("int8.onnx", latency_of(10, memory=mb * 10**6), sha256=f"{mb}")
        for mb in (100, 140)
    )
    found = only(compare_speed(*rebuilt, noise_floors([unchanged]), TOLERANCE), Figure.MEMORY)
    assert found.change is Change.NOISE
    assert found.basis == "read once in each run; an unchanged file differs by 33.3%"


def test_a_system_that_does_not_tell_memory(bench_of, latency_of):
    a, b = (bench_of("int8.onnx", latency_of(10, memory=size)) for size in (0, 10**8))
    assert Figure.MEMORY not in {each.figure for each in compare_speed(a, b, {}, TOLERANCE)}


TIMES = st.floats(0.1, 1000)


@LIGHT
@given(TIMES, TIMES, st.floats(0, 0.5))
def test_turned_round_better_is_worse(bench_of, latency_of, before, after, floor):
    a, b = (
        bench_of("int8.onnx", latency_of(ms, memory=round(ms * 1e6), load=ms))
        for ms in (before, after)
    )
    floors = {(figure, 1): floor for figure in Figure}
    there = compare_speed(a, b, floors, TOLERANCE)
    back = compare_speed(b, a, floors, TOLERANCE)
    for one, other in zip(there, back, strict=True):
        assert other.change is OPPOSITE[one.change], one


@LIGHT
@given(TIMES)
def test_identical_runs_never_change(bench_of, latency_of, ms):
    bench = bench_of("int8.onnx", latency_of(ms))
    for each in compare_speed(bench, bench, noise_floors([(bench, bench)]), Tolerance(0)):
        assert (each.change, each.regression, each.amount) == (Change.SAME, False, 0)
