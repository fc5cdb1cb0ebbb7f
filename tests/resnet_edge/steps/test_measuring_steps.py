"""parity and bench."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resnet_edge.errors import (
    ArtifactError,
    InferenceError,
    OutputError,
    ReferenceFileError,
    ResnetEdgeError,
)
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.formats.names import parse_formats
from resnet_edge.ondevice.formats.sidecar import load_artifact, write_sidecar
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.measurements import BenchResult, ParityResult, Verdict
from resnet_edge.ondevice.parity.answer_worker import AnswerJob
from resnet_edge.ondevice.parity.answering import answer_pictures
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.reference_file import read_reference, write_reference
from resnet_edge.options import Options
from resnet_edge.reporting.tables import reason_rows
from resnet_edge.steps import evaluation
from resnet_edge.steps.bench import bench
from resnet_edge.steps.bundle import bundle
from resnet_edge.steps.parity import judge_saved, parity
from resnet_edge.steps.report import report
from resnet_edge.steps.up_to_date import Stamp, write_stamp

ONE = parse_formats("fp32.tflite")


def test_every_artifact_answered_every_test_picture(options: Options, recorder):
    done = parity(options, recorder)
    assert not done.rebuilt
    reference = read_reference(options.layout.reference)
    assert done.result.images == len(reference.classes)
    assert [a.name for a in done.result.artifacts] == list(options.formats)
    assert {a.images for a in done.result.artifacts} == {len(reference.classes)}
    fp32 = done.result.artifacts[0]
    assert (fp32.agreement, fp32.gate.verdict) == (1.0, Verdict.PASS)
    assert fp32.runtime.startswith("LiteRT ")
    assert done.result.artifacts[-1].runtime.startswith("onnxruntime ")
    assert sum(c.images for c in fp32.classes) == done.result.images


@pytest.mark.parametrize("name", ["fp32.tflite", "fp32.onnx"])
@pytest.mark.parametrize("step", [parity, bench])
def test_truncated_artifacts(options: Options, name, step):
    path = options.layout.artifacts / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError) as caught:
        step(options)
    assert f"{path}: sha256 is {hash_path(path)[:16]}…, its sidecar says" in str(caught.value)
    assert str(caught.value).endswith(
        "the file was changed or damaged after export; export it again"
    )


@pytest.mark.parametrize("name", ["fp32.tflite", "fp32.onnx"])
@pytest.mark.parametrize("step", [parity, bench])
def test_a_damaged_file_whose_sidecar_agrees_is_refused_by_its_runtime(
    options: Options, name, step
):
    path = options.layout.artifacts / name
    sidecar = load_artifact(path).sidecar
    path.write_bytes(path.read_bytes()[:-2000])
    write_sidecar(path, replace(sidecar, sha256=hash_path(path)))
    with pytest.raises(InferenceError) as caught:
        step(replace(options, formats=(name,)))
    message = str(caught.value)
    assert message.startswith(name)
    assert "refuses the file" in message
    assert "export it again or update the runtime" in message
    assert "Traceback" not in message


def test_a_reference_of_another_model(options: Options):
    reference = read_reference(options.layout.reference)
    other = replace(reference.info, model_sha256="cd" * 32)
    write_reference(options.layout.reference, replace(reference, info=other))
    with pytest.raises(ReferenceFileError, match=r"^reference is of model cdcdcdcdcdcdcdcd…, fp32"):
        parity(options)


ASKED_OTHERWISE = {
    "preprocessing": ("tf", "preprocessing 'unit', the reference was made with 'tf'"),
    "fit": ("pad", "fit 'crop', the reference was made with 'pad'"),
    "labels": (
        ("blue", "red", "green"),
        "labels whose number 2 is 'green', the reference was made with 'red'",
    ),
}


@pytest.mark.parametrize("what", ASKED_OTHERWISE)
def test_a_reference_that_was_asked_otherwise(options: Options, what):
    value, words = ASKED_OTHERWISE[what]
    reference = read_reference(options.layout.reference)
    other = replace(reference.info, **{what: value})
    write_reference(options.layout.reference, replace(reference, info=other))
    for step in (parity, bundle):
        with pytest.raises(ReferenceFileError) as caught:
            step(options)
        assert str(caught.value) == (
            f"fp32.tflite: exported with {words}; make it again with `resnet-edge reference`, "
            f"without --{what}"
        )


def test_artifacts_that_expect_different_pictures(options: Options):
    artifact = load_artifact(options.layout.artifacts / "fp32.onnx")
    write_sidecar(artifact.path, replace(artifact.sidecar, fit="stretch"))
    for step in (parity, bundle, report):
        with pytest.raises(ArtifactError) as caught:
            step(options)
        assert str(caught.value) == (
            "fp32.tflite was exported with fit 'crop', fp32.onnx with 'stretch'; expected the same "
            "for all; export them again together"
        )


def test_a_reference_of_other_pictures(options: Options):
    reference = read_reference(options.layout.reference)
    info = reference.info
    other = replace(info, hashes=("0" * 64, *info.hashes[1:]))
    write_reference(options.layout.reference, replace(reference, info=other))
    count = len(info.hashes)
    with pytest.raises(ReferenceFileError) as caught:
        parity(options)
    assert str(caught.value) == (
        f"{options.layout.reference}: made for {count} other pictures than the test split's "
        f"{count}; make it again with `resnet-edge reference`"
    )


def test_a_reference_with_answers_of_its_own_fails_the_artifact(options: Options):
    reference = read_reference(options.layout.reference)
    turned = np.ascontiguousarray(reference.probabilities[:, ::-1])
    write_reference(options.layout.reference, replace(reference, probabilities=turned))
    done = parity(replace(options, formats=ONE))
    assert done.result.artifacts[0].gate.verdict is Verdict.FAIL


def test_without_test_pictures_nothing_is_claimed(options: Options, recorder):
    reference = read_reference(options.layout.reference)
    empty = replace(
        reference,
        info=replace(reference.info, pictures=(), hashes=()),
        probabilities=reference.probabilities[:0],
        logits=reference.logits[:0],
        classes=reference.classes[:0],
    )
    write_reference(options.layout.reference, empty)
    done = parity(options, recorder)
    assert recorder.warned == [
        "no test pictures: accuracy is not checked; pass --test DIR to `resnet-edge reference`"
    ]
    assert {a.gate.verdict for a in done.result.artifacts} == {Verdict.NOT_CHECKED}
    assert {a.images for a in done.result.artifacts} == {0}


def test_further_runtimes_answer_too_and_decide_nothing(options: Options, monkeypatch):
    monkeypatch.setattr(
        evaluation, "further_runtimes", lambda kind, *_: ("onnxruntime",) * (kind is Format.ONNX)
    )
    options.layout.parity.unlink()
    result = parity(options).result
    (other,) = result.elsewhere
    (main,) = (a for a in result.artifacts if a.name == "fp32.onnx")
    assert other == main
    assert other.runtime_name == "onnxruntime"
    strict = replace(options, gates=Gates(fp32_max_logit=1e-12))
    judged = parity(strict).result
    assert judged.elsewhere[0].gate.verdict is Verdict.FAIL
    answers = replace(judged, artifacts=tuple(replace(a, gate=main.gate) for a in judged.artifacts))
    write_record(options.layout.parity, answers)
    content = report(options).content
    (row,) = (row for row in content.artifacts if row.name == "fp32.onnx")
    assert row.accuracy_gate == main.gate
    assert [r.gate for r in reason_rows(content) if r.verdict == "fail"] == [
        f"accuracy in {main.runtime}"
    ]
    written = json.loads((options.out / "report.json").read_text())
    (elsewhere,) = (a["elsewhere"] for a in written["artifacts"] if a["name"] == "fp32.onnx")
    assert [(e["runtime"], e["verdict"]) for e in elsewhere] == [(main.runtime, "fail")]


def test_a_further_runtime_that_refuses_fails_nothing(
    options: Options, recorder, monkeypatch, tmp_path
):
    """The workers find a module that has OpenVINO's name and refuses every file."""
    (tmp_path / "openvino.py").write_text(
        "def __getattr__(name): raise RuntimeError('no kernel for Frobnicate')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(
        evaluation, "further_runtimes", lambda kind, *_: ("OpenVINO",) * (kind is Format.ONNX)
    )
    options.layout.parity.unlink()
    result = parity(options, recorder).result
    (gone,) = result.refused
    assert gone.where == "fp32.onnx in OpenVINO"
    assert "OpenVINO refuses the file: no kernel for Frobnicate" in gone.reason
    assert [a.name for a in result.artifacts] == ["fp32.tflite", "int8.tflite", "fp32.onnx"]
    assert result.elsewhere == ()
    words = f"fp32.onnx failed in OpenVINO, which decides nothing: {gone.reason}"
    assert recorder.warned == [words]
    assert parity(options, recorder).rebuilt is False
    assert recorder.warned == [words, words]

    content = report(options).content
    assert content.refused == (gone,)
    assert content.verdict is not Verdict.FAIL
    (row,) = (row for row in reason_rows(content) if row.gate == "run in OpenVINO")
    assert (row.artifact, row.verdict, row.reason) == ("fp32.onnx", "fail", gone.reason)
    written = json.loads((options.out / "report.json").read_text())
    assert [each["runtime"] for each in written["refused"]] == ["OpenVINO"]


