"""Steps that are up to date and steps that have to run again."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from resnet_edge.errors import UsageError
from resnet_edge.exporting.failures import Failure
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.options import CalibrationOptions, DataOptions, Options, QuantizationOptions
from resnet_edge.steps.run import run

RESULTS = ("model.keras", "training.json", "dataset.json", "calibration.json", "reference.npz")


def hashes(out: Path) -> dict[str, str]:
    files = [*(out / name for name in RESULTS), *(out / "artifacts").iterdir()]
    files += (out / "results").iterdir()
    return {path.relative_to(out).as_posix(): hash_path(path) for path in files}


def test_a_second_run_does_nothing_and_says_so(options: Options, recorder, monkeypatch):
    before = hashes(options.out)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a worker was started")

    for module in (
        "resnet_edge.exporting.processes",
        "resnet_edge.ondevice.parity.answering",
        "resnet_edge.ondevice.latency.bench",
    ):
        monkeypatch.setattr(f"{module}.run_worker", fail)
    result = run(options, recorder)
    assert result.rebuilt == ()
    assert "nothing has changed: nothing was rebuilt" in recorder.said
    assert sum("up to date" in text for text in recorder.said) == 6
    assert hashes(options.out) == before
    assert [row.name for row in result.report.content.artifacts] == list(options.formats)


def test_a_moved_build_is_current(options: Options, tmp_path, recorder):
    moved = tmp_path / "elsewhere" / "b"
    moved.parent.mkdir()
    options.out.rename(moved)
    assert run(replace(options, out=moved), recorder).rebuilt == ()


def test_an_accuracy_gate_is_judged_again_without_a_new_measurement(options: Options, recorder):
    changed = replace(options, gates=Gates(fp16_agreement=0.9))
    assert run(changed, recorder).rebuilt == ("bundle",)  # parity is judged from what was saved


@pytest.mark.slow
def test_a_latency_gate_is_judged_again_without_a_new_measurement(options: Options, recorder):
    strict = replace(options, gates=Gates(max_p90_ms=1e-9, max_latency_ratio=1e-9))
    result = run(strict, recorder)
    assert result.rebuilt == ("bundle",)  # the device asks for it too
    for row in result.report.content.artifacts:
        assert row.latency_gate.verdict is Verdict.FAIL
        assert "at most 1e-09 ms wanted" in row.latency_gate.reason
        assert "times the reference's (at most 1e-09 wanted)" in row.latency_gate.reason
    assert result.report.content.verdict is Verdict.FAIL
    lenient = run(replace(options, gates=Gates(max_p90_ms=1e6)), recorder)
    assert {row.latency_gate.verdict for row in lenient.report.content.artifacts} == {Verdict.PASS}


def test_a_longer_measurement_is_measured_anew(options: Options, recorder):
    # The reference's samples are already more than that.
    longer = replace(options.bench, spec=replace(options.bench.spec, min_queries=9))
    assert run(replace(options, bench=longer), recorder).rebuilt == ("bench",)


def test_other_calibration_pictures_make_only_what_is_calibrated(options: Options, recorder):
    before = hashes(options.out)
    fewer = replace(
        options,
        calibration=CalibrationOptions(calibration_count=6),
        quantization=QuantizationOptions(few_pictures=True),
    )
    result = run(fewer, recorder)
    assert result.rebuilt == ("export", "parity", "bench", "bundle")
    after = hashes(options.out)
    changed = {name for name in after if after[name] != before[name]}
    assert {name for name in changed if not name.startswith("results/")} == {
        *("calibration.json", "artifacts/int8.tflite", "artifacts/int8.tflite.json")
    }
    assert [text for text in recorder.said if text.endswith("written")] == ["int8.tflite written"]


def test_a_build_without_files_for_devices_has_no_bundle(options: Options, recorder, monkeypatch):
    """SavedModel alone: what is left to do is done, and the bundle's absence is said."""
    from resnet_edge.steps import run as step

    names = ("saved_model",)
    for name in ("export", "parity", "bench"):
        done = SimpleNamespace(rebuilt=(), artifacts=(SimpleNamespace(name="saved_model"),))
        monkeypatch.setattr(step, name, lambda *_, done=done, **__: done)
    monkeypatch.setattr(step, "run_apart", lambda *_: False)
    monkeypatch.setattr(step, "report", lambda *_: None)
    assert run(replace(options, formats=names), recorder).rebuilt == ()
    assert "no bundle: saved_model alone was made, which devices do not run" in recorder.said


FAILS = "raise ModelConversionError(\"layer 'stem': no such operator\")"


def test_a_run_goes_on_without_what_cannot_be_made(
    options: Options, copying_worker: Callable[[str], tuple[str, ...]], recorder, monkeypatch
):
    from resnet_edge.exporting import processes
    from resnet_edge.steps import run as step

    monkeypatch.setattr(step, "run_apart", lambda *_: False)  # training and reference are there
    (options.layout.artifacts / "int8.tflite").write_bytes(b"damaged")
    monkeypatch.setattr(processes, "WORKER", copying_worker(FAILS))
    result = run(options, recorder)
    reason = (
        "layer 'stem': no such operator; run `resnet-edge export` with --quantization fast, keep "
        "layers in float with --keep-float, or leave it out with --formats"
    )
    warning = f"int8.tflite: {reason}\nthe run goes on with the others"
    assert recorder.warned[0] == warning
    content = result.report.content
    assert [row.name for row in content.artifacts] == ["fp32.tflite", "fp32.onnx"]
    assert {row.accuracy_gate.verdict for row in content.artifacts} == {Verdict.PASS}
    assert all(row.bench is not None and row.bench.latencies for row in content.artifacts)
    assert content.failed == (Failure("int8.tflite", reason),)
    assert content.verdict is Verdict.FAIL
    assert not (options.layout.artifacts / "int8.tflite").exists()
    with zipfile.ZipFile(options.layout.bundle) as bundle:
        carried = {name for name in bundle.namelist() if name.endswith((".tflite", ".onnx"))}
    assert {Path(name).name for name in carried} == {"fp32.tflite", "fp32.onnx"}

    monkeypatch.setattr(processes, "WORKER", copying_worker("pass"))
    mended = run(options, recorder)
    assert "export" in mended.rebuilt
    assert recorder.warned.count(warning) == 1
    assert [row.name for row in mended.report.content.artifacts] == list(options.formats)
    assert mended.report.content.failed == ()
    assert mended.report.content.verdict is Verdict.INCONCLUSIVE  # int8 on so few pictures
    assert not options.layout.failures.exists()


@pytest.mark.slow
def test_another_picture_makes_everything_anew(options: Options, recorder, write_photos, tmp_path):
    photos = write_photos(tmp_path / "photos", count=21)
    changed = replace(options, data=DataOptions(photos))
    everything = ("finetune", "export", "reference", "parity", "bench", "bundle")
    assert run(changed, recorder).rebuilt == everything
    assert run(changed, recorder).rebuilt == ()


def test_too_few_pictures_to_calibrate_are_refused_before_anything_is_trained(
    options: Options, tmp_path, recorder
):
    fewer = replace(
        options, out=tmp_path / "new", calibration=CalibrationOptions(calibration_count=31)
    )
    with pytest.raises(UsageError) as caught:
        run(fewer, recorder)
    assert str(caught.value) == (
        "31 calibration pictures (training split); expected at least 32: ranges of fewer say "
        "little about other pictures; add some, pass --few-pictures, or leave the integer "
        "artifacts out with --formats"
    )
    assert not (tmp_path / "new" / "model.keras").exists()
