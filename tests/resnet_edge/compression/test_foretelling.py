"""What was not measured follows from what was, here and on devices."""

import math
from dataclasses import replace

import pytest
from search_rows import latency, measured_file, row

from resnet_edge.compression.foretelling import (
    Way,
    affordable_parameters,
    bytes_per_parameter,
    merged,
    on_device,
    this_machine,
)
from resnet_edge.compression.trials import MODEL, Stage
from resnet_edge.errors import ArtifactError
from resnet_edge.ondevice.command.device_result import DeviceResult
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    BenchResult,
    GateResult,
    Machine,
    ParityResult,
    Verdict,
)

WAY = Way("int8.tflite", "LiteRT", 1)
WHOLE = row(MODEL, Stage.MEASURED, measured_file(milliseconds=10.0))
HALF = row(
    "half", Stage.PROBE, measured_file(milliseconds=5.0), share=0.5, work=(5e8, 0, 0, 0, 0, 0)
)


def result(sha256: str = MODEL, milliseconds: float = 40.0, **changes: object) -> DeviceResult:
    """What a device measured of one file, in 4 threads."""
    machine = Machine("pi", "Linux", "Arm", (), 4, "3.11", {})
    latencies = (latency(milliseconds, "LiteRT", 4),)
    gate = GateResult(Verdict.NOT_CHECKED, "")
    bench = ArtifactBench("int8.tflite", "f" * 64, 1000, latencies, gate)
    parity = ParityResult(sha256, "r", 0, (), 0.0, 0.0, ())
    made = DeviceResult("b", (), parity, BenchResult(machine, (bench,), None), (), (), False)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_network_between_two_that_were_measured() -> None:
    here = this_machine([WHOLE, HALF])
    between = row("between", Stage.FITTED, work=(7.5e8, 0, 0, 0, 0, 0))
    assert here.p90_s(between, WAY) == pytest.approx(0.0075, rel=0.02)
    assert here.p90_s(WHOLE, WAY) == 0.01  # measured
    assert here.fastest("int8.tflite", between.work) == WAY
    assert here.fastest("fp32.onnx", between.work) is None


def test_a_device_is_a_factor_of_its_own_for_every_file() -> None:
    here = this_machine([WHOLE, HALF])
    there = on_device(result(), here, [WHOLE])
    (way,) = there.ways
    assert way == Way("int8.tflite", "LiteRT", 4)  # measured here with one thread only
    assert there.p90_s(WHOLE, way) == 0.04
    assert there.p90_s(HALF, way) == pytest.approx(0.02, rel=0.02)


def test_two_results_of_one_device_belong_together() -> None:
    here = this_machine([WHOLE, HALF])
    half = replace(HALF, stage=Stage.MEASURED)
    both = [on_device(one, here, [WHOLE, half]) for one in (result(), result("half", 25.0))]
    (there,) = merged(both)
    way = Way("int8.tflite", "LiteRT", 4)
    assert there.p90_s(WHOLE, way) == 0.04
    assert there.p90_s(half, way) == 0.025


def test_results_that_say_nothing_are_refused() -> None:
    here = this_machine([WHOLE, HALF])
    with pytest.raises(ArtifactError, match="the result of pi is of another model"):
        on_device(result("another"), here, [WHOLE])
    with pytest.raises(ArtifactError, match="pi was emulated"):
        on_device(result(emulated=True), here, [WHOLE])
    nothing = result()
    nothing = replace(nothing, bench=replace(nothing.bench, artifacts=()))
    means = result()  # of which p90 would look better than that of single queries
    coarse = tuple(
        replace(b, latencies=tuple(replace(x, queries_per_sample=5) for x in b.latencies))
        for b in means.bench.artifacts
    )
    for each in (nothing, replace(means, bench=replace(means.bench, artifacts=coarse))):
        with pytest.raises(ArtifactError, match="has no latency of single queries of a file that"):
            on_device(each, here, [WHOLE])


@pytest.mark.parametrize(
    ("name", "count"),
    [("fp32.onnx", 4), ("fp16.tflite", 2), ("dynamic.tflite", 1), ("int8.onnx", 1)],
)
def test_bytes_of_a_weight(name: str, count: int) -> None:
    assert bytes_per_parameter(name) == count


def test_parameters_within_a_size_come_from_the_nearest_file() -> None:
    large = row("large", Stage.MEASURED, measured_file("fp32.onnx", size=4_100_000), share=1.0)
    small = row("small", Stage.PROBE, measured_file("fp32.onnx", size=1_090_000), share=0.25)
    assert affordable_parameters("fp32.onnx", [large, small], 1_050_000) == 240_000
    assert affordable_parameters("fp32.onnx", [large, small], 4_000_000) == 975_000
    assert math.isnan(affordable_parameters("int8.onnx", [large], 1000))
    assert affordable_parameters("fp32.onnx", [small], 1) < 0
