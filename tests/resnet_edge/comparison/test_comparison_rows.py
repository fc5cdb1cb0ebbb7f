from __future__ import annotations

import math

from resnet_edge.comparison.compare_builds import ArtifactComparison, Comparison, VerdictChange
from resnet_edge.comparison.differences import Change, Difference, Figure
from resnet_edge.comparison.rows import HEADINGS, comparison_rows, summary_rows
from resnet_edge.comparison.tolerance import Tolerance
from resnet_edge.ondevice.measurements import Interval, Verdict

TOP1 = Difference(
    Figure.TOP1, 0.975, 0.92, Change.WORSE, -0.055, Interval(-0.08, -0.03, 0.95), "paired",
    regression=True,
)  # fmt: skip
SIZE = Difference(Figure.SIZE, 24e6, 24e6, Change.SAME, 0.0, None, "exact")
LATENCY = Difference(
    Figure.LATENCY, 0.061, 0.05, Change.BETTER, -0.18, Interval(-0.2, -0.1567, 0.95), "64 samples",
    runtime="onnxruntime", threads=2,
)  # fmt: skip
LOAD = Difference(
    Figure.LOAD, 0.1, 0.12, Change.NOISE, 0.2, None, "once", runtime="onnxruntime", threads=2
)
MEMORY = Difference(
    Figure.MEMORY, 1e8, 2e8, Change.WORSE, 1.0, None, "once", "device-pi", "LiteRT", 1, True
)


def compared(*differences: Difference, verdicts: tuple[VerdictChange, ...] = ()) -> Comparison:
    artifact = ArtifactComparison("int8.onnx", differences, verdicts)
    return Comparison("a", "b", Tolerance(), (artifact,), ("fp32.onnx",), (), ("be warned",), 1)


def test_a_line_per_figure():
    rows = comparison_rows(compared(SIZE, TOP1, LATENCY, LOAD))
    assert [len(row.cells) for row in rows] == [len(HEADINGS)] * 3  # load time is noise
    assert [row.cells for row in rows] == [
        ("int8.onnx", "size", "24.0 MB", "24.0 MB", "0.0 %", "", "same"),
        *[
            ("", "top-1", "97.50 %", "92.00 %", "−5.50 points", "−8.00 to −3.00 points",
             "worse: regression"),
            ("", "p50, 2 threads", "61.0 ms", "50.0 ms", "−18.0 %", "−20.0 to −15.7 %", "better"),
        ],
    ]  # fmt: skip
    assert [row.ends for row in rows] == [False, False, True]


def test_runtimes_and_machines_are_named_where_there_are_several():
    rows = comparison_rows(compared(LATENCY, MEMORY))
    assert [row.cells[1] for row in rows] == [
        "p50, onnxruntime, 2 threads",
        "memory, LiteRT, 1 thread (device-pi)",
    ]


def test_decibels_without_limit_and_nan():
    def row(before: float, after: float, amount: float) -> tuple[str, ...]:
        sqnr = Difference(Figure.SQNR, before, after, Change.WORSE, amount, None, "")
        return comparison_rows(compared(sqnr))[0].cells[2:5]

    assert row(math.inf, 50.0, -math.inf) == ("exact", "50.0 dB", "−∞ dB")
    assert row(50.0, math.inf, math.inf) == ("50.0 dB", "exact", "+∞ dB")
    assert row(30.0, math.nan, math.nan) == ("30.0 dB", "NaN", "")
    assert row(30.0, 30.0, 0.0) == ("30.0 dB", "30.0 dB", "0.0 dB")


def test_the_summary():
    fell = VerdictChange(Verdict.PASS, Verdict.FAIL, Change.WORSE, regression=True)
    assert summary_rows(compared(SIZE, TOP1, LATENCY, LOAD, verdicts=(fell,))) == (
        ("better", "int8.onnx p50, 2 threads: −18.0 % (64 samples)"),
        ("worse", "int8.onnx verdict: pass to fail (regression)"),
        ("worse", "int8.onnx top-1: −5.50 points (paired; regression)"),
        ("no change", "1 figure within noise, 1 the same"),
        ("only in A", "fp32.onnx"),
        ("note", "be warned"),
    )
