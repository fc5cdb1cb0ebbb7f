from dataclasses import replace

import pytest

from resnet_edge.ondevice.latency.float32_gain import compare_with_float32, gain_words


def test_other_runtimes_and_threads_are_not_compared(hand_bench, hand_latency):
    full = hand_bench("fp32.tflite", 1, 10)
    other = replace(full, name="int8.tflite", latencies=(hand_latency(5, 1, "tflite-runtime"),))
    assert compare_with_float32([full, other]) == ()
    more = replace(full, name="int8.tflite", latencies=(hand_latency(5, 4, "LiteRT"),))
    assert compare_with_float32([full, more]) == ()
    assert compare_with_float32([full, hand_bench("int8.onnx", 1, 5)]) == ()


def test_the_figures(hand_bench):
    (found,) = compare_with_float32(
        [hand_bench("fp32.onnx", 1, 30, 20), hand_bench("int8.onnx", 1, 10)]
    )
    assert found.gains == (True,)
    assert gain_words(found) == (
        "int8.onnx is faster than fp32.onnx in onnxruntime: 3.00 times as fast with 1 thread "
        "(10.0 ms against 30.0 ms)."
    )


@pytest.mark.parametrize(
    ("runtime", "ms", "words"),
    [
        (
            "LiteRT.js wasm",
            107,
            "fp16.tflite takes 107 ms in LiteRT.js wasm with 1 thread, 4.28 times as long as "
            "fp32.tflite. LiteRT.js wasm leaves convolutions over float16 weights to slow kernels "
            "(seen with 2.5.3), so there take fp32.tflite or an integer file.",
        ),
        (
            "LiteRT.js WebGPU",
            107,
            "fp16.tflite takes 107 ms in LiteRT.js WebGPU with 1 thread, 4.28 times as long as "
            "fp32.tflite.",
        ),
        # A later version may have learnt better: figures that need no cause get none.
        (
            "LiteRT.js wasm",
            25,
            "fp16.tflite is not faster than fp32.tflite in LiteRT.js wasm: as fast with 1 thread "
            "(25.0 ms against 25.0 ms).",
        ),
    ],
)
def test_a_known_cause_explains_only_what_was_measured(
    hand_bench, hand_latency, runtime, ms, words
):
    full = replace(hand_bench("fp32.tflite", 2), latencies=(hand_latency(25, 1, runtime),))
    half = replace(hand_bench("fp16.tflite", 1), latencies=(hand_latency(ms, 1, runtime),))
    (found,) = compare_with_float32([full, half])
    assert gain_words(found) == words


def test_the_known_cause_is_of_float16_alone(hand_bench, hand_latency):
    name = "LiteRT.js wasm"
    full = replace(hand_bench("fp32.tflite", 2), latencies=(hand_latency(25, 1, name),))
    int8 = replace(hand_bench("int8.tflite", 1), latencies=(hand_latency(50, 1, name),))
    (found,) = compare_with_float32([full, int8])
    assert gain_words(found) == (
        "int8.tflite is not faster than fp32.tflite in LiteRT.js wasm: 2.00 times as long with 1 "
        "thread (50.0 ms against 25.0 ms)."
    )
