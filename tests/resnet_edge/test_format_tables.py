"""Every member of an enum has its row in every table; without one nothing goes on in silence."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import re
import subprocess
from pathlib import Path

import pytest

from resnet_edge.exporting.writers import QUANTIZING, WRITERS, load_writer
from resnet_edge.inspection.readers import READERS
from resnet_edge.ondevice.formats.kinds import (
    ARTIFACT_KINDS,
    FORMATS,
    Format,
    Precision,
    Quantization,
    artifact_kind,
)
from resnet_edge.ondevice.formats.names import parse_formats
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.ondevice.parity.gates import Evidence, Gates, judge_accuracy
from resnet_edge.ondevice.runtimes.installed import installed_runtime, missing_runtime
from resnet_edge.ondevice.runtimes.kinds import RUNTIME_KINDS, cannot_profile, runtimes_for
from resnet_edge.ondevice.runtimes.opening import open_runtime
from resnet_edge.reporting.artifact_plots import COLOURS

REPOSITORY = Path(__file__).resolve().parents[2]


EVIDENCE = Evidence(
    images=100,
    agreeing=100,
    reference_hits=90,
    gained=0,
    lost=0,
    max_abs_logit=0.0,
    logit_range=1.0,
    collapse=None,
)


class NewFormat(enum.Enum):
    """`Format` with one more member, which no table has yet."""

    CORE_ML = "coreml"


@pytest.fixture
def new_format() -> Format:
    return NewFormat.CORE_ML  # type: ignore[return-value]


def test_every_format_is_in_every_table() -> None:
    assert list(FORMATS) == list(Format)
    assert list(WRITERS) == list(Format)
    assert sorted(reader.format.name for reader in READERS if reader.format) == sorted(
        format_.name for format_ in Format
    )
    for format_ in Format:
        assert runtimes_for(format_)
        assert [kind for kind in ARTIFACT_KINDS if kind.format is format_]
        assert installed_runtime(format_) is not None
    assert len({traits.marker for traits in FORMATS.values()}) == len(Format)
    assert len({traits.title for traits in FORMATS.values()}) == len(Format)


def test_every_row_names_something_that_is_there() -> None:
    for function in [kind.opener for kind in RUNTIME_KINDS] + [r.function for r in READERS]:
        module, _, name = function.partition(":")
        assert callable(getattr(importlib.import_module(module), name))
    for format_ in Format:
        assert callable(load_writer(format_))
    assert len({kind.name for kind in RUNTIME_KINDS}) == len(RUNTIME_KINDS)


def test_every_precision_has_a_colour_and_a_gate() -> None:
    assert set(COLOURS) == set(Precision)
    for precision in Precision:
        assert judge_accuracy(precision, EVIDENCE, Gates()).verdict is not Verdict.NOT_CHECKED
    with pytest.raises(KeyError, match="CORE_ML"):
        judge_accuracy(NewFormat.CORE_ML, EVIDENCE, Gates())


def test_every_kind_of_quantization_is_some_artifact_s() -> None:
    assert {kind.quantization for kind in ARTIFACT_KINDS} == set(Quantization)
    assert any(kind.format is QUANTIZING and kind.calibrated for kind in ARTIFACT_KINDS)


def test_a_format_without_rows_fails_loudly(
    hand_artifact, tmp_path: Path, new_format: Format
) -> None:
    with pytest.raises(KeyError, match="CORE_ML"):
        _ = FORMATS[new_format]
    with pytest.raises(KeyError, match="CORE_ML"):
        load_writer(new_format)
    calls = (installed_runtime, missing_runtime, cannot_profile)
    for call in calls:
        with pytest.raises(LookupError, match=r"CORE_ML: no runtime in RUNTIME_KINDS; add a row"):
            call(new_format)
    artifact = hand_artifact(tmp_path, "fp32.tflite")
    sidecar = dataclasses.replace(artifact.sidecar, format=new_format)
    with pytest.raises(LookupError, match=r"CORE_ML: no runtime in RUNTIME_KINDS; add a row"):
        open_runtime(dataclasses.replace(artifact, sidecar=sidecar), threads=1)


@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_a_make_target_exports_the_default_files_of_its_format(target: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", target],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=True,
    )
    (line,) = [
        line for line in done.stdout.splitlines() if "resnet-edge" in line and "export" in line
    ]
    told = re.search(r"--formats (\S+)", line)
    assert told is not None
    format_ = Format[target.upper()]
    kinds = [artifact_kind(name) for name in parse_formats(told[1])]
    assert kinds == [kind for kind in ARTIFACT_KINDS if kind.format is format_ and kind.default]