def test_a_test_picture_that_was_changed(options: Options, edge_photos, tmp_path):
    import json
    import shutil

    photos = Path(shutil.copytree(edge_photos, tmp_path / "photos"))
    manifest = json.loads(options.layout.dataset.read_text())
    manifest["root"] = manifest["test_root"] = str(photos)
    options.layout.dataset.write_text(json.dumps(manifest))
    victim = photos / manifest["test"][0]["name"]
    victim.write_bytes((photos / manifest["test"][1]["name"]).read_bytes())
    options.layout.parity.unlink()
    with pytest.raises(ResnetEdgeError, match=r"changed since the data were split \(sha256 is"):
        parity(options)


def forbid_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise AssertionError("something was run")

    monkeypatch.setattr("resnet_edge.steps.parity.compare_all", explode)
    monkeypatch.setattr("resnet_edge.ondevice.workers.process.subprocess.Popen", explode)


def test_other_gates_judge_the_saved_answers_and_run_nothing(options: Options, monkeypatch):
    before = parity(options).result
    forbid_inference(monkeypatch)
    stricter = replace(options, gates=Gates(int8_accuracy=1.0, fp32_max_logit=0.0))
    done = parity(stricter)
    assert not done.rebuilt
    assert [a.gate.verdict for a in done.result.artifacts] == [
        *(Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.FAIL),
    ]
    assert done.result.gates["fp32_max_logit"] == 0.0
    assert parity(stricter).result == read_record(
        ParityResult, options.layout.parity, ResnetEdgeError
    )
    assert parity(options).result == before


