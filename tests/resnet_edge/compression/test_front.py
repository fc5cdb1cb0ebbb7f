"""The front and the choice, with figures that can be checked by hand."""

import math

import hypothesis
import pytest
from hypothesis import strategies
from search_rows import latency, measured_file, row

from resnet_edge.compression.foretelling import Machine, Way
from resnet_edge.compression.front import Front, Rules, build_front
from resnet_edge.compression.limits import Limits
from resnet_edge.compression.trials import MODEL, Stage, Trial
from resnet_edge.compression.words import answer, entry_rows, trial_rows
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.ondevice.parity.gates import Gates


def rules(max_p90_ms: float | None = 20.0, **limits: object) -> Rules:
    p90_s = None if max_p90_ms is None else max_p90_ms / 1e3
    return Rules(Limits(p90_s, **limits), Gates(max_p90_ms=max_p90_ms), 800, 1000)


def front_of(*trials: Trial, by: Rules, machines: tuple = ()) -> Front:
    return build_front(trials, machines, by)


MODEL_ROW = row(
    MODEL,
    Stage.MEASURED,
    measured_file("fp16.tflite", 80.0, 50_000_000),
    measured_file("int8.tflite", 30.0, 24_000_000, lost=2),
)
HALF = row(
    "64px-0.50",
    Stage.MEASURED,
    measured_file("fp16.tflite", 40.0, 12_000_000, gained=5, lost=4),
    measured_file("int8.tflite", 14.2, 6_000_000, gained=3, lost=4),
    share=0.5,
)
QUARTER = row(
    "64px-0.25",
    Stage.MEASURED,
    measured_file("int8.tflite", 7.0, 3_000_000, gained=5, lost=60),
    share=0.25,
)


def test_the_best_answers_within_the_latency_are_taken() -> None:
    found = front_of(MODEL_ROW, HALF, QUARTER, by=rules())
    assert found.chosen is not None
    assert found.chosen.title == "64px-0.50/int8.tflite"
    assert found.chosen.verdict is Verdict.PASS
    assert found.chosen.share_of_model == 0.5
    assert found.nearest is None
    assert found.costliest is None
    (sentence, *_) = answer(found)
    assert sentence.startswith(
        "Take int8.tflite at 64 px and 0.50 of the multiply-adds: p90 14.2 ms (limit 20) on this "
        "machine in LiteRT with 1 thread, 6.00 MB, top-1 −0.10 points (90 % interval −"
    )


def test_by_loss_alone_the_fastest_is_taken() -> None:
    found = front_of(MODEL_ROW, HALF, QUARTER, by=rules(None, loss=0.01))
    assert found.chosen is not None
    assert found.chosen.title == "64px-0.50/int8.tflite"
    loose = front_of(MODEL_ROW, HALF, QUARTER, by=rules(None, loss=0.08))
    assert loose.chosen is not None
    assert loose.chosen.network == "64px-0.25"


def test_nothing_fits_and_the_limit_that_costs_most_is_named() -> None:
    found = front_of(MODEL_ROW, HALF, by=rules(10.0, loss=0.01))
    assert found.chosen is None
    assert found.nearest is not None
    assert found.nearest.title == "64px-0.50/int8.tflite"
    assert found.costliest is not None
    limit, entry = found.costliest
    assert (limit, entry.title) == ("--max-p90-ms", "64px-0.50/fp16.tflite")
    first, second = answer(found)
    assert first.startswith("Nothing fits. Nearest comes int8.tflite at 64 px and 0.50")
    assert "--max-p90-ms is exceeded by 42%" in first
    assert second.startswith("The limit that costs the most is --max-p90-ms: without it there is")


def test_two_limits_that_contradict_each_other_are_told() -> None:
    thin = row("thin", Stage.MEASURED, measured_file("int8.tflite", 12.0, 2_000, lost=300))
    found = front_of(thin, by=rules(10.0, loss=0.01))
    assert found.costliest is None
    assert answer(found)[-1].startswith("No single limit is in the way")


def test_a_limit_that_was_measured_for_a_moment_is_not_proven() -> None:
    short = latency(14.0)
    short = type(short)(*("LiteRT", 1, short.samples_s[:20], 0.01, 0.01, 1, 1))
    trial = row("a", Stage.MEASURED, measured_file(latencies=(short,)))
    found = front_of(trial, by=rules())
    assert found.chosen is None
    assert found.nearest is not None
    assert found.nearest.excess == {"--max-p90-ms": 0.0}
    assert "--max-p90-ms is not proven" in answer(found)[0]


