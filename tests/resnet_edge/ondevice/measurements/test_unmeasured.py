"""What was refused in one runtime, and which artifacts failed because of it."""

from __future__ import annotations

import pytest

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    ArtifactParity,
    GateResult,
    Latency,
    Unmeasured,
    Verdict,
    failed_everywhere,
)

PASS = GateResult(Verdict.PASS, "by hand")
NAME = "fp32.onnx"


def answered(runtime: str, images: int = 10) -> ArtifactParity:
    figures = (1.0, 1.0, 1.0, 0.0, 0.0, 9.0, 1.0, 99.0, 0.0)
    return ArtifactParity(NAME, "ab", f"{runtime} 1.2", images, *figures, (), (), (), None, PASS)


def timed(*runtimes: str) -> ArtifactBench:
    latencies = tuple(Latency(name, 1, (0.1,), 0.1, 0.1, 10**6, 0) for name in runtimes)
    return ArtifactBench(NAME, "ab", 9, latencies, PASS)


def refused(*runtimes: str | None) -> tuple[Unmeasured, ...]:
    return tuple(Unmeasured(NAME, "killed", runtime) for runtime in runtimes)


@pytest.mark.parametrize(
    ("failed", "parities", "benches", "expected"),
    [
        ((), [answered("A")], [timed("A")], ()),
        (refused("B"), [answered("A")], [timed("A")], ()),
        (refused("A"), [answered("B")], [timed("B")], ()),
        (refused("A"), [], [], (NAME,)),
        (refused("A", "B"), [], [], (NAME,)),
        (refused("A"), [answered("A")], [], (NAME,)),  # it answered, then it crashed
        (refused("A"), [answered("A"), answered("B")], [timed("B")], ()),
        (refused("A"), [answered("none", images=0)], [], (NAME,)),  # there were no pictures
        (refused("A"), [answered("none", images=0)], [timed("B")], ()),
        (refused("LiteRT.js WebGPU"), [answered("LiteRT.js wasm")], [], ()),
        (refused(None), [answered("A")], [timed("A")], (NAME,)),  # as a whole, or an old record
    ],
)
def test_an_artifact_fails_where_no_runtime_came_through(failed, parities, benches, expected):
    assert failed_everywhere(failed, parities, benches) == expected


def test_it_names_the_runtime():
    gone = Unmeasured(NAME, "killed", "OpenVINO")
    assert (gone.where, gone.happened) == ("fp32.onnx in OpenVINO", "failed in OpenVINO")
    whole = Unmeasured(NAME, "killed")
    assert (whole.where, whole.happened) == ("fp32.onnx", "failed")


def test_records_of_earlier_versions_are_read():
    old = {"name": NAME, "reason": "killed"}
    assert from_json(Unmeasured, old, "r.json", InferenceError) == Unmeasured(NAME, "killed")
    latency = to_json(timed("A").latencies[0])
    del latency["queries_per_sample"]
    assert from_json(Latency, latency, "r.json", InferenceError).queries_per_sample == 1


@pytest.mark.parametrize("queries", [0, -1])
def test_a_sample_is_of_one_query_or_more(queries: int):
    with pytest.raises(ValueError, match=f"with {queries} queries per sample; expected 1 or more"):
        Latency("A", 1, (0.1,), 0.1, 0.1, 10**6, 0, queries_per_sample=queries)


def test_means_have_no_bound_of_p90():
    one = Latency("A", 1, (0.1,) * 100, 0.1, 0.1, 10**6, 0)
    assert one.p90_bound_s == 0.1
    means = Latency("A", 1, (0.1,) * 100, 0.1, 0.1, 10**6, 0, queries_per_sample=5)
    assert means.p90_bound_s is None
    assert means.p50_s == 0.1
