"""recommend by the result of a device: nothing is measured, and every refusal is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hand_device import HASHES, NAMES, RUNS, HandRun, hand_device

from resnet_edge.errors import ArtifactError, ReferenceFileError, UsageError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.command.device_result import DeviceResult
from resnet_edge.ondevice.json_records import write_record
from resnet_edge.ondevice.measurements import (
    GateResult,
    PictureAnswers,
    Unmeasured,
    Verdict,
)
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.options import BenchOptions, Options
from resnet_edge.recommendation import LeftOut
from resnet_edge.robustness.corruptions import Corruption
from resnet_edge.robustness.record import CorruptedParity, CorruptedReference, CorruptionResult
from resnet_edge.steps import bench as bench_step
from resnet_edge.steps.recommend import recommend

AGAIN = "; measure again with `resnet-edge browser`"


@pytest.fixture
def options(tmp_path: Path, hand_artifact) -> Options:
    """A build that was never measured on this machine."""
    options = Options(out=tmp_path / "build")
    for name in NAMES:
        hand_artifact(options.layout.artifacts, name)
    return options


@pytest.fixture
def result(options: Options, hand_parity, hand_latency) -> DeviceResult:
    return hand_device(options.layout, hand_parity, hand_latency)


@pytest.fixture
def there(options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Recommend by a result, other options given; measuring here would fail."""

    def measure(*_: object, **__: object) -> None:
        raise AssertionError("measured")

    monkeypatch.setattr(bench_step, "bench_artifacts", measure)

    def choose(result: DeviceResult, allow_inconclusive: bool = False, **changes: object):
        path = tmp_path / "result.json"
        write_record(path, result)
        before = sorted(options.out.rglob("*"))
        changed = replace(options, **changes)
        found = recommend(changed, allow_inconclusive=allow_inconclusive, on_device=path)
        assert sorted(options.out.rglob("*")) == before
        return found

    return choose


def left_out(found) -> dict[str, str]:
    return {each.name: each.reason for each in found.left_out}


def with_latencies(result: DeviceResult, **changes: object) -> DeviceResult:
    benches = tuple(
        replace(bench, latencies=tuple(replace(x, **changes) for x in bench.latencies))
        for bench in result.bench.artifacts
    )
    return replace(result, bench=replace(result.bench, artifacts=benches))


def test_the_choice_and_all_that_was_refused(there, result):
    found = there(result)
    assert found.machine.host == "phone"
    assert (found.fastest, found.smallest) == ("int8.tflite", "int8.tflite")
    assert [(c.name, c.runtime, c.threads, c.p50_s) for c in found.choices] == [
        ("int8.tflite", "LiteRT.js wasm", 4, 0.005),
        ("fp32.tflite", "LiteRT.js WebGPU", 1, 0.006),
        ("fp32.onnx", "ORT Web wasm", 8, 0.015),
        ("fp16.tflite", "LiteRT.js wasm", 4, 0.06),
    ]
    assert found.left_out == (
        LeftOut("int8.tflite in LiteRT.js WebGPU", "load: Shape mismatch"),
        LeftOut("fp32.onnx in ORT Web WebGPU", "not timed: the page was hidden"),
        LeftOut("int8.onnx in ORT Web WebGPU", "no WebGPU kernel"),
        LeftOut("int8.onnx in ORT Web wasm", "fail: fail by hand"),
    )


def test_the_reasons(there, result):
    assert there(result).reasons == (
        "int8.tflite is the fastest: p50 5.00 ms in LiteRT.js wasm with 4 threads.",
        "Next comes fp32.tflite with 6.00 ms in LiteRT.js WebGPU with 1 thread, 1.20 times as "
        "long.",
        "int8.tflite takes 10.0 ms with 1 thread, 2.00 times as long.",
        "fp16.tflite takes 108 ms in LiteRT.js wasm with 1 thread, 4.50 times as long as "
        "fp32.tflite; with 4 threads 60.0 ms, 5.00 times as long. LiteRT.js wasm leaves "
        "convolutions over float16 weights to slow kernels (seen with 2.5.3), so there take "
        "fp32.tflite or an "
        "integer file.",
        "int8.tflite is faster than fp32.tflite in LiteRT.js wasm: 2.40 times as fast with 1 "
        "thread (10.0 ms against 24.0 ms), 2.40 times as fast with 4 threads (5.00 ms against 12.0 "
        "ms).",
        "int8.onnx is faster than fp32.onnx in ORT Web wasm: 2.14 times as fast with 8 threads "
        "(7.00 ms against 15.0 ms).",
        "LiteRT.js wasm had 4 threads at most for int8.tflite, as read back, where the browser "
        "claims 8 cores; 8 were asked for.",
    )


