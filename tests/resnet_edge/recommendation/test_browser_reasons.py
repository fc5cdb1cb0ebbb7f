"""Warnings of a browser, by its runs alone."""

from dataclasses import replace

import pytest
from hand_device import HandRun, hand_run

from resnet_edge.ondevice.measurements import Browser
from resnet_edge.recommendation import Candidate
from resnet_edge.recommendation.browser_reasons import browser_sentences

WASM = HandRun("fp32.onnx", "ORT Web wasm", ((1, 30.0),))
WEBGPU = HandRun("fp32.onnx", "ORT Web WebGPU", ((1, 30.0),), accelerated=True)


@pytest.fixture
def say(hand_bench, hand_parity, hand_latency):
    """The sentences, where the first run is what is recommended."""

    def sentences(*runs: HandRun, cores: int = 4) -> list[str]:
        first = runs[0]
        bench = hand_bench(first.name, 94_000_000)
        timed = tuple(hand_latency(ms, n, first.runtime) for n, ms in first.times_ms)
        candidate = Candidate(hand_parity(first.name), replace(bench, latencies=timed))
        told = ("Chrome", "140", "Android", "Mozilla/5.0", True, True, True, "", 5e-6)
        browser = Browser(*told, tuple(hand_run(run) for run in runs))
        return list(browser_sentences((candidate,), cores, browser))

    return sentences


def test_all_cores_are_no_warning(say):
    assert say(replace(WASM, times_ms=((4, 10.0), (1, 30.0)), threads_asked=4)) == []
    assert say(WASM, cores=1) == []


@pytest.mark.parametrize(("asked", "words"), [(4, "4 were"), (1, "no more were")])
def test_fewer_threads_than_cores(say, asked, words):
    assert say(replace(WASM, threads_asked=asked)) == [
        "ORT Web wasm had 1 thread at most for fp32.onnx, as read back, where the browser claims 4 "
        f"cores; {words} asked for."
    ]


def test_threads_say_nothing_of_a_gpu(say):
    assert say(WEBGPU) == []


def test_a_part_on_the_processor(say):
    assert say(replace(WEBGPU, accelerated=False)) == [
        "fp32.onnx was not fully accelerated in ORT Web WebGPU: the answer came at least partly "
        "from the processor."
    ]


def test_other_files_and_runtimes_are_not_warned_of(say):
    other = replace(WEBGPU, accelerated=False, name="int8.onnx")
    assert say(replace(WASM, times_ms=((4, 10.0),)), replace(WEBGPU, accelerated=False)) == []
    assert say(WEBGPU, other, WASM) == []