def test_collapsed_answers_hold_no_limit() -> None:
    trial = row("a", Stage.MEASURED, measured_file(milliseconds=1.0, collapse="one class"))
    found = front_of(trial, by=rules())
    assert found.chosen is None
    assert found.entries[0].answers is Verdict.FAIL


def test_what_is_proven_comes_before_what_is_better_and_not_proven() -> None:
    vague = row(
        "vague", Stage.MEASURED, measured_file(gained=100, lost=99, milliseconds=10.0), share=0.6
    )
    sure = row("sure", Stage.MEASURED, measured_file(milliseconds=12.0), share=0.6)
    found = front_of(vague, sure, by=rules())
    assert {e.network: e.answers for e in found.entries} == {
        "vague": Verdict.INCONCLUSIVE,
        "sure": Verdict.PASS,
    }
    assert found.chosen is not None
    assert found.chosen.network == "sure"
    alone = front_of(vague, by=rules())
    assert alone.chosen is not None
    assert answer(alone)[1].startswith("The loss is not proven: top-1")


def test_the_size_is_a_limit() -> None:
    found = front_of(MODEL_ROW, HALF, by=rules(None, bytes=7_000_000))
    assert found.chosen is not None
    assert found.chosen.title == "64px-0.50/int8.tflite"
    none = front_of(MODEL_ROW, HALF, by=rules(None, bytes=5_000_000))
    assert none.nearest is not None
    assert none.nearest.excess == {"--max-bytes": pytest.approx(0.2)}


class Model:
    """A model of latency: so many seconds a multiply-add."""

    def __init__(self, each: float) -> None:
        self.each = each

    def predict(self, work: object) -> float:
        return self.each * float(work[0])  # type: ignore[index]


def device(name: str, each: float, **measured: float) -> Machine:
    way = Way("int8.tflite", "tflite-runtime", 4)
    known = {(sha256.replace("_", "-"), way): s for sha256, s in measured.items()}
    return Machine(name, {way: Model(each)}, known)  # type: ignore[dict-item]


def test_on_devices_the_slowest_counts_and_is_foretold() -> None:
    slow, quick = device("slow", 60e-12), device("quick", 10e-12)
    found = front_of(MODEL_ROW, HALF, by=rules(61.0), machines=(slow, quick))
    (entry, *_) = found.entries
    assert {e.file for e in found.entries} == {"int8.tflite"}  # no device has another way
    assert (entry.machine, entry.is_foretold, entry.threads) == ("slow", True, 4)
    assert entry.p90_s == pytest.approx(0.06)
    assert found.chosen is not None
    assert found.chosen.latency is Verdict.PASS
    assert "The latency on slow is foretold" in answer(found)[-1]


def test_a_device_that_measured_the_network_itself_is_believed() -> None:
    there = Machine(
        "pi",
        device("pi", 60e-12).ways,
        {("64px-0.50", Way("int8.tflite", "tflite-runtime", 4)): 0.033},
    )
    found = front_of(HALF, by=rules(40.0), machines=(there,))
    assert found.chosen is not None
    assert (found.chosen.p90_s, found.chosen.is_foretold) == (0.033, False)


@hypothesis.given(
    strategies.lists(
        strategies.tuples(
            strategies.integers(1, 6), strategies.integers(1, 6), strategies.integers(0, 6)
        ),
        min_size=1,
        max_size=8,
    )
)
def test_no_file_of_the_front_is_beaten_and_all_others_are(figures: list) -> None:
    trials = [
        row(f"n{n}", Stage.MEASURED, measured_file(milliseconds=ms, size=size, lost=lost))
        for n, (ms, size, lost) in enumerate(figures)
    ]
    found = front_of(*trials, by=rules())
    on_front = {figures[int(entry.network[1:])] for entry in found.unbeaten}
    for one in figures:
        beaten = any(
            other != one and all(b <= a for a, b in zip(one, other, strict=True))
            for other in figures
        )
        assert (tuple(one) in on_front) == (not beaten)


def test_rows_of_the_tables() -> None:
    found = front_of(MODEL_ROW, HALF, by=rules())
    cells = dict(zip(entry_rows(found.entries)[0], range(20), strict=False))
    assert {"64px-0.50/int8.tflite", "0.50", "14.2 / 14.2", "held"} <= set(cells)
    fitted = row("64px-0.35", Stage.FITTED, share=0.35, change=-0.013)
    probe = row("probe", Stage.PROBE, share=0.2, change=None)
    tried = trial_rows([MODEL_ROW, HALF, fitted, probe])
    assert [line[0] for line in tried] == [MODEL, "64px-0.50", "64px-0.35"]
    assert tried[2][2:7] == ("0.35", "0.350 M", "−1.30", "100 %", "fitted")
    assert not math.isnan(found.reference_top1)