def test_a_gpu_that_left_a_part_to_the_processor(there, result):
    found = there(result, formats=("fp32.tflite", "fp16.tflite"))
    assert (found.fastest, found.smallest) == ("fp32.tflite", "fp16.tflite")
    assert found.reasons[-2:] == (
        "fp32.tflite was not fully accelerated in LiteRT.js WebGPU: the answer came at least "
        "partly from the processor.",
        "LiteRT.js wasm had 4 threads at most for fp16.tflite, as read back, where the browser "
        "claims 8 cores; 8 were asked for.",
    )


def test_a_limit_names_the_runtimes_that_do_not_hold_it(there, result):
    found = there(result, gates=Gates(max_p90_ms=10), formats=("fp32.tflite",))
    assert [(c.runtime, c.p50_s) for c in found.choices] == [("LiteRT.js WebGPU", 0.006)]
    assert left_out(found) == {
        "fp32.tflite in LiteRT.js wasm": (
            "fail: p90 12 ms, bound 12 ms at 99% confidence (at most 10 ms wanted), with 4 "
            "threads; fail: p90 24 ms, bound 24 ms at 99% confidence (at most 10 ms wanted), with "
            "1 thread"
        )
    }


def test_means_of_queries_have_no_p90(there, result):
    means = with_latencies(result, queries_per_sample=5)
    asked = {"gates": Gates(max_p90_ms=100), "formats": ("int8.tflite",)}
    found = there(means, **asked)
    assert not found
    reason = left_out(found)["int8.tflite in LiteRT.js wasm"]
    assert reason.startswith(
        "not checked: p90 (at most 100 ms wanted) cannot be judged: the clock was too coarse for "
        "single queries, and means of 5 hide the slow ones; limit the median"
    )
    assert there(means, allow_inconclusive=True, **asked).fastest == "int8.tflite"
    # The median means the same: 5 ms are a tenth of the reference's 50 ms.
    held = there(means, gates=Gates(max_latency_ratio=0.11), formats=("int8.tflite",))
    assert [choice.queries_per_sample for choice in held.choices] == [5]
    assert there(means, formats=("int8.tflite",)).fastest == "int8.tflite"


def test_thread_counts_that_were_not_measured_there(there, result):
    found = there(result, bench=BenchOptions(threads=(2, 8)))
    assert [choice.name for choice in found.choices] == ["fp32.onnx"]
    assert left_out(found)["int8.tflite in LiteRT.js wasm"] == (
        "not timed with the threads that were asked for (2 and 8), but with 1 and 4"
    )


def test_an_undecided_file(there, options, hand_parity, hand_latency):
    run = replace(RUNS[3], verdict=Verdict.INCONCLUSIVE)
    result = hand_device(options.layout, hand_parity, hand_latency, (run,))
    found = there(result, formats=("int8.tflite",))
    assert not found
    assert left_out(found)["int8.tflite in LiteRT.js wasm"] == (
        "inconclusive: inconclusive by hand; measure there with more pictures (`resnet-edge "
        "browser --images N`), or pass --allow-inconclusive"
    )
    board = replace(result, browser=None)
    assert left_out(there(board, formats=("int8.tflite",)))["int8.tflite in LiteRT.js wasm"] == (
        "inconclusive: inconclusive by hand; run a bundle there with more pictures (`resnet-edge "
        "bundle --images N`), or pass --allow-inconclusive"
    )
    assert there(result, allow_inconclusive=True).fastest == "int8.tflite"


def test_a_runtime_that_answered_and_crashed_does_not_count(there, result):
    crashed = Unmeasured("int8.tflite", "killed", "LiteRT.js wasm")
    found = there(replace(result, failed=(crashed,)))
    assert found.fastest == "fp32.tflite"
    assert left_out(found)["int8.tflite in LiteRT.js wasm"] == "killed"
    whole = Unmeasured("fp32.tflite", "too large for the device")
    found = there(replace(result, failed=(whole,)))
    assert "fp32.tflite" not in [choice.name for choice in found.choices]
    assert left_out(found)["fp32.tflite"] == "too large for the device"


