"""The page, the plot and the JSON of a front that was made by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from resnet_edge.compression.front import Front, Rules, build_front
from resnet_edge.compression.limits import Limits
from resnet_edge.compression.trials import MODEL, Stage, Trial, TrialFile
from resnet_edge.ondevice.measurements import Latency
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.reporting.front_plot import plot_front
from resnet_edge.reporting.write_front import write_front


def file(name: str, milliseconds: float, size: int, lost: int = 0) -> TrialFile:
    """A file that was compared on 1,000 pictures and timed a hundred times."""
    timed = Latency("LiteRT", 1, (milliseconds / 1e3,) * 100, 0.01, 0.01, 1, 1)
    top1 = 0.8 - lost / 1000
    return TrialFile(name, "f", size, (timed,), top1, 1 - lost / 1000, 1000, 0, lost)


def network(name: str, share: float, *files: TrialFile, stage: Stage = Stage.MEASURED) -> Trial:
    """A row of a search."""
    counts = (round(1e9 * share), round(1e6 * share))
    figures = {"seconds": 1.0, "change": 0.0, "agreement": 1.0, "files": files}
    return Trial("k", name, stage, (64, 64), *counts, share, (1.0,) * 6, name, **figures)


TRIALS = (
    network(
        MODEL, 1.0, file("fp16.tflite", 80, 50_000_000), file("int8.tflite", 30, 24_000_000, 2)
    ),
    network("64px-0.50", 0.5, file("int8.tflite", 14, 6_000_000, 3)),
    network("64px-0.20", 0.2, file("int8.tflite", 12, 7_000_000, 300)),
    network("<b>", 0.3, stage=Stage.FITTED),
)


def made(p90_ms: float = 20.0) -> Front:
    """The front of these rows."""
    rules = Rules(Limits(p90_ms / 1e3, 7_000_000, 0.01), Gates(max_p90_ms=p90_ms), 800, 1000)
    return build_front(TRIALS, (), rules)


def test_the_page_has_the_answer_the_plot_and_every_row(tmp_path: Path) -> None:
    page = write_front(tmp_path, made(), TRIALS, "the training split").read_text()
    assert "Take int8.tflite at 64 px and 0.50 of the multiply-adds" in page
    assert page.count("<svg") == 1
    assert "://" not in re.sub(r"http://www\.w3\.org/[^\"]+", "", page)
    for words in ("64px-0.20", "the training split", "20 ms", "7.00 MB", "1 points"):
        assert words in page, words
    assert "<b>" not in page.split("</style>")[1]  # escaped
    assert "&lt;b&gt;" in page


def test_the_same_front_gives_the_same_bytes(tmp_path: Path) -> None:
    pages = [write_front(tmp_path / name, made(), TRIALS, "x").read_bytes() for name in "ab"]
    assert pages[0] == pages[1]


def test_the_json_names_what_counts(tmp_path: Path) -> None:
    write_front(tmp_path, made(), TRIALS, "x")
    data = json.loads((tmp_path / "front.json").read_text())
    assert data["chosen"] == "64px-0.50/int8.tflite"
    assert data["nearest"] is None
    assert data["limits"] == {"p90_s": 0.02, "bytes": 7_000_000, "loss": 0.01}
    assert "model/int8.tflite" in data["front"]
    assert len(data["entries"]) == 4
    assert data["answer"][0].startswith("Take int8.tflite")


def test_the_json_names_what_comes_nearest(tmp_path: Path) -> None:
    write_front(tmp_path, made(5.0), TRIALS, "x")
    data = json.loads((tmp_path / "front.json").read_text())
    assert data["chosen"] is None
    assert data["nearest"] == "64px-0.50/int8.tflite"
    assert data["costliest"] == {"limit": "--max-p90-ms", "without": "64px-0.50/int8.tflite"}


def test_the_plot_names_the_front_and_marks_the_far_ones() -> None:
    svg = plot_front(made())
    assert svg is not None
    for name in ("64px-0.50 int8.tflite", "model fp16.tflite"):
        assert name in svg
    assert "64px-0.20 int8.tflite: 50.0 % ↓" in svg


def test_nothing_measured_draws_nothing(tmp_path: Path) -> None:
    rules = Rules(Limits(0.02), Gates(max_p90_ms=20.0), 800, 1000)
    empty = build_front((), (), rules)
    assert plot_front(empty) is None
    page = write_front(tmp_path, empty, (), "x").read_text()
    assert "Nothing was measured" in page
    assert "<svg" not in page


@pytest.mark.parametrize("count", [1, 2])
def test_few_files_are_drawn(count: int) -> None:
    rules = Rules(Limits(0.02), Gates(max_p90_ms=20.0), 800, 1000)
    assert plot_front(build_front(TRIALS[:count], (), rules)) is not None
