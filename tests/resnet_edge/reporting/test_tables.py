import dataclasses
import math

import pytest

from resnet_edge.ondevice.formats.kinds import ARTIFACT_KINDS
from resnet_edge.ondevice.measurements import GateResult, Verdict
from resnet_edge.reporting.tables import (
    SUMMARY_HEADINGS,
    headline,
    latency_rows,
    reason_rows,
    summary_rows,
)

FAILED = GateResult(Verdict.FAIL, "top-1 80 %")
UNSURE = GateResult(Verdict.INCONCLUSIVE, "needs about 300 more pictures")


def test_summary_has_the_reference_and_every_artifact(content):
    rows = summary_rows(content)
    assert [row.artifact for row in rows][:2] == ["reference (float32)", "saved_model"]
    assert len(rows) == 1 + len(ARTIFACT_KINDS)
    assert all(len(row.cells) == len(SUMMARY_HEADINGS) for row in rows)
    assert rows[0].cells == ("reference (float32)", "–", "95.00 %", "–", "–", "8.00 / 8.00 (2)", "")
    assert rows[1].cells == (
        "saved_model", "25.6 MB", "90.00 %", "99.50 %", "31.2 dB", "2.00 / 2.00 (1)", "pass",
    )  # fmt: skip


def test_summary_of_what_was_not_measured(content, row):
    bare = dataclasses.replace(row("fp32.onnx"), parity=None, bench=None)
    rows = summary_rows(dataclasses.replace(content, reference=None, artifacts=(bare,)))
    assert [row.cells for row in rows] == [
        ("fp32.onnx", "25.6 MB", "–", "–", "–", "–", "not checked")
    ]


def test_summary_shows_nan_and_exact(content, row):
    rows = (row("fp32.tflite", sqnr_db=math.inf), row("fp16.tflite", top1=math.nan))
    _, exact, broken = summary_rows(dataclasses.replace(content, artifacts=rows))
    assert (exact.sqnr, exact.verdict) == ("exact", "pass")
    assert (broken.top1, broken.verdict) == ("NaN", "fail")


def test_latencies_name_the_best_and_the_doubtful(content, row, bench, latency):
    unsettled = dataclasses.replace(latency(5.0, 2), settled=False)
    noisy = dataclasses.replace(latency(8.0, 1), samples_s=(0.006, 0.008, 0.008, 0.010) * 16)
    one = dataclasses.replace(row("fp32.onnx"), bench=bench("fp32.onnx", noisy, unsettled))
    rows = latency_rows(dataclasses.replace(content, artifacts=(one,)))
    assert [(r.artifact, r.threads, r.best, r.warnings) for r in rows] == [
        ("reference", "2", True, ""),
        ("fp32.onnx", "1", False, "noisy"),
        ("fp32.onnx", "2", True, "not settled"),
    ]
    assert rows[2].ratio == "0.625×"
    assert rows[2].cells[2:7] == ("5.00", "5.00", "10.0", "10.0", "10.0")
    few = dataclasses.replace(unsettled, samples_s=(0.005,) * 63, settled=True)
    one = dataclasses.replace(row("fp32.onnx"), bench=bench("fp32.onnx", few))
    *_, last = latency_rows(dataclasses.replace(content, artifacts=(one,)))
    assert (last.p90_bound, last.warnings) == ("–", "few queries")


def test_headline_of_a_latency_that_needs_more_queries(content, row, bench):
    unsure = bench("fp32.onnx", gate=GateResult(Verdict.INCONCLUSIVE, "about 64 queries would"))
    rows = (dataclasses.replace(row("fp32.onnx"), bench=unsure), row("fp16.onnx", gate=UNSURE))
    assert headline(dataclasses.replace(content, artifacts=rows)) == (
        "1 of 2 cannot be judged with so few test pictures: fp16.onnx. "
        "1 of 2 cannot be judged with so few latency queries: fp32.onnx."
    )


def test_a_latency_reason_of_all_comes_once(content):
    rows = reason_rows(content)
    assert len(rows) == len(ARTIFACT_KINDS) + 1
    assert (rows[-1].artifact, rows[-1].reason) == ("every artifact", "no latency gate was set")


def test_different_latency_reasons_stay_with_their_artifacts(content, row, bench):
    slow = dataclasses.replace(row("fp32.onnx"), bench=bench("fp32.onnx", gate=FAILED))
    rows = reason_rows(dataclasses.replace(content, artifacts=(row("fp16.onnx"), slow)))
    assert [(r.artifact, r.gate, r.verdict) for r in rows] == [
        ("fp16.onnx", "accuracy", "pass"),
        ("fp16.onnx", "latency", "not checked"),
        ("fp32.onnx", "accuracy", "pass"),
        ("fp32.onnx", "latency", "fail"),
    ]


def test_a_reason_does_not_repeat_its_verdict(content, row, bench):
    gate = GateResult(Verdict.NOT_CHECKED, "not checked: no latency limit was given")
    one = dataclasses.replace(row("fp32.onnx"), bench=bench("fp32.onnx", gate=gate))
    rows = reason_rows(dataclasses.replace(content, artifacts=(one,)))
    assert rows[1].reason == "no latency limit was given"


@pytest.mark.parametrize(
    ("gates", "sentence"),
    [
        ((), "There are no artifacts, so nothing was checked."),
        ((None,), "The only artifact holds its gates."),
        ((None, None), "All 2 artifacts hold their gates."),
        ((FAILED, None), "1 of 2 failed: fp32.onnx."),
        (
            (FAILED, UNSURE),
            "1 of 2 failed: fp32.onnx. "
            "1 of 2 cannot be judged with so few test pictures: fp16.onnx.",
        ),
    ],
)
def test_headline(content, row, gates, sentence):
    names = ("fp32.onnx", "fp16.onnx")
    rows = tuple(
        row(name) if gate is None else row(name, gate=gate)
        for name, gate in zip(names, gates, strict=False)
    )
    assert headline(dataclasses.replace(content, artifacts=rows)) == sentence