def test_what_the_device_did_not_have(there, options, hand_artifact, hand_parity, hand_latency):
    hand_artifact(options.layout.artifacts, "saved_model")
    result = hand_device(options.layout, hand_parity, hand_latency, RUNS[:1])
    reasons = left_out(there(replace(result, failed=(), left_out=())))
    assert reasons["saved_model"] == "no device runs SavedModel"
    assert reasons["fp32.onnx"] == "not measured there; run `resnet-edge browser` with it"
    reasons = left_out(there(replace(result, browser=None)))
    assert reasons["fp32.onnx"] == (
        "not measured there; run `resnet-edge bundle` with it, and the bundle on the device"
    )


def test_a_file_that_was_exported_anew_is_no_candidate_and_compared_with_nothing(
    there, options, result, hand_artifact
):
    hand_artifact(options.layout.artifacts, "fp32.tflite", b"other")
    found = there(result)
    assert found.left_out[0] == LeftOut(
        "fp32.tflite",
        "exported anew since the bundle was made; make it again and run it on the device",
    )
    assert found.fastest == "int8.tflite"
    assert not any("fp32.tflite is" in why or "as fp32.tflite" in why for why in found.reasons)


def test_a_file_that_falls_under_a_corruption_falls_everywhere(there, options, result):
    dark = Corruption.DARK
    sha256 = next(bench.sha256 for bench in result.bench.artifacts if bench.name == "int8.tflite")
    fallen = CorruptedParity(
        *(dark, "int8.tflite", sha256, "LiteRT 2", "0" * 64, 8, 0.0, 0.0, 1.0, None),
        PictureAnswers("0" * 64, "00", "ff", "00"),
        GateResult(Verdict.FAIL, "top-1 0.00%"),
    )
    references = (CorruptedReference(dark, "0" * 64, 1.0, None),)
    record = CorruptionResult("ab" * 32, references, (fallen,))
    write_record(options.layout.corruptions, record)
    found = there(result)
    assert found.fastest == "fp32.tflite"
    assert left_out(found)["int8.tflite"] == "fail under dark: top-1 0.00%"


def test_a_board_with_one_runtime(there, options, hand_parity, hand_latency):
    run = HandRun("fp32.tflite", "LiteRT", ((1, 50.0), (4, 20.0)))
    result = hand_device(options.layout, hand_parity, hand_latency, (run,))
    found = there(replace(result, browser=None, failed=(), left_out=()), formats=("fp32.tflite",))
    assert found.left_out == ()
    assert found.reasons == (
        "fp32.tflite is the only artifact that can be recommended: p50 20.0 ms in LiteRT with 4 "
        "threads.",
        "fp32.tflite takes 50.0 ms with 1 thread, 2.50 times as long.",
    )


def test_a_bundle_without_pictures(there, options, hand_parity, hand_latency):
    run = replace(RUNS[3], runtime="none", verdict=Verdict.NOT_CHECKED)
    result = hand_device(options.layout, hand_parity, hand_latency, (run,))
    empty = replace(result.parity.artifacts[0], images=0, runtime="none")
    parity = replace(result.parity, images=0, artifacts=(empty,))
    result = replace(result, parity=parity, pictures=(), failed=(), left_out=())
    found = there(result, formats=("int8.tflite",))
    assert found.left_out == (LeftOut("int8.tflite", "not checked by hand"),)


def test_an_emulated_device(there, result):
    with pytest.raises(ArtifactError) as caught:
        there(replace(result, emulated=True))
    assert str(caught.value) == (
        "--on-device: phone was emulated, so its latencies say nothing; expected the result of a "
        "real device"
    )


def test_a_result_of_another_build(there, result, tmp_path):
    other = replace(result, parity=replace(result.parity, model_sha256="cd" * 32))
    with pytest.raises(ArtifactError) as caught:
        there(other)
    assert str(caught.value) == (
        f"{tmp_path / 'result.json'}: it is of model {'cd' * 8}…, this build of {'ab' * 8}…{AGAIN}"
    )
    with pytest.raises(ReferenceFileError) as refused:
        there(replace(result, pictures=("f" * 64, *HASHES[1:])))
    assert str(refused.value) == (
        f"{tmp_path / 'result.json'}: 1 of its 4 pictures are not of this build's test split{AGAIN}"
    )


def test_what_is_no_result(options, tmp_path):
    with pytest.raises(UsageError) as caught:
        recommend(options, on_device=tmp_path / "gone.json")
    assert str(caught.value) == (
        f"--on-device: no such file: {tmp_path / 'gone.json'}; expected the result that the run of "
        "a bundle wrote on a device"
    )
    path = Layout(options.out).artifacts / "fp32.tflite.json"
    with pytest.raises(ArtifactError, match="not a device's result; expected what"):
        recommend(options, on_device=str(path))
