from dataclasses import replace

from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.recommendation import Candidate, LeftOut, choose
from resnet_edge.recommendation.rows import HEADINGS, choice_rows, verdict_rows


def test_rows(hand_bench, hand_parity):
    candidates = [
        Candidate(hand_parity("fp32.onnx"), hand_bench("fp32.onnx", 94_000_000, 102, 62)),
        Candidate(hand_parity("fp32.tflite"), hand_bench("fp32.tflite", 94_000_000, 105, 59)),
    ]
    out = (LeftOut("int8.onnx", "fail: by hand"),)
    found = choose(candidates, [c.bench for c in candidates], out, describe_machine({}))
    rows = choice_rows(found)
    assert rows == (
        ("fp32.tflite", "LiteRT", "2", "59.0 / 59.0", "94.0 MB", "100 %", "120.0 dB", "none"),
        ("fp32.onnx", "onnxruntime", "2", "62.0 / 62.0", "94.0 MB", "100 %", "120.0 dB", "none"),
    )
    assert {len(row) for row in rows} == {len(HEADINGS)}
    labels = verdict_rows(found)
    assert labels[:3] == (
        ("fastest", "fp32.onnx (as fast: fp32.tflite)"),
        ("smallest", "fp32.onnx"),
        ("unbeaten", "fp32.tflite, fp32.onnx"),
    )
    assert [label for label, _ in labels[3:]] == ["why", "", "left out"]
    assert labels[-1] == ("left out", "int8.onnx: fail: by hand")


def test_means_of_queries_do_not_look_like_single_ones(hand_bench, hand_parity):
    bench = hand_bench("fp32.onnx", 94_000_000, 102)
    means = replace(bench, latencies=(replace(bench.latencies[0], queries_per_sample=5),))
    found = choose([Candidate(hand_parity("fp32.onnx"), means)], [means], (), describe_machine({}))
    (row,) = choice_rows(found)
    assert row[2:4] == ("1; means of 5 queries", "102 / 102")


def test_nothing_but_what_was_left_out():
    found = choose((), (), (LeftOut("int8.onnx", "fail: by hand"),), describe_machine({}))
    assert choice_rows(found) == ()
    assert verdict_rows(found) == (("left out", "int8.onnx: fail: by hand"),)
