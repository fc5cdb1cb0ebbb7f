"""Two builds compared; no test here runs an artifact."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_edge.comparison.differences import Change, Figure
from resnet_edge.comparison.tolerance import Tolerance
from resnet_edge.errors import InferenceError, UsageError
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.measurements import BenchResult, ParityResult
from resnet_edge.steps.compare import compare


def bench_file(build: Path) -> Path:
    (path,) = (build / "results").glob("bench-*.json")
    return path


def test_a_build_and_its_copy_are_the_same(edge_build, build):
    comparison = compare(edge_build, build)
    assert comparison
    assert [each.name for each in comparison.artifacts] == [
        *("fp32.tflite", "int8.tflite", "fp32.onnx"),
    ]
    for artifact in comparison.artifacts:
        assert {each.change for each in artifact.differences} == {Change.SAME}
        assert {each.figure for each in artifact.differences} == set(Figure)
    assert comparison.notes == ()


def test_what_a_real_record_holds_is_paired(edge_build, build):
    (top1, *_) = (
        each
        for each in compare(edge_build, build).artifacts[1].differences
        if each.figure is Figure.TOP1
    )
    images = read_record(ParityResult, build / "results" / "parity.json", InferenceError).images
    assert top1.basis == f"paired: 0 gained, 0 lost of {images} pictures"


def test_a_slower_and_larger_build(edge_build, build):
    path = bench_file(build)
    result = read_record(BenchResult, path, InferenceError)
    slow = []
    for bench in result.artifacts:
        (latency,) = bench.latencies
        slower = tuple(10 * sample for sample in latency.samples_s)
        # Another file: of an unchanged one, it would be the machine that changed.
        slow.append(
            replace(bench, sha256="ab" * 32, latencies=(replace(latency, samples_s=slower),))
        )
    write_record(path, replace(result, artifacts=tuple(slow)))
    shutil.rmtree(build / "artifacts")
    comparison = compare(edge_build, build)
    assert comparison.regressions == 3
    assert not comparison
    assert compare(edge_build, build, Tolerance(share=20))
    assert compare(build, edge_build)


def test_measured_of_other_bytes_is_left_out_and_said(edge_build, build):
    path = bench_file(build)
    result = read_record(BenchResult, path, InferenceError)
    first = replace(result.artifacts[0], sha256="ab" * 32)
    write_record(path, replace(result, artifacts=(first, *result.artifacts[1:])))
    comparison = compare(edge_build, build)
    assert comparison.notes == (
        f"B: {path}: fp32.tflite left out: measured of other bytes than the files in "
        f"{build / 'artifacts'}; measure again",
        "fp32.tflite: latency (LiteRT with 1 thread) only in A",
    )
    figures = {each.figure for each in comparison.artifacts[0].differences}
    assert Figure.LATENCY not in figures
    assert Figure.TOP1 in figures


@pytest.mark.parametrize("same", ["", "results/..", "link"])
def test_a_build_with_itself(build, same):
    (build / "link").symlink_to(build)
    with pytest.raises(UsageError) as caught:
        compare(build, build / same)
    assert str(caught.value) == (
        f"A and B are both {build}; expected two builds, or two files of results"
    )


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_tolerances_are_shares(build, value):
    expected = f"got {value}; expected a share, 0 or more"
    with pytest.raises(UsageError, match=f"^--tolerance: {expected}"):
        compare(build, build, Tolerance(share=value))
    with pytest.raises(UsageError, match=f"^--accuracy-tolerance: {expected}"):
        compare(build, build, Tolerance(accuracy=value))
