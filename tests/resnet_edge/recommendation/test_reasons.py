from dataclasses import replace

import pytest

from resnet_edge.ondevice.latency.warnings import NO_CAUSE
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.recommendation import Candidate, choose

AVX2 = ("avx", "avx2", "fma")
SIZES = {"fp32": 94_000_000, "fp16": 47_000_000, "int8": 24_000_000, "dynamic": 24_000_000}


@pytest.fixture
def why(hand_bench, hand_parity):
    """The reasons, where artifacts take so many ms with 1, 2, … threads."""

    def explain(features=AVX2, only=None, spread=0.0, verdict=Verdict.PASS, **times):
        names = {name.replace("_", "."): ms for name, ms in times.items()}
        benches = [
            hand_bench(name, SIZES[name.split(".")[0]], *ms, spread=spread)
            for name, ms in names.items()
        ]
        candidates = [
            Candidate(hand_parity(bench.name, verdict), bench)
            for bench in benches
            if only is None or bench.name in only
        ]
        machine = replace(describe_machine({}), cpu_features=features)
        return choose(candidates, benches, (), machine).reasons

    return explain


MEASURED = {
    "fp32_tflite": (105, 59),
    "int8_tflite": (105, 68),
    "fp32_onnx": (102, 62),
    "int8_onnx": (61, 29.5),
}


def test_the_whole_story_on_avx2_without_vnni(why):
    assert why(**MEASURED) == (
        "int8.onnx is the fastest: p50 29.5 ms in onnxruntime with 2 threads.",
        "Next comes fp32.tflite with 59.0 ms in LiteRT with 2 threads, 2.00 times as long.",
        "int8.onnx takes 61.0 ms with 1 thread, 2.07 times as long.",
        "int8.tflite is not faster than fp32.tflite in LiteRT: as fast with 1 thread (105 ms "
        "against 105 ms), 1.15 times as long with 2 threads (68.0 ms against 59.0 ms).",
        "int8.onnx is faster than fp32.onnx in onnxruntime: 1.67 times as fast with 1 thread "
        "(61.0 ms against 102 ms), 2.10 times as fast with 2 threads (29.5 ms against 62.0 ms).",
        "This processor has no int8 dot product instructions (AVX2 without VNNI), so int8 depends "
        "on how a runtime does without them: it is faster than float32 in onnxruntime, not in "
        "LiteRT.",
    )


def about_the_processor(reasons):
    return [text for text in reasons if text.startswith("This processor")]


@pytest.mark.parametrize(
    ("features", "times", "words"),
    [
        (
            AVX2,
            {"fp32_tflite": (105,), "int8_tflite": (105,)},
            "no int8 dot product instructions (AVX2 without VNNI); without them int8 has little to "
            "gain over float32. On a device whose processor has them, int8 is usually faster: "
            "measure there.",
        ),
        (
            ("asimd",),
            {"fp32_tflite": (105,), "int8_tflite": (80,)},
            "no int8 dot product instructions (no asimddp); int8 is faster than float32 in LiteRT "
            "all the same.",
        ),
        (
            ("asimd", "asimddp"),
            {"fp32_tflite": (105,), "int8_tflite": (40,)},
            "int8 dot product instructions (asimddp), which int8 kernels are made for.",
        ),
        (
            ("avx2", "avx512_vnni"),
            {"fp32_onnx": (40,), "int8_onnx": (40,)},
            "int8 dot product instructions (avx512_vnni); why int8 gains nothing in onnxruntime "
            "was not measured.",
        ),
    ],
)
def test_the_processor_explains_only_what_was_measured(why, features, times, words):
    assert about_the_processor(why(features, **times)) == [f"This processor has {words}"]


def test_without_a_measurement_nothing_is_said_of_the_processor(why):
    assert about_the_processor(why(int8_tflite=(40,), fp32_onnx=(30,))) == []
    assert about_the_processor(why(features=(), fp32_onnx=(40,), int8_onnx=(40,))) == []
    # Dynamic range is another kind of arithmetic: it is compared, and not explained.
    reasons = why(fp32_tflite=(40,), dynamic_tflite=(40,))
    assert about_the_processor(reasons) == []
    assert any(text.startswith("dynamic.tflite is not faster than") for text in reasons)


