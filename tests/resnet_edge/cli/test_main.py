"""Exit codes, messages and what goes to which stream."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_edge import cli as cli_module
from resnet_edge.cli.app import COMMANDS as BOUND
from resnet_edge.errors import ArtifactError, InferenceError
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.measurements import GateResult, ParityResult, Verdict
from resnet_edge.options import Options
from resnet_edge.steps.up_to_date import Stamp, write_stamp

COMMANDS = (
    *("run", "finetune", "export", "reference", "parity", "bench", "report", "recommend"),
    *("bundle", "compare", "inspect"),
)


def test_help_lists_the_commands(cli):
    ran = cli("--help")
    assert ran.code == 0
    for name in (*COMMANDS, "doctor", "--install-completion"):
        assert name in ran.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_explains_every_option(cli, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    ran = cli(name, "--help")
    assert ran.code == 0
    command = next(c for c in BOUND if c.name == name)
    for told in command.told:
        if told.name not in ("model", "file", "before", "after", "augment"):
            pattern = rf"--{told.name.rstrip('_').replace('_', '-')} .*\w{{4}}"
            assert re.search(pattern, ran.out), told.name
    assert command.run.__doc__.split(":")[0].split(".")[0] in " ".join(ran.out.split())


def test_no_command_is_wrong_usage(cli):
    assert cli().code == 2
    ran = cli("frobnicate")
    assert ran.code == 2
    assert "No such command 'frobnicate'" in ran.err
    ran = cli("report", "--frobnicate")
    assert ran.code == 2
    assert "No such option: --frobnicate" in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["export", "--formats", "fp61.tflite"],
            "--formats: no such artifact: fp61.tflite; did ",
        ),
        (
            ["parity", "--formats", "fp61.tflite"],
            "did you mean fp16.tflite? expected all, tflite",
        ),
        (
            ["finetune", "--preprocessing", "x"],
            "--preprocessing: got x; expected one of caffe, ",
        ),
        (["export", "m.keras", "--preprocessing", "x"], "--preprocessing: got x; expected one of"),
        (["finetune", "--epochs", "0"], "--epochs: got 0; expected at least 1"),
        (["finetune", "--learning-rate", "nan"], "--learning-rate: got nan; expected a finite num"),
        (["finetune", "--dropout", "1"], "--dropout: got 1.0; expected a share of at least 0 and"),
        (["finetune", "--unfreeze", "5"], "--unfreeze: got 5; expected 0 to 4 stages"),
        (
            ["finetune", "--views", "2", "--no-augment"],
            "--views: got 2; expected 1 where augment",
        ),
        (["finetune", "--split", "1,2"], "--split: got '1,2'; expected train,validation,test, for"),
        (["finetune", "--split", "1,1,1"], "add up to 3; expected 1"),
        (["run", "--confidence", "1"], "--confidence: got 1.0; expected a share between 0 and 1"),
        (["run", "--max-p90-ms", "-1"], "--max-p90-ms: got -1.0; expected a finite number above"),
        (["bench", "--min-queries", "0"], "--min-queries: got 0; expected at least 1"),
        (["bench", "--min-seconds", "nan"], "--min-seconds: got nan; expected a finite number, 0"),
        (["bench", "--threads", "0"], "--threads: got '0'; expected numbers from 1"),
        (["bench", "--threads", "x"], "--threads: got 'x'; expected numbers from 1"),
        (["recommend", "--threads", "0"], "--threads: got '0'; expected numbers from 1"),
        (
            ["recommend", "--max-p90-ms", "0"],
            "--max-p90-ms: got 0.0; expected a finite number",
        ),
        (["run", "--threads", "1,"], "--threads: got '1,'; expected numbers from 1"),
        (["run", "--calibration-count", "0"], "--calibration-count: got 0; expected at least 1"),
        (["run", "--image-size", "7"], "--image-size: got 7; expected 32 to 4096 pixels a side"),
        (["export", "gone.keras"], "gone.keras: no such model; make it with `resnet-edge finetun"),
        (["reference", "--test", "gone"], "--test: no such folder or zip: gone; expected one fold"),
        (["inspect", "gone.tflite"], "gone.tflite: no such file"),
        (["--config", "gone.toml", "report"], "--config: no such file: gone.toml"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(cli, words, message, build):
    at = ["--out", str(build)] if words[0] in ("bench", "parity", "recommend") else []
    ran = cli(*words, *at)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err


def test_values_of_the_wrong_kind(cli):
    ran = cli("finetune", "--epochs", "many")
    assert ran.code == 2
    assert "--epochs" in ran.err
    ran = cli("finetune", "--fit", "squeeze")
    assert ran.code == 2
    assert "'crop', 'stretch', 'pad'" in " ".join(ran.err.replace("│", " ").split())


def test_steps_without_what_they_need(cli):
    for name in ("parity", "bench", "report", "recommend"):
        ran = cli(name, "--out", "empty")
        assert (ran.code, ran.out) == (1, "")
        assert ran.err == (
            "error: empty/artifacts: no artifacts here; make them with `resnet-edge export`\n"
        )
    assert not Path("empty").exists()


def test_debug_shows_the_traceback_and_nothing_else_does(cli):
    quiet = cli("report", "--out", "empty")
    assert "Traceback" not in quiet.err
    loud = cli("report", "--out", "empty", "--debug")
    assert loud.code == quiet.code == 1
    assert loud.err.startswith("Traceback (most recent call last):")
    assert loud.err.endswith(quiet.err)
    first = cli("--debug", "report", "--out", "empty")
    assert first.err.startswith("Traceback")


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (
            ZeroDivisionError("x / 0"),
            "internal error: ZeroDivisionError: x / 0; run again with --debug and report the "
            "traceback",
        ),
        (
            MemoryError(),
            "memory ran out; end other programs, or train a smaller network: `resnet-edge "
            "finetune` takes a smaller --image-size and --batch-size",
        ),
        (
            OSError(28, "No space left on device", "/x"),
            "/x: No space left on device; free some space or choose another folder with --out",
        ),
        (OSError("h5: no"), "h5: no; free some space or choose another folder with --out"),
    ],
)
def test_errors_that_nobody_expected(cli, monkeypatch, problem, message):
    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr("resnet_edge.steps.report.report", fail)
    ran = cli("report")
    assert (ran.code, ran.out, ran.err) == (1, "", f"error: {message}\n")


def test_ctrl_c(cli, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("resnet_edge.steps.report.report", interrupt)
    ran = cli("report")
    assert (ran.code, ran.out) == (130, "")
    assert ran.err == "interrupted; run the same command again to go on\n"


def test_ctrl_c_while_a_native_module_starts(cli, monkeypatch):
    def interrupt(*_: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as problem:
            raise ImportError("initialization failed") from problem

    monkeypatch.setattr("resnet_edge.steps.report.report", interrupt)
    ran = cli("report")
    assert (ran.code, ran.err) == (130, "interrupted; run the same command again to go on\n")


def test_a_reader_that_goes_away(command, build):
    """`resnet-edge report --json | head -1` is no error worth a traceback."""
    words, environment = command
    process = subprocess.Popen(
        [*words, "report", "--json", "--allow-inconclusive", "--out", str(build)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def set_verdict(out: Path, verdict: Verdict) -> None:
    """Let parity.json say so of every artifact, as if it had been measured."""
    path = out / "results" / "parity.json"
    result = read_record(ParityResult, path, ArtifactError)
    gate = GateResult(verdict, "because")
    judged = tuple(replace(artifact, gate=gate) for artifact in result.artifacts)
    write_record(path, replace(result, artifacts=judged))
    stamp = read_record(Stamp, out / "cache" / "parity.stamp.json", ArtifactError)
    write_stamp(out, "parity", stamp.inputs, (path,))


@pytest.mark.parametrize(
    ("verdict", "code", "allowed_code"),
    [
        (Verdict.PASS, 0, 0),
        (Verdict.FAIL, 1, 1),
        (Verdict.INCONCLUSIVE, 1, 0),
        (Verdict.NOT_CHECKED, 0, 0),
    ],
)
def test_exit_code_follows_the_verdict(cli, build, verdict, code, allowed_code, monkeypatch):
    set_verdict(build, verdict)
    # Else the answers would be judged again, whatever the record says of them.
    monkeypatch.setattr("resnet_edge.steps.parity.judge_again", lambda result, gates: result)
    for name in ("parity", "report"):
        ran = cli(name, "--out", build)
        assert ran.code == code, (name, ran.err)
        said = "some gates are inconclusive: add test pictures, or pass --allow-inconclusive"
        assert (said in ran.err) == (verdict is Verdict.INCONCLUSIVE)
        ran = cli(name, "--out", build, "--allow-inconclusive")
        assert ran.code == allowed_code, (name, ran.err)
        assert said not in ran.err


def test_exit_code_of_run(cli, build, edge_photos, edge_model, run_arguments):
    words = run_arguments(edge_photos, edge_model, build)
    ran = cli(*words)
    assert ran.code == 0, ran.err
    assert "nothing has changed: nothing was rebuilt" in ran.err
    assert ran.out.rstrip().endswith(f"report: {build / 'report.html'}")
    assert "int8.tflite" in ran.out
    strict = [word for word in words if word != "--allow-inconclusive"]
    ran = cli(*strict)
    assert ran.code == 1
    assert "some gates are inconclusive" in ran.err
    assert cli(*words, "--max-p90-ms", "0.0000001").code == 1


def test_exit_code_of_a_latency_gate(cli, build):
    words = ("bench", "--out", build, "--threads", "1", "--min-seconds", "0.05")
    assert cli(*words, "--min-queries", "8").code == 0
    ran = cli(*words, "--min-queries", "8", "--max-p90-ms", "0.0000001")
    assert ran.code == 1
    report = cli("report", "--out", build)
    assert report.code == 1


def test_a_latency_gate_of_too_few_queries_is_inconclusive(cli, build):
    words = ("bench", "--out", build, "--threads", "1", "--min-seconds", "0")
    words = (*words, "--min-queries", "8", "--max-p90-ms", "1000000")
    ran = cli(*words)
    assert ran.code == 1
    said = "add the queries that their reasons name, or pass --allow-inconclusive"
    assert said in ran.err
    assert "about 64 queries would (--min-queries 64)" in " ".join(ran.out.split())
    ran = cli(*words, "--allow-inconclusive")
    assert ran.code == 0
    assert said not in ran.err


def test_bench_shows_the_bound_and_the_conditions(cli, build):
    ran = cli("bench", "--out", build, "--threads", "1", "--min-seconds", "0.05")
    assert ran.code == 0, ran.err
    assert ", 99 % sure), p97 " in ran.out
    assert "XNNPACK: " in ran.out
    assert "CPUExecutionProvider" in ran.out


def test_mlperf_measures_as_long_as_mlperf(cli, build, monkeypatch):
    from resnet_edge.steps import bench

    specs = []

    def stop(options, display=None):
        specs.append(options.bench.spec)
        raise InferenceError("enough")

    monkeypatch.setattr(bench, "bench", stop)
    assert cli("bench", "--out", build, "--mlperf").code == 1
    assert cli("bench", "--out", build, "--mlperf", "--min-queries", "2000").code == 1
    assert specs == [LatencySpec(600, 1024), LatencySpec(600, 2000)]


JSON_COMMANDS = {
    "finetune": [],
    "export": [],
    "reference": ["--min-seconds", "0.05", "--min-queries", "8"],
    "parity": ["--allow-inconclusive"],
    "bench": ["--threads", "1", "--min-seconds", "0.05", "--min-queries", "8"],
    "report": ["--allow-inconclusive"],
}


@pytest.mark.parametrize("name", JSON_COMMANDS)
def test_json_of_a_command_whose_result_is_there(
    cli, cli_process, build, edge_photos, edge_model, name
):
    words = ["--out", build, *JSON_COMMANDS[name], "--json"]
    if name == "finetune":
        words += ["--data", edge_photos, "--weights", edge_model, "--epochs", "30"]
        words += ["--learning-rate", "0.2", "--no-augment"]
    if name == "export":
        words += ["--formats", "fp32.tflite,int8.tflite,fp32.onnx"]
    # What TensorFlow prints at its start is filtered in a process of its own only.
    run = cli_process if name == "finetune" else cli
    ran = run(name, *words)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)
    assert ran.err == ""


def test_json_of_inspect_and_doctor(cli, build):
    for words in (["inspect", build / "artifacts" / "int8.tflite"], ["doctor"]):
        ran = cli(*words, "--json")
        assert ran.code == 0, ran.err
        assert json.loads(ran.out)


def test_nothing_but_json_on_standard_output_where_work_is_done(
    cli_process, edge_photos, edge_model, run_arguments, tmp_path
):
    words = run_arguments(edge_photos, edge_model, tmp_path / "out")
    ran = cli_process(*words, "--formats", "fp32.onnx", "--json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["verdict"] == "pass"
    assert ran.err == ""  # and the chatter of native libraries is kept away


@pytest.mark.parametrize(
    ("words", "config", "expected"),
    [
        ((), "", True),
        (("--no-rewrites",), "", False),
        ((), "rewrites = false", False),
        (("--rewrites",), "rewrites = false", True),
    ],
)
@pytest.mark.parametrize("name", ["run", "export"])
def test_rewrites_are_passed_on(cli, monkeypatch, name, words, config, expected):
    told = []

    def stop(options: Options, *_: object, **__: object) -> None:
        told.append(options.rewrites)
        raise ArtifactError("stopped")

    monkeypatch.setattr(f"resnet_edge.steps.{name}.{name}", stop)
    Path("resnet-edge.toml").write_text(config)
    assert cli(name, *words).err == "error: stopped\n"
    assert told == [expected]


def test_training_options_are_passed_on(cli, build, edge_photos, edge_model):
    words = ["--data", edge_photos, "--weights", edge_model, "--out", build, "--epochs", "2"]
    words += ["--batch-size", "8", "--weight-decay", "0.1", "--label-smoothing", "0.2"]
    words += ["--dropout", "0.3", "--patience", "4", "--views", "2", "--seed", "5"]
    ran = cli("finetune", *words, "--class-weights", "--learning-rate", "0.01", "--json")
    assert ran.code == 0, ran.err
    settings = json.loads(ran.out)["settings"]
    assert settings == {
        **{"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "weight_decay": 0.1},
        **{"label_smoothing": 0.2, "dropout": 0.3, "warmup": 0.1, "patience": 4, "views": 2},
        **{"augment": True, "unfreeze": 0, "seed": 5, "mixed_precision": False},
        **{"class_weights": True},
    }


def test_interrupted_code_is_that_of_shells():
    assert cli_module.INTERRUPTED == 130
