"""Steps that are up to date and steps that have to run again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from resnet_edge.errors import UsageError
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
