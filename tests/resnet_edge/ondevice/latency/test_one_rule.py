"""Report, recommendation and comparison of builds cannot contradict one another about speed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hand_made import hand_sidecar
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.comparison.compare_speed import compare_speed
from resnet_edge.comparison.differences import Change, Figure
from resnet_edge.comparison.tolerance import Tolerance
from resnet_edge.ondevice.latency.noise import as_fast, faster
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    ArtifactParity,
    GateResult,
    Latency,
    Machine,
    Verdict,
)
from resnet_edge.recommendation import Candidate, choose
from resnet_edge.reporting.content import (
    ArtifactRow,
    DataSection,
    ModelSection,
    ReportContent,
)
from resnet_edge.reporting.notes import derive_notes
from resnet_edge.reporting.tables import latency_rows

NAMES = ("fp32.onnx", "int8.onnx", "fp32.tflite", "int8.tflite")
NOT_ASKED = GateResult(Verdict.NOT_CHECKED, "not checked: no latency limit was given")

times_ms = st.lists(st.floats(1, 100, width=32), min_size=1, max_size=20)
by_threads = st.lists(times_ms, min_size=1, max_size=3)
builds = st.lists(by_threads, min_size=len(NAMES), max_size=len(NAMES))


def sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def bench(name: str, runs: list[list[float]]) -> ArtifactBench:
    runtime = "onnxruntime" if name.endswith(".onnx") else "LiteRT"
    latencies = tuple(
        Latency(runtime, threads, tuple(ms / 1e3 for ms in samples), 0.001, 0.1, 1000, 5)
        for threads, samples in enumerate(runs, start=1)
    )
    return ArtifactBench(name, sha(name), 1000, latencies, NOT_ASKED)


def parity(name: str, runtime: str) -> ArtifactParity:
    figures = (0.9, 1.0, 0.99, 0.1, 0.01, 20.0, 1.0, 40.0, 0.0)
    gate = GateResult(Verdict.PASS, "by hand")
    return ArtifactParity(name, sha(name), runtime, 10, *figures, (), (), (), None, gate)


@settings(deadline=None)
@given(builds, st.sampled_from([("avx2",), ("avx2", "avx512_vnni"), ()]))
def test_report_and_recommendation_agree(measured, features):
    machine = Machine("desk", "Linux", "CPU", features, 2, "3.11", {})
    benches = [bench(name, runs) for name, runs in zip(NAMES, measured, strict=True)]
    candidates = [Candidate(parity(each.name, each.latencies[0].runtime), each) for each in benches]
    found = choose(candidates, benches, (), machine)
    rows = tuple(
        ArtifactRow(
            replace(hand_sidecar(c.name), sha256=sha(c.name), bytes=1000), c.parity, c.bench
        )
        for c in candidates
    )
    model = ModelSection("hand", "0" * 64, ("cat", "dog"), (4, 4), 1, 1, 1, "none")
    content = ReportContent(model, DataSection(1, 1, 1, 1), None, rows, machine=machine, notes=())
    # the same thread count is marked as the one to deploy
    marked = {row.artifact: row.threads for row in latency_rows(content) if row.best}
    assert marked == {choice.name: str(choice.threads) for choice in found.choices}
    # int8 is called not faster in both, in the same sentences, or in neither
    notes = derive_notes(content)
    slow = [text for text in found.reasons if text.startswith("int8") and " than fp32" in text]
    slow = [text for text in slow if " is faster than fp32" not in text]
    assert [note for note in notes if " than fp32" in note] == slow
    assert all(note in found.reasons for note in notes if note.startswith("This processor"))


@settings(deadline=None)
@given(times_ms, times_ms)
def test_a_comparison_of_builds_calls_no_noise_a_change(before, after):
    one, other = bench("int8.onnx", [before]), bench("int8.onnx", [after])
    changes = compare_speed(one, replace(other, sha256="1" * 64), {}, Tolerance())
    (change,) = (each.change for each in changes if each.figure is Figure.LATENCY)
    first, second = one.latencies[0], other.latencies[0]
    if as_fast(first, second):
        assert change in (Change.NOISE, Change.SAME)
    if change is Change.BETTER:
        assert faster(second, first)
    if change is Change.WORSE:
        assert faster(first, second)


@pytest.mark.parametrize(("full_ms", "int8_ms", "gain"), [(100, 96, False), (100, 94, True)])
def test_the_edge_of_noise(full_ms, int8_ms, gain):
    # A median of 96 % of float32's was called faster by the report alone where spreads were wide.
    full, int8 = bench("fp32.onnx", [[full_ms]]), bench("int8.onnx", [[int8_ms]])
    assert faster(int8.latencies[0], full.latencies[0]) is gain