def test_saved_answers_are_judged_where_the_artifacts_are_gone(
    options: Options, recorder, monkeypatch
):
    before = parity(options).result
    forbid_inference(monkeypatch)
    shutil.rmtree(options.layout.artifacts)
    options.layout.reference.unlink()
    done = judge_saved(replace(options, gates=Gates(fp32_max_logit=0.0)), recorder)
    assert done.result.artifacts[0].gate.verdict is Verdict.FAIL
    assert recorder.said == [
        f"no artifacts in {options.layout.artifacts}: the saved answers are judged again"
    ]
    assert judge_saved(options).result == before


def without_answers(options: Options) -> None:
    """The record as an earlier version wrote it, and as up to date as before."""
    result = read_record(ParityResult, options.layout.parity, ResnetEdgeError)
    old = tuple(replace(a, answers=None) for a in result.artifacts)
    write_record(options.layout.parity, replace(result, artifacts=old, gates={}))
    stamp = read_record(Stamp, options.out / "cache" / "parity.stamp.json", ResnetEdgeError)
    write_stamp(options.out, "parity", stamp.inputs, (options.layout.parity,))


def test_a_record_of_an_earlier_version_is_measured_again(options: Options):
    without_answers(options)
    done = parity(options)
    assert done.rebuilt
    assert all(a.answers is not None for a in done.result.artifacts)


def test_a_record_of_an_earlier_version_without_artifacts(options: Options):
    without_answers(options)
    shutil.rmtree(options.layout.artifacts)
    with pytest.raises(ResnetEdgeError) as caught:
        judge_saved(options)
    assert str(caught.value) == (
        f"{options.layout.parity}: an earlier version wrote it, without the answers picture by "
        "picture, and there are no artifacts to ask again; put them back or export them"
    )


def test_no_reference(options: Options):
    options.layout.reference.unlink()
    with pytest.raises(ReferenceFileError, match=r"reference.npz: no such file; make it with `res"):
        parity(options)


