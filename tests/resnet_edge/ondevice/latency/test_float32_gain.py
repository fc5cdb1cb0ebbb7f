from dataclasses import replace

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
