"""A browser's rows as the record of a device."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hand_browser import ANSWERS, GPU, SWIFTSHADER, hand_facts, hand_row

from resnet_edge.devices.browser.judging import browser_name, device_result, judge_row
from resnet_edge.devices.browser.messages import Facts
from resnet_edge.devices.browser.plan import Job, Plan
from resnet_edge.errors import ArtifactError
from resnet_edge.ondevice.command.device_result import DeviceResult, device_path
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.measurements import Unmeasured, Verdict
from resnet_edge.ondevice.parity.gates import Gates

WEBKITGTK = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/60.5 "
    "Safari/605.1.15"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/26.0 Mobile/15E148 Safari/604.1"
)
PIXEL = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 "
    "Mobile Safari/537.36"
)


def jobs(plan: Plan, facts: Facts) -> dict[str, Job]:
    return {job.id: job for job in plan.jobs(facts)}


def result_of(
    plan: Plan, facts: Facts, rows: dict[str, object], failed: dict[str, str] | None = None
) -> DeviceResult:
    """Each row is its answers, or None, or a Row."""
    known, answered, judged = jobs(plan, facts), set(), []
    for name, row in rows.items():
        job = known[name]
        given = row if not isinstance(row, np.ndarray) and row is not None else hand_row(name, row)
        judged.append(judge_row(plan, facts, job, given, job.question not in answered))
        answered.add(job.question)
    gone = [(known[name], reason) for name, reason in (failed or {}).items()]
    return device_result(plan, facts, None, judged, gone, plan.left_out(facts))


def test_a_record_that_any_version_reads(plan):
    facts = hand_facts(webgpu=True, gpu=GPU)
    result = result_of(
        plan,
        facts,
        {
            "fp32.tflite/litert-wasm/2": ANSWERS,
            "fp32.tflite/litert-wasm/1": None,
            "fp32.tflite/litert-webgpu/1": ANSWERS,
            "fp32.onnx/ort-wasm/1": ANSWERS,
        },
        {"int8_full.tflite/litert-webgpu/1": "load: Shape mismatch"},
    )
    again = from_json(DeviceResult, json.loads(json.dumps(to_json(result))), "x", ArtifactError)
    assert again == result
    assert [p.name for p in result.parity.artifacts] == ["fp32.tflite", "fp32.onnx"]
    assert [p.runtime for p in result.parity.elsewhere] == ["LiteRT.js WebGPU 2.5.3"]
    assert result.parity.reference_top1 == 0.75
    (bench, _) = result.bench.artifacts
    assert [(one.runtime, one.threads) for one in bench.latencies] == [
        ("LiteRT.js wasm", 2),
        ("LiteRT.js wasm", 1),
        ("LiteRT.js WebGPU", 1),
    ]
    assert result.failed == (
        Unmeasured("int8_full.tflite", "load: Shape mismatch", "LiteRT.js WebGPU"),
    )
    assert result.machine.runtimes == {
        "LiteRT.js wasm": "2.5.3",
        "LiteRT.js WebGPU": "2.5.3",
        "ORT Web wasm": "2.5.3",
    }


def test_a_refusal_in_one_runtime_fails_no_artifact_that_another_answers(plan):
    facts = hand_facts(webgpu=True, gpu=GPU)
    steps = np.round(ANSWERS * 256).astype(np.uint8)
    refused = {"int8_full.tflite/litert-webgpu/1": "load: refused"}
    both = result_of(plan, facts, {"int8_full.tflite/litert-wasm/2": steps}, refused)
    assert Verdict.FAIL not in both.verdicts
    alone = result_of(plan, facts, {"fp32.tflite/litert-wasm/2": ANSWERS}, refused)
    assert alone.verdicts.count(Verdict.FAIL) == 1


def test_threads_that_fail_where_one_thread_answers_are_no_failure(plan):
    result = result_of(
        plan,
        hand_facts(),
        {"fp32.tflite/litert-wasm/1": ANSWERS},
        {"fp32.tflite/litert-wasm/2": "load: out of memory"},
    )
    assert result.failed == ()
    words = "with 2 threads: load: out of memory"
    assert Unmeasured("fp32.tflite", words, "LiteRT.js wasm") in result.left_out
    assert Verdict.FAIL not in result.verdicts


def test_threads_that_are_not_given_count_once(plan):
    """onnxruntime-web falls back to one thread in silence."""
    result = result_of(
        plan,
        hand_facts(),
        {
            "fp32.onnx/ort-wasm/2": hand_row("fp32.onnx/ort-wasm/2", ANSWERS, threads=1),
            "fp32.onnx/ort-wasm/1": None,
        },
    )
    (bench,) = result.bench.artifacts
    assert [one.threads for one in bench.latencies] == [1]
    assert [(run.threads_asked, run.threads) for run in result.browser.runs] == [(2, 1), (1, 1)]


def test_the_receipt_of_each_run_is_kept(plan):
    facts = hand_facts(webgpu=True, gpu=SWIFTSHADER)
    row = hand_row(
        "fp32.tflite/litert-webgpu/1",
        ANSWERS,
        provider="WebGPU",
        fully_accelerated=False,
        warnings=("falls back to wasm",),
    )
    result = result_of(plan, facts, {row.job: row})
    (run,) = result.browser.runs
    assert (run.provider, run.fully_accelerated, run.warnings) == (
        "WebGPU",
        False,
        ("falls back to wasm",),
    )
    assert run.wasm_memory_bytes == 52_000_000
    assert run.not_timed == "the processor plays the GPU (google swiftshader (software))"
    (bench,) = result.bench.artifacts
    assert bench.latencies == ()
    assert result.browser.gpu == "google swiftshader (software)"


def test_latency_limits_are_judged_where_there_is_a_latency(plan):
    strict = replace(plan, gates=Gates(max_p90_ms=10))
    (bench,) = result_of(
        strict, hand_facts(), {"fp32.tflite/litert-wasm/1": ANSWERS}
    ).bench.artifacts
    assert bench.gate.verdict is Verdict.FAIL
    hidden = hand_row("fp32.tflite/litert-wasm/1", ANSWERS, hidden=True)
    (bench,) = result_of(strict, hand_facts(), {hidden.job: hidden}).bench.artifacts
    assert bench.gate.verdict is Verdict.NOT_CHECKED
    assert bench.gate.reason == (
        "not checked: the page was hidden while it measured, which slows it down; keep it in front"
    )
    coarse = hand_row("fp32.tflite/litert-wasm/1", ANSWERS, queries_per_sample=5)
    (bench,) = result_of(strict, hand_facts(), {coarse.job: coarse}).bench.artifacts
    assert bench.gate.verdict is Verdict.NOT_CHECKED
    assert bench.latencies[0].queries_per_sample == 5


@pytest.mark.parametrize(
    ("agent", "brands", "name"),
    [
        (PIXEL, (("Google Chrome", "150"), ("Chromium", "150")), ("Chrome", "150.0.0.0")),
        (PIXEL, (("Chromium", "150"), ("Not A(Brand", "8")), ("Chromium", "150.0.0.0")),
        (PIXEL + " Edg/150.0.1.2", (("Chromium", "150"),), ("Edge", "150.0.1.2")),
        ("… Gecko/20100101 Firefox/140.0", (), ("Firefox", "140.0")),
        (IPHONE, (), ("Safari", "26.0")),
        (WEBKITGTK, (), ("WebKit", "605.1.15")),
        ("Mozilla/5.0 (X11) AppleWebKit/605.1.15 (KHTML)", (), ("WebKit", "605.1.15")),
        ("curl/8", (), ("unknown browser", "")),
    ],
)
def test_a_browser_is_named_by_its_user_agent(agent, brands, name):
    assert browser_name(hand_facts(user_agent=agent, brands=brands)) == name


def test_two_phones_are_two_devices(plan, tmp_path):
    one = hand_facts(user_agent=PIXEL, model="Pixel 8", platform="Android", platform_version="16")
    other = replace(one, model="SM-S921B")
    rows = {"fp32.tflite/litert-wasm/1": ANSWERS}
    paths = {device_path(tmp_path, result_of(plan, facts, rows)) for facts in (one, other)}
    assert len(paths) == 2
    machine = result_of(plan, one, rows).machine
    assert machine.host == "Chromium on Pixel 8"
    assert machine.system == "Chromium 150.0.0.0, Android 16"
    assert machine.processor == "Pixel 8, x86"
