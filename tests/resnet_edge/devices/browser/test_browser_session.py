"""The state of one call: who measures, what is asked, what is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hand_browser import ANSWERS, GPU, SWIFTSHADER, hand_facts, hand_row

from resnet_edge.devices.browser.backends import (
    NO_RELAXED_SIMD,
    NO_SHARED_MEMORY,
    NO_SIMD,
    NO_WEBGPU,
    NOT_ISOLATED,
    NOT_SECURE,
)
from resnet_edge.devices.browser.judging import HIDDEN
from resnet_edge.devices.browser.messages import Alive, Begin, Failed, GiveUp, Started
from resnet_edge.devices.browser.plan import Plan
from resnet_edge.devices.browser.session import KILLED, Measured, Session
from resnet_edge.errors import PageRefusedError, RemoteError

WASM_2, WASM_1 = "fp32.tflite/litert-wasm/2", "fp32.tflite/litert-wasm/1"


class Host:
    """A session with a clock by hand, and all that it says and keeps."""

    def __init__(self, plan: Plan) -> None:
        self.now, self.said, self.kept = 0.0, [], []
        self.session = Session(plan, self.said.append, self.keep, lambda: self.now)

    def keep(self, measured: Measured | None) -> str:
        self.kept.append(measured)
        return "device-hand.json"


@pytest.fixture
def host(plan: Plan) -> Host:
    return Host(plan)


def states(overview) -> dict[str, str]:
    return {job.id: job.state for job in overview.jobs}


def answering(overview) -> list[str]:
    return [job.id for job in overview.jobs if job.answers]


def test_the_smallest_file_comes_first_and_many_threads_before_one(host):
    overview = host.session.look(hand_facts())
    assert list(states(overview)) == [
        *("fp32.tflite/litert-wasm/2", "fp32.tflite/litert-wasm/1"),
        *("int8_full.tflite/litert-wasm/2", "int8_full.tflite/litert-wasm/1"),
        *("fp32.onnx/ort-wasm/2", "fp32.onnx/ort-wasm/1"),
    ]
    assert [(gone.name, gone.reason) for gone in overview.left_out] == [
        ("fp32.tflite in LiteRT.js WebGPU", NO_WEBGPU),
        ("int8_full.tflite in LiteRT.js WebGPU", NO_WEBGPU),
        ("fp32.onnx in ORT Web WebGPU", NO_WEBGPU),
    ]
    assert overview.left == 6


@pytest.mark.parametrize(
    ("changes", "job", "reason"),
    [
        ({"isolated": False}, "fp32.tflite in LiteRT.js wasm", NOT_ISOLATED),
        ({"shared_memory": False}, "fp32.onnx in ORT Web wasm", NO_SHARED_MEMORY),
        ({"relaxed_simd": False}, "fp32.tflite in LiteRT.js wasm", NO_RELAXED_SIMD),
        ({"secure": False}, "fp32.onnx in ORT Web WebGPU", NOT_SECURE),
        ({"simd": False}, "fp32.onnx in ORT Web wasm", NO_SIMD),
    ],
)
def test_what_a_browser_lacks_is_named(host, changes, job, reason):
    overview = host.session.look(hand_facts(**changes))
    (found,) = {gone.reason for gone in overview.left_out if gone.name == job}
    assert found == (reason if reason in (NOT_SECURE, NO_SIMD) else f"with 2 threads: {reason}")


def test_onnxruntime_needs_no_relaxed_simd_for_threads(host):
    jobs = states(host.session.look(hand_facts(relaxed_simd=False)))
    assert "fp32.onnx/ort-wasm/2" in jobs
    assert WASM_2 not in jobs


def test_answers_are_judged_and_asked_once_in_each_runtime(host):
    overview = host.session.begin(Begin("one", hand_facts()))
    assert answering(overview)[:2] == [WASM_2, WASM_1]
    answer, overview = host.session.row(hand_row(WASM_2, ANSWERS))
    assert (answer.verdict, answer.agreement, answer.sqnr_db) == ("pass", 1.0, None)
    assert answer.p50_ms == pytest.approx(20)
    assert states(overview)[WASM_2] == "done"
    assert answering(overview)[:2] == [WASM_2, "int8_full.tflite/litert-wasm/2"]
    answer, overview = host.session.row(hand_row(WASM_1))
    assert (answer.verdict, answer.agreement, answer.words) == ("", None, "")
    assert overview.left == 4
    assert host.said[-1] == "fp32.tflite in LiteRT.js wasm: p50 20 ms"


def test_integer_answers_become_probabilities(host):
    """256 steps: the largest difference is half a step of the probabilities."""
    host.session.begin(Begin("one", hand_facts()))
    steps = np.round(ANSWERS * 256).astype(np.uint8)
    answer, _ = host.session.row(hand_row("int8_full.tflite/litert-wasm/2", steps))
    assert answer.agreement == 1.0
    assert 40 < answer.sqnr_db < 70


def test_one_wrong_answer_of_four_fails_a_float_file(host):
    host.session.begin(Begin("one", hand_facts()))
    wrong = ANSWERS.copy()
    wrong[0] = 0.1, 0.9
    answer, _ = host.session.row(hand_row(WASM_2, wrong))
    assert (answer.verdict, answer.agreement) == ("fail", 0.75)
    assert answer.words.startswith("3 of 4 answers agree with the reference's (75.00%")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_no_number_fails(host, value):
    host.session.begin(Begin("one", hand_facts()))
    broken = ANSWERS.copy()
    broken[2, 1] = value
    answer, _ = host.session.row(hand_row(WASM_2, broken))
    assert answer.verdict == "fail"
    assert answer.words.startswith("collapsed: ")


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (None, f"{WASM_2}: no answers; expected those to 4 pictures"),
        (ANSWERS[:3], f"{WASM_2}: answers of shape (3, 2); expected (4, 2)"),
        (ANSWERS.astype(np.uint8), f"{WASM_2}: answers of type uint8; expected float32"),
    ],
)
def test_missing_and_foreign_answers_are_refused_and_asked_again(host, answers, words):
    host.session.begin(Begin("one", hand_facts()))
    with pytest.raises(RemoteError) as refused:
        host.session.row(hand_row(WASM_2, answers))
    assert str(refused.value) == words
    assert states(host.session.alive(Alive("one", False)))[WASM_2] == "waiting"


def test_a_thread_count_that_fails_leaves_the_answers_to_the_next(host):
    host.session.begin(Begin("one", hand_facts()))
    host.session.failed(Failed("one", WASM_2, "out of\n memory", "load"))
    assert host.said[-1] == "fp32.tflite in LiteRT.js wasm: load: out of memory"
    answer, overview = host.session.row(hand_row(WASM_1, ANSWERS))
    assert answer.verdict == "pass"
    assert states(overview)[WASM_2] == "failed"


def test_all_done_ends_with_one_result(host):
    overview = host.session.begin(Begin("one", hand_facts(cores=1)))
    assert list(states(overview)) == [
        WASM_1,
        "int8_full.tflite/litert-wasm/1",
        "fp32.onnx/ort-wasm/1",
    ]
    host.session.row(hand_row(WASM_1, ANSWERS))
    host.session.failed(Failed("one", "int8_full.tflite/litert-wasm/1", "refused", "load"))
    assert not host.session.ended.is_set()
    _, overview = host.session.row(hand_row("fp32.onnx/ort-wasm/1", ANSWERS))
    assert host.session.ended.is_set()
    assert (overview.left, overview.result) == (0, "device-hand.json")
    (measured,) = host.kept
    assert [each.job.id for each in measured.judged] == [WASM_1, "fp32.onnx/ort-wasm/1"]
    assert [(job.id, why) for job, why in measured.failed] == [
        ("int8_full.tflite/litert-wasm/1", "load: refused")
    ]
    host.session.end()  # Ctrl-C a moment later
    assert len(host.kept) == 1


def test_a_second_page_waits_until_the_first_is_silent(host):
    host.session.begin(Begin("one", hand_facts()))
    host.now = 14
    with pytest.raises(PageRefusedError) as refused:
        host.session.begin(Begin("two", hand_facts()))
    assert str(refused.value) == (
        "another page is measuring (Chromium 156.0.0.0 on Linux), seen 14 s ago; expected one at a "
        "time; close it, or wait until it has been silent for 15 s"
    )
    host.session.row(hand_row(WASM_2, ANSWERS))
    host.now = 30
    overview = host.session.begin(Begin("two", hand_facts()))
    assert states(overview)[WASM_2] == "done"  # the same browser goes on
    with pytest.raises(PageRefusedError) as refused:
        host.session.row(hand_row(WASM_1))
    assert refused.value.gone


def test_another_browser_begins_anew(host):
    host.session.begin(Begin("one", hand_facts()))
    host.session.row(hand_row(WASM_2, ANSWERS))
    host.now = 60
    overview = host.session.begin(Begin("two", hand_facts(user_agent="Firefox/140.0")))
    assert set(states(overview).values()) == {"waiting"}


def test_a_killed_page_goes_on_and_the_failure_is_kept(host):
    host.session.begin(Begin("one", hand_facts()))
    host.session.started(Started("one", WASM_2))
    overview = host.session.begin(Begin("one", hand_facts()))
    assert states(overview)[WASM_2] == "failed"
    assert next(job.words for job in overview.jobs if job.id == WASM_2) == KILLED
    assert answering(overview)[0] == WASM_2  # it never answered, and WASM_1 has to
    assert WASM_1 in answering(overview)


def test_a_page_that_is_left_by_hand_measures_that_job_again(host):
    host.session.begin(Begin("one", hand_facts()))
    host.session.started(Started("one", WASM_2))
    host.session.leaving(Started("one", WASM_2))
    overview = host.session.begin(Begin("two", hand_facts()))  # at once
    assert states(overview)[WASM_2] == "waiting"


def test_a_page_may_stop_and_what_it_measured_is_kept(host):
    host.session.begin(Begin("one", hand_facts(cores=1)))
    host.session.row(hand_row(WASM_1, ANSWERS))
    host.session.give_up(GiveUp("one", ""))
    (measured,) = host.kept
    assert [(gone.name, gone.runtime, gone.reason) for gone in measured.left_out[-2:]] == [
        ("int8_full.tflite", "LiteRT.js wasm", "not measured: stopped before its turn"),
        ("fp32.onnx", "ORT Web wasm", "not measured: stopped before its turn"),
    ]


def test_nothing_measured_is_nothing_kept(host):
    host.session.begin(Begin("one", hand_facts()))
    host.session.end()
    assert host.kept == [None]


def test_unknown_jobs_and_pages_are_refused(host):
    with pytest.raises(PageRefusedError):
        host.session.alive(Alive("one", False))
    host.session.begin(Begin("one", hand_facts()))
    for job in ("fp32.tflite/litert-webgpu/1", "x" * 1000, ""):
        with pytest.raises(RemoteError, match="no such job; reload the page"):
            host.session.started(Started("one", job))


@pytest.mark.parametrize(
    ("gpu", "changes", "words"),
    [
        (GPU, {"hidden": True}, HIDDEN),
        (GPU, {"samples_s": (), "latency_note": "the clock steps by 16 ms"}, "the clock steps"),
        (SWIFTSHADER, {}, "the processor plays the GPU (google swiftshader (software))"),
    ],
)
def test_latency_that_means_nothing_is_not_kept(host, gpu, changes, words):
    host.session.begin(Begin("one", hand_facts(webgpu=True, gpu=gpu)))
    row = hand_row("fp32.tflite/litert-webgpu/1", ANSWERS, **changes)
    answer, _ = host.session.row(row)
    assert answer.p50_ms is None
    assert answer.not_timed.startswith(words)
    assert answer.verdict == "pass"


@pytest.mark.parametrize("answers", [ANSWERS, np.full_like(ANSWERS, np.nan)], ids=["exact", "nan"])
def test_a_page_is_told_no_number_that_json_lacks(host, answers):
    host.session.begin(Begin("one", hand_facts()))
    told, overview = host.session.row(hand_row(WASM_2, answers))
    assert told.sqnr_db is None
    assert next(job for job in overview.jobs if job.id == WASM_2).result == told