def test_float32_that_is_no_candidate_is_compared_with(why):
    reasons = why(only=("int8.onnx",), fp32_onnx=(102,), int8_onnx=(61,))
    assert reasons[0] == (
        "int8.onnx is the only artifact that can be recommended: p50 61.0 ms in onnxruntime with 1 "
        "thread."
    )
    assert reasons[1].startswith("int8.onnx is faster than fp32.onnx in onnxruntime: 1.67 times")


def test_only_some_thread_counts(why):
    reasons = why(fp32_onnx=(100, 50), int8_onnx=(60, 50))
    assert (
        "int8.onnx is faster only with some thread counts than fp32.onnx in onnxruntime: 1.67 "
        "times as fast with 1 thread (60.0 ms against 100 ms), as fast with 2 threads (50.0 ms "
        "against 50.0 ms)."
    ) in reasons
    assert about_the_processor(reasons) == []


def test_a_tie_is_said_and_decided_by_size(why):
    reasons = why(fp32_onnx=(20,), fp16_onnx=(20.4,))
    assert reasons[0] == (
        "fp16.onnx is as fast as fp32.onnx (20.0 ms): p50 20.4 ms in onnxruntime with 1 thread; "
        "the middle halves of their samples overlap or their medians lie within 5%. It is taken "
        "because it is smaller (47.0 MB against 94.0 MB)."
    )


def test_a_tie_that_nothing_decides(why):
    reasons = why(fp32_onnx=(20,), fp32_tflite=(20.4,))
    assert reasons[0].endswith("They differ neither in size nor in answers: any of them will do.")


def test_the_smallest_has_its_price(why):
    reasons = why(fp32_onnx=(20,), int8_tflite=(30,))
    assert (
        "int8.tflite is the smallest (24.0 MB against 94.0 MB) and takes 1.50 times as long as "
        "fp32.onnx."
    ) in reasons


def test_more_threads_that_do_not_help(why):
    assert "fp32.onnx takes 20.1 ms with 2 threads: no faster than with 1 thread." in why(
        fp32_onnx=(20, 20.1)
    )
    assert "fp32.onnx takes 30.0 ms with 2 threads: slower than with 1 thread." in why(
        fp32_onnx=(20, 30)
    )


def test_warnings_come_last(why):
    reasons = why(spread=0.06, verdict=Verdict.INCONCLUSIVE, fp32_onnx=(20,), int8_onnx=(10,))
    assert reasons[-3:] == (
        "The machine was noisy: the middle half of the latency samples spans over 10 % of the "
        "median for int8.onnx (1 thread), fp32.onnx (1 thread).",
        NO_CAUSE,
        "int8.onnx and fp32.onnx are not proven: too few test pictures to decide the accuracy "
        "gate.",
    )


def test_float16_that_is_slower_names_its_price_and_no_cause_that_is_not_known(why):
    reasons = why(fp32_onnx=(20, 10), fp16_onnx=(31, 12))
    assert reasons[0] == "fp32.onnx is the fastest: p50 10.0 ms in onnxruntime with 2 threads."
    assert (
        "fp16.onnx takes 31.0 ms in onnxruntime with 1 thread, 1.55 times as long as fp32.onnx; "
        "with 2 threads 12.0 ms, 1.20 times as long."
    ) in reasons


def test_float16_within_the_noise_is_not_called_slower(why):
    reasons = why(fp32_onnx=(20, 10), fp16_onnx=(20.4, 12))
    assert (
        "fp16.onnx takes 12.0 ms in onnxruntime with 2 threads, 1.20 times as long as fp32.onnx."
    ) in reasons
    assert (
        "fp16.onnx is not faster than fp32.onnx in onnxruntime: as fast with 1 thread (20.4 ms "
        "against 20.0 ms)."
    ) in why(fp32_onnx=(20,), fp16_onnx=(20.4,))
    assert any(
        text.startswith("fp16.onnx is faster only with some thread counts than fp32.onnx")
        for text in why(fp32_onnx=(20, 10), fp16_onnx=(10, 20))
    )
