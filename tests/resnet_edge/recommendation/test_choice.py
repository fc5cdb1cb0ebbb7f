import pytest

from resnet_edge.ondevice.json_records import to_json
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.recommendation import Candidate, LeftOut, choose


@pytest.fixture
def chosen(hand_bench, hand_parity):
    """Choose among (name, size, ms, agreement); every parity passes."""

    def make(*rows, spread=0.0):
        candidates = [
            Candidate(
                hand_parity(name, agreement=agreement, sqnr_db=30 if agreement < 1 else 120),
                hand_bench(name, size, ms, spread=spread),
            )
            for name, size, ms, agreement in rows
        ]
        benches = [candidate.bench for candidate in candidates]
        return choose(candidates, benches, [LeftOut("saved_model", "x")], describe_machine({}))

    return make


def test_fastest_smallest_and_front(chosen):
    found = chosen(
        ("fp32.tflite", 94_000_000, 105, 1.0),
        ("int8.tflite", 24_000_000, 68, 0.97),
        ("fp32.onnx", 94_000_000, 120, 1.0),
        ("fp16.onnx", 47_000_000, 121, 0.999),
        ("int8.onnx", 24_200_000, 29.5, 0.98),
    )
    assert found
    assert (found.fastest, found.smallest, found.as_fast) == ("int8.onnx", "int8.tflite", ())
    assert found.front == ("int8.onnx", "int8.tflite", "fp32.tflite", "fp16.onnx")
    assert [(c.name, c.beaten_by) for c in found.choices] == [
        ("int8.onnx", ()),
        ("int8.tflite", ()),
        ("fp32.tflite", ()),
        ("fp32.onnx", ("fp32.tflite",)),
        ("fp16.onnx", ()),
    ]
    assert found.left_out == (LeftOut("saved_model", "x"),)
    first = found.choices[0]
    assert (first.runtime, first.threads, first.p50_s, first.bytes, first.verdict) == (
        *("onnxruntime", 1, 0.0295, 24_200_000),
        Verdict.PASS,
    )
    assert to_json(found)["choices"][0]["verdict"] == "pass"


def test_noise_does_not_choose_but_size_does(chosen):
    found = chosen(("fp32.onnx", 94_000_000, 20, 1.0), ("int8.onnx", 24_000_000, 20.5, 0.98))
    assert (found.fastest, found.as_fast) == ("int8.onnx", ("fp32.onnx",))
    assert found.front == ("fp32.onnx", "int8.onnx")


def test_of_equal_size_and_speed_the_closest_is_taken(chosen):
    found = chosen(("int8.tflite", 24_000_000, 20, 0.97), ("int8.onnx", 24_000_000, 20.5, 0.98))
    assert (found.fastest, found.as_fast, found.front) == (
        *("int8.onnx", ("int8.tflite",)),
        ("int8.onnx",),
    )


def test_wide_samples_overlap(chosen):
    rows = (("fp32.onnx", 94_000_000, 20, 1.0), ("fp32.tflite", 94_000_000, 24, 1.0))
    assert chosen(*rows, spread=0.01).as_fast == ()
    assert chosen(*rows, spread=0.15).as_fast == ("fp32.tflite",)


def test_nothing_to_choose_from(chosen):
    found = chosen()
    assert not found
    assert (found.fastest, found.smallest, found.front, found.reasons) == (None, None, (), ())
    assert found.left_out == (LeftOut("saved_model", "x"),)