def test_bench_keeps_its_samples(options: Options, recorder):
    done = bench(options, recorder)
    assert not done.rebuilt
    assert recorder.said == [f"{done.path} is up to date"]
    for artifact in done.result.artifacts:
        (latency,) = artifact.latencies
        assert latency.threads == 1
        assert len(latency.samples_s) >= 8
        assert latency.peak_memory_bytes > 10**6
        assert artifact.gate.verdict is Verdict.NOT_CHECKED
    latency = read_reference(options.layout.reference).info.latency
    assert done.result.reference_p50_s == latency.p50_s


def test_bench_without_a_reference(options: Options):
    options.layout.reference.unlink()
    done = bench(replace(options, gates=Gates(max_latency_ratio=2)))
    assert done.result.reference_p50_s is None
    gate = done.result.artifacts[0].gate
    assert gate.verdict is Verdict.FAIL
    assert "but that was not measured" in gate.reason
    assert not done.rebuilt


def test_a_subset_is_measured(options: Options):
    done = bench(replace(options, formats=ONE))
    assert done.rebuilt
    assert [a.name for a in done.result.artifacts] == ["fp32.tflite"]


def test_a_subset_leaves_the_results_of_the_others(options: Options):
    one = replace(options, formats=ONE, gates=Gates(max_p90_ms=10_000))
    before = read_record(ParityResult, options.layout.parity, ArtifactError)
    done = parity(replace(one, gates=Gates(fp32_max_logit=0.5)))
    assert [a.name for a in done.result.artifacts] == list(ONE)
    after = read_record(ParityResult, options.layout.parity, ArtifactError)
    assert [a.name for a in after.artifacts] == [a.name for a in before.artifacts]
    assert after.gates["fp32_max_logit"] == 0.5
    timed = bench(one)
    assert [b.name for b in timed.result.artifacts] == list(ONE)
    (path,) = options.layout.results.glob("bench-*.json")
    kept = read_record(BenchResult, path, ArtifactError)
    assert [b.name for b in kept.artifacts] == list(options.formats)
    again = bench(one)
    assert not again.rebuilt
    assert [b.name for b in again.result.artifacts] == list(ONE)
    assert read_record(BenchResult, path, ArtifactError) == kept


def test_a_subset_forgets_what_was_exported_again(options: Options):
    name = "int8.tflite"
    sidecar = load_artifact(options.layout.artifacts / name).sidecar
    write_sidecar(options.layout.artifacts / name, replace(sidecar, sha256="ab" * 32))
    parity(replace(options, formats=ONE))
    bench(replace(options, formats=ONE))
    (path,) = options.layout.results.glob("bench-*.json")
    for result in (
        read_record(ParityResult, options.layout.parity, ArtifactError),
        read_record(BenchResult, path, ArtifactError),
    ):
        assert [a.name for a in result.artifacts] == ["fp32.tflite", "fp32.onnx"]


def test_a_noisy_machine_is_said_to_be_noisy(options: Options, recorder, monkeypatch):
    from resnet_edge.steps import bench as step

    result = bench(options).result
    noisy = replace(result.artifacts[0].latencies[0], samples_s=(0.001, 0.002) * 40)
    benched = replace(result, artifacts=(replace(result.artifacts[0], latencies=(noisy,)),))
    monkeypatch.setattr(step, "bench_artifacts", lambda *_, **__: benched)
    done = bench(replace(options, formats=ONE), recorder)
    assert done.rebuilt
    assert recorder.warned[0].startswith("The machine was noisy: ")
    assert "for fp32.tflite (1 thread)." in recorder.warned[0]


def test_a_full_disk_where_answers_go(options: Options, tmp_path):
    """The worker's error is the parent's, in one line."""
    np.save(tmp_path / "p.npy", np.zeros((1, 32, 32, 3), np.uint8))
    artifact, answers = options.layout.artifacts / "fp32.tflite", tmp_path / "gone" / "a.npy"
    job = AnswerJob(artifact, tmp_path / "p.npy", answers, 1)
    with pytest.raises(OutputError) as caught:
        answer_pictures(job, lambda done: None)
    assert str(caught.value) == (
        f"fp32.tflite: {answers}: No such file or directory; "
        "free some space or choose another folder with --out"
    )
