"""Every artifact in every runtime of the browsers that are installed here, page and host in full.

A cell that works has to give the answers of the Python runtime for the same file; one that does not
has to say why.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from browser_calls import Call, agreement, calling, page_answers, python_answers, sqnr_db
from browser_processes import CHROMIUM, FIREFOX, KINDS, WEBKIT, Kind, opened
from real_browsers import skip_without, skip_without_other_user

from resnet_edge.devices.browser.backends import NO_SHARED_MEMORY, NO_WEBGPU
from resnet_edge.options import Options

pytestmark = pytest.mark.browser

LIMIT_S = 600.0

FLOORS_DB = {
    # (artifact, on the GPU). On digits more was measured (benchmarks/browsers.py), here down to 84.
    # Builds of a runtime add up in another order, which the network's gains multiply; a wrong layer
    # leaves less than 20.
    ("fp32.tflite", False): 75.0,
    ("fp32.tflite", True): 75.0,
    ("fp16.tflite", False): 75.0,
    ("fp16.tflite", True): 75.0,
    ("dynamic.tflite", False): 30.0,
    ("dynamic.tflite", True): 25.0,
    ("int8.tflite", False): 30.0,
    ("int8.tflite", True): 25.0,
    ("int8_full.tflite", False): 20.0,
    ("int8_full.tflite", True): 15.0,
    ("int16x8.tflite", False): 60.0,
    ("int16x8.tflite", True): 60.0,
    ("fp32.onnx", False): 75.0,
    ("fp32.onnx", True): 75.0,
    ("fp16.onnx", False): 70.0,
    ("fp16.onnx", True): 60.0,
    ("int8.onnx", False): 25.0,
    ("int8.onnx", True): 25.0,
}

REFUSED = {
    # What WebGPU cannot, by words of the reason; what these name, may also work elsewhere.
    "fp16.onnx/ort-webgpu/1": "f16",  # a GPU without 16-bit floats
    "int8.tflite/litert-webgpu/1": "the runtime refuses the file",
}

NO_ORT = {
    f"{name}.onnx/ort-wasm/1": "shared memory is disabled" for name in ("fp32", "fp16", "int8")
}


def measure(kind: Kind, options: Options, as_other_user: bool = False) -> Call:
    """A whole call in this browser."""
    skip_without(kind)
    with calling(options) as call, opened(kind, call.page, as_other_user=as_other_user):
        call.outcome(LIMIT_S)
    return call


def check_answers(call: Call, refusals: dict[str, str] = REFUSED) -> None:
    """Every job answered like the Python runtime, or has an expected reason."""
    session, plan = call.session, call.session.plan
    facts = session.begun[0].facts
    jobs = plan.jobs(facts)
    assert {job.id for job in jobs} == set(session.rows) | set(session.refused)
    for name, reason in session.refused.items():
        assert refusals.get(name, "a job that runs") in reason, (name, reason)
    expected = {a.name: python_answers(plan, a.name) for a in plan.artifacts}
    seen = set()
    for job in jobs:
        row = session.rows.get(job.id)
        if row is None or row.answers is None:
            continue
        seen.add(job.question)
        answers = page_answers(plan, row)
        sure = decided(expected[job.artifact])
        assert sure.mean() >= 0.5, job.id
        assert agreement(answers[sure], expected[job.artifact][sure]) == 1, job.id
        found = sqnr_db(answers, expected[job.artifact])
        assert found >= FLOORS_DB[job.artifact, job.backend.webgpu], job.id
    refused = {job.question for job in jobs if job.id in session.refused}
    assert seen | refused == {job.question for job in jobs}


def decided(answers: np.ndarray) -> np.ndarray:
    """True for each picture whose first class is well before the second: bool ``(n,)``.

    Builds of a runtime round differently, which may turn a tie in files of 8-bit integers.
    """
    ordered = np.sort(answers, axis=1)
    return ordered[:, -1] - ordered[:, -2] > 0.2


def check_times(call: Call) -> None:
    """Every row has what belongs to its time; software that plays a GPU has none."""
    facts = call.session.begun[0].facts
    for job in call.session.plan.jobs(facts):
        row = call.session.rows.get(job.id)
        if row is None:
            continue
        assert row.wasm_memory_bytes, job.id
        assert not row.hidden, job.id
        assert 1 <= row.threads <= job.threads, job.id
        if job.backend.not_timed(facts):
            assert row.samples_s == ()
            assert "plays the GPU" in row.latency_note
        else:
            assert len(row.samples_s) >= 8, (job.id, row.latency_note)
            assert np.median(row.samples_s) * row.queries_per_sample >= 10 * row.clock_step_s


@pytest.mark.parametrize("name", ["plain", "mobilenet", "resnet50"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_answers_are_those_of_the_python_runtime(
    kind: Kind, name: str, browser_options: Callable[[str], Options]
) -> None:
    skip_without(kind)
    call = measure(kind, browser_options(name))
    check_answers(call, REFUSED)
    check_times(call)
    facts = call.session.begun[0].facts
    assert facts.isolated
    assert facts.secure
    if kind is not CHROMIUM and not facts.webgpu:
        assert NO_WEBGPU in {gone.reason for gone in call.session.plan.left_out(facts)}


def test_chromium_in_its_sandbox(browser_options: Callable[[str], Options]) -> None:
    skip_without_other_user()
    call = measure(CHROMIUM, browser_options("plain"), as_other_user=True)
    check_answers(call)
    assert call.session.begun[0].facts.shared_memory


def test_threads_are_those_that_ran(browser_options: Callable[[str], Options]) -> None:
    """Chromium has all that threads need; what was asked for is read back."""
    skip_without(CHROMIUM)
    call = measure(CHROMIUM, browser_options("mobilenet"))
    facts = call.session.begun[0].facts
    assert facts.shared_memory
    assert facts.relaxed_simd
    assert any(row.threads == 2 for row in call.session.rows.values())
    for job, row in call.session.rows.items():
        assert row.threads == int(job.rpartition("/")[2]), job


def test_a_file_of_which_a_gpu_runs_only_a_part_is_told_apart(
    browser_options: Callable[[str], Options],
) -> None:
    """LiteRT.js says so only in its log: 16-bit integers do not run on its GPU."""
    call = measure(CHROMIUM, browser_options("plain"))
    facts = call.session.begun[0].facts
    if not facts.webgpu:
        pytest.skip("this Chromium has no WebGPU")
    runs = {(run.artifact, run.runtime): run for run in browser_runs(call)}
    part = runs["int16x8.tflite", "LiteRT.js WebGPU"]
    assert part.fully_accelerated is False
    assert any("INT16" in line for line in part.warnings)
    whole = runs["fp32.tflite", "LiteRT.js WebGPU"]
    assert (whole.provider, whole.fully_accelerated) == ("WebGPU", True)


def browser_runs(call: Call):
    result = call.outcome(0).result
    assert result.browser is not None
    return result.browser.runs


@pytest.mark.parametrize(
    ("kind", "preferences"),
    [(FIREFOX, {"javascript.options.shared_memory": False}), (WEBKIT, {})],
    ids=["firefox", "webkit"],
)
def test_no_shared_memory(
    kind: Kind, preferences: dict[str, object], browser_options: Callable[[str], Options]
) -> None:
    skip_without(kind)
    with (
        calling(browser_options("plain")) as call,
        opened(kind, call.page, preferences=preferences),
    ):
        made = call.outcome(LIMIT_S)
    facts = call.session.begun[0].facts
    if facts.shared_memory:
        pytest.skip(f"this {kind.name} has shared memory, whatever it is told")
    assert facts.isolated
    # onnxruntime-web has builds with shared memory only, also for one thread; WebKit lets a page
    # have such a memory, and only refuses to send it to a worker.
    check_answers(call, REFUSED if kind is WEBKIT else {**REFUSED, **NO_ORT})
    assert {row.threads for row in call.session.rows.values()} == {1}
    without = [gone for gone in made.result.left_out if NO_SHARED_MEMORY in gone.reason]
    assert len(without) == len(call.session.plan.artifacts)
