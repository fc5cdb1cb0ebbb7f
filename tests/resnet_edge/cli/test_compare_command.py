from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.measurements import ParityResult


@pytest.fixture
def worse(build: Path) -> Path:
    """The finished build, whose int8 file lost its closeness to the reference."""
    path = build / "results" / "parity.json"
    result = read_record(ParityResult, path, InferenceError)
    artifacts = [
        replace(each, sqnr_db=3.0) if each.name == "int8.tflite" else each
        for each in result.artifacts
    ]
    write_record(path, replace(result, artifacts=tuple(artifacts)))
    return build


def test_nothing_changed(cli, edge_build, build):
    ran = cli("compare", edge_build, build)
    assert (ran.code, ran.err) == (0, "")
    assert "artifact" in ran.out.splitlines()[1]
    assert ran.out.count("same") >= 15
    assert "no change" in ran.out


def test_a_regression_is_exit_code_1_with_the_table(cli, edge_build, worse):
    ran = cli("compare", edge_build, worse)
    assert ran.code == 1
    assert ran.err == "1 regression: worse by more than is tolerated\n"
    assert "worse: regression" in ran.out
    assert "worse      int8.tflite SQNR: −" in ran.out
    assert cli("compare", worse, edge_build).code == 0


def test_json(cli, edge_build, worse):
    ran = cli("compare", edge_build, worse, "--json", "--tolerance", "0.1")
    assert ran.code == 1
    answer = json.loads(ran.out)
    assert (answer["a"], answer["b"]) == (str(edge_build), str(worse))
    assert answer["tolerance"] == {"share": 0.1, "accuracy": 0.01, "sqnr_db": 3.0}
    assert answer["regressions"] == 1
    (sqnr,) = [d for d in answer["artifacts"][1]["differences"] if d["figure"] == "SQNR"]
    assert (sqnr["change"], sqnr["regression"], sqnr["b"]) == ("worse", True, 3.0)
    (top1,) = [d for d in answer["artifacts"][1]["differences"] if d["figure"] == "top-1"]
    assert set(top1["interval"]) == {"low", "high", "confidence"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("gone", "gone"), "error: gone: no such file or folder; expected a build folder, or its "),
        (("a", "a"), "error: A and B are both a; expected two builds, or two files of results\n"),
        (("a", "empty"), "error: empty: no results here; expected a build folder, or its bench-"),
        (("a", "x.json"), "error: x.json: not a result that can be compared; expected a build fo"),
        (("a", "report.json"), "error: report.json: a report, without the samples that intervals"),
        (("a", "b", "--tolerance", "-1"), "error: --tolerance: got -1.0; expected a share, 0 or "),
        (("a", "parity.json"), None),
    ],
)
def test_wrong_usage(cli, edge_build, words, message):
    for name in ("a", "b"):
        shutil.copytree(edge_build, name)
    Path("empty").mkdir()
    Path("x.json").write_text('{"cat": 1}')
    shutil.copy(edge_build / "report.json", "report.json")
    shutil.copy(edge_build / "results" / "parity.json", "parity.json")
    ran = cli("compare", *words)
    if message is None:
        assert ran.code == 0, ran.err
        return
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(message)
    assert ran.err.count("\n") == 1


def test_a_missing_argument_is_wrong_usage(cli):
    ran = cli("compare", "a")
    assert ran.code == 2
    assert "Missing argument 'B'" in ran.err


def test_a_result_of_a_newer_version(cli, edge_build, build):
    path = build / "results" / "parity.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 2, "novelty": []}))
    for words in (("compare", edge_build, build), ("parity", "--out", build)):
        ran = cli(*words)
        if words[0] == "compare":
            assert (ran.code, ran.out) == (1, "")
            assert ran.err == (
                f"error: {path}: written by a newer resnet-edge (schema 2; this one reads 1); "
                "update resnet-edge\n"
            )


def test_saved_answers_without_artifacts_are_judged_by_other_gates(cli, build, tmp_path):
    shutil.copytree(build / "results", tmp_path / "saved" / "results")
    ran = cli("parity", "--out", tmp_path / "saved", "--int8-accuracy", "0.1")
    assert ran.code == 0
    assert ran.err == (
        f"no artifacts in {tmp_path}/saved/artifacts: the saved answers are judged again\n"
    )
    assert "int8.tflite  pass: top-1" in ran.out
    assert cli("parity", "--out", tmp_path / "saved", "--fp32-max-logit", "0").code == 1
    ran = cli("parity", "--out", tmp_path / "saved", "--formats", "fp32.onnx")
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert "no such file; make it with `resnet-edge reference`" in ran.err


def test_report_judges_again(cli, build):
    assert cli("report", "--out", build, "--int8-accuracy", "0.1").code == 0
    ran = cli("report", "--out", build, "--allow-inconclusive", "--max-p90-ms", "0.000001")
    assert ran.code == 1
    assert "fail" in ran.out
    assert cli("report", "--out", build, "--allow-inconclusive").code == 0
    ran = cli("report", "--out", build, "--int8-accuracy", "98")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: --int8-accuracy: got 98.0; expected a share from 0 to 1\n"
