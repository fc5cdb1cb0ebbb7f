"""A tiny network is searched from end to end; what is said is compared with Keras."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from resnet_edge.compression.limits import CompressionOptions
from resnet_edge.compression.trials import MODEL, Stage, TrialLog
from resnet_edge.errors import ArtifactError, UsageError
from resnet_edge.model.model_file import read_model_info
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.sidecar import load_artifacts
from resnet_edge.ondevice.reference_file import read_reference
from resnet_edge.ondevice.runtimes.opening import open_runtime
from resnet_edge.options import (
    BenchOptions,
    CalibrationOptions,
    DataOptions,
    LatencySpec,
    ModelOptions,
    Options,
    QuantizationOptions,
)
from resnet_edge.steps import compress_trials
from resnet_edge.steps.compress import Compressed, compress

NAMES = ("int8.tflite", "fp32.onnx")


@pytest.fixture(autouse=True)
def short_timings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compress_trials, "QUICK", LatencySpec(0.01, 5, 0.1))


def asked(options: Options, **limits: object) -> Options:
    """The build's options with limits."""
    return replace(
        options,
        formats=NAMES,
        bench=BenchOptions(LatencySpec(0.02, 70, 0.1), threads=(1,)),
        quantization=QuantizationOptions("fast"),
        compression=CompressionOptions(**{"input_sizes": (32, 24), "steps": 60, **limits}),
    )


def size_of_model(options: Options) -> int:
    return load_artifacts(options.layout.artifacts, ("fp32.onnx",))[0].sidecar.bytes


@dataclass(frozen=True)
class Searched:
    """A search that has ended."""

    options: Options
    found: Compressed


@pytest.fixture(scope="module")
def searched(edge_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """A search by the loss alone. Not to be changed."""
    out = tmp_path_factory.mktemp("searched") / "build"
    shutil.copytree(edge_build, out)
    options = asked(Options(out=out), max_loss=0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compress_trials, "QUICK", LatencySpec(0.01, 5, 0.1))
        found = compress(options)
    return Searched(options, found)


@pytest.fixture
def copied(searched: Searched, tmp_path: Path) -> Options:
    """The options of a copy of that build, to be changed."""
    shutil.copytree(searched.options.out, tmp_path / "copied")
    return replace(searched.options, out=tmp_path / "copied")


@pytest.mark.slow
def test_a_file_within_a_size_is_found_proven_and_runs(options: Options, recorder) -> None:
    full = size_of_model(options)
    wanted = replace(asked(options, max_bytes=full - 3000), formats=("fp32.onnx",))
    found = compress(wanted, None, recorder)
    assert found.is_over
    assert found.front.chosen is not None, recorder.said
    chosen = found.front.chosen
    assert chosen.bytes <= full - 3000
    assert chosen.network != MODEL
    assert found.path is not None
    assert found.path.stat().st_size == chosen.bytes
    folder = found.folder / chosen.network
    model = keras.saving.load_model(folder / "model.keras")
    first = keras.saving.load_model(options.layout.model)
    assert {layer.name for layer in first.layers} <= {layer.name for layer in model.layers}
    assert model.count_params() < first.count_params()
    info = read_model_info(folder / "model.keras")
    assert info is not None
    assert info.weights.endswith(f"; slimmed to {chosen.network}")
    (artifact,) = load_artifacts(folder / "artifacts", ("fp32.onnx",))
    height, width = chosen.size
    pictures = np.random.default_rng(0).integers(0, 256, (4, height, width, 3), np.uint8)
    runtime = open_runtime(artifact, 1)
    answers = np.concatenate([runtime.infer(picture[np.newaxis]) for picture in pictures])
    expected = model.predict(pictures.astype(np.float32) / 255, verbose=0)
    assert answers == pytest.approx(expected, abs=1e-4)


def test_the_top1_of_the_front_is_that_of_the_answers(searched: Searched) -> None:
    found = searched.found
    reference = read_reference(searched.options.layout.reference)
    hits = reference.probabilities.argmax(axis=1) == reference.classes
    assert found.front.reference_top1 == pytest.approx(hits.mean())
    for entry in found.front.entries:
        assert entry.top1 - found.front.reference_top1 == pytest.approx(entry.change, abs=1e-9)
    model = [entry for entry in found.front.entries if entry.network == MODEL]
    assert {entry.file for entry in model} == set(NAMES)
    (exact,) = (entry for entry in model if entry.file == "fp32.onnx")
    assert exact.change == 0


def test_a_second_call_measures_nothing_again(
    searched: Searched, copied: Options, recorder, monkeypatch
) -> None:
    first = searched.found
    before = (first.folder / "trials.jsonl").read_bytes()
    assert before.count(b"\n") == len(first.trials)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("something was made again")

    for name in ("export", "bench_artifacts", "compare_all", "write_model"):
        monkeypatch.setattr(compress_trials, name, fail)
    again = compress(copied, None, recorder)
    assert again.front == first.front
    assert (again.folder / "trials.jsonl").read_bytes() == before
    page = again.page.read_text()
    assert "<svg" in page
    assert first.front.entries[0].network in page
    data = json.loads((again.folder / "front.json").read_text())
    assert data["chosen"] == (first.front.chosen and first.front.chosen.title)
    assert len(data["entries"]) == len(first.front.entries)


def test_an_aim_that_ends_at_a_known_network_is_not_tried_again(
    searched: Searched, copied: Options, monkeypatch
) -> None:
    (key,) = {trial.key for trial in searched.found.trials}
    log = TrialLog(copied.layout.compressed / "trials.jsonl", key)
    known = log.at(Stage.FITTED)[0]
    monkeypatch.setattr(compress_trials, "_name", lambda *_: (known.name, known))
    compress_trials.fit(SimpleNamespace(log=log), known.size, None, "another aim")
    again = TrialLog(copied.layout.compressed / "trials.jsonl", key)
    assert again.has_aim("another aim")
    assert again.has_aim(known.aim)
    assert [trial.name for trial in again.at(Stage.FITTED)] == [
        t.name for t in log.at(Stage.FITTED)
    ]


def test_an_interrupted_search_goes_on(searched: Searched, copied: Options, recorder) -> None:
    """Ctrl-C while a network is compared: its training is kept, and no row is made twice."""
    log = copied.layout.compressed / "trials.jsonl"
    rows = log.read_bytes().splitlines(keepends=True)
    measured = [n for n, row in enumerate(rows) if b'"stage": "measured"' in row]
    name = json.loads(rows[measured[-1]])["name"]
    kept = b"".join(row for row in rows if json.loads(row)["name"] != name or b"fitted" in row)
    log.write_bytes(kept + rows[measured[-1]][:100])  # cut off in the middle
    trained = hash_path(copied.layout.compressed / name / "model.keras")
    found = compress(copied, None, recorder)
    assert log.read_bytes().startswith(kept)
    assert hash_path(copied.layout.compressed / name / "model.keras") == trained
    before = {trial.name for trial in searched.found.trials if trial.stage is Stage.MEASURED}
    assert {trial.name for trial in found.trials if trial.stage is Stage.MEASURED} == before


def test_ctrl_c_leaves_rows_and_nothing_half_written(
    options: Options, recorder, monkeypatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compress_trials, "compare_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        compress(asked(options, max_loss=0.5), None, recorder)
    assert not list(options.layout.compressed.rglob("*.part"))
    assert not (options.layout.compressed / "trials.jsonl").exists()


@pytest.mark.slow
def test_what_nothing_holds_is_said_with_what_comes_nearest(options: Options, recorder) -> None:
    wanted = replace(asked(options, max_bytes=100), formats=("fp32.onnx",))
    found = compress(wanted, None, recorder)
    assert found.front.chosen is None
    assert found.path is None
    assert found.front.nearest is not None
    assert "even the narrowest network is foretold to exceed the limits" in " ".join(recorder.said)


def test_a_model_that_holds_its_limits_is_the_answer(options: Options, recorder) -> None:
    found = compress(asked(options, max_bytes=10**9), None, recorder)
    assert found.front.chosen is not None
    assert found.front.chosen.network == MODEL
    assert "the model holds the limits as it is" in recorder.said


def test_no_minutes_are_a_search_that_is_not_over(copied: Options, recorder) -> None:
    log = copied.layout.compressed / "trials.jsonl"
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])  # the model alone is known
    no_time = replace(copied.compression, budget_minutes=1e-6)
    found = compress(replace(copied, compression=no_time), None, recorder)
    assert not found.is_over
    assert {trial.name for trial in found.trials} == {MODEL}


@pytest.mark.slow
def test_another_model_of_the_user(
    edge_photos: Path, plain_model: Path, write_photos: Callable[..., Path], tmp_path, recorder
) -> None:
    """Pictures in no class folders: nothing is learned from labels, agreement judges."""
    loose = tmp_path / "loose"
    loose.mkdir()
    for number, path in enumerate(sorted(edge_photos.rglob("*.png"))):
        shutil.copy(path, loose / f"{number}.png")
    options = Options(
        out=tmp_path / "out",
        data=DataOptions(test=write_photos(tmp_path / "test", 8, seed=5)),
        model=ModelOptions(preprocessing="unit"),
        calibration=CalibrationOptions(calibration=loose),
    )
    found = compress(asked(options, max_loss=0.9), plain_model, recorder)
    assert found.front.entries
    fitted = [trial for trial in found.trials if trial.stage is Stage.FITTED]
    assert fitted
    assert all(t.change == pytest.approx((t.agreement or 0) - 1) for t in fitted)
    assert "without classes" in found.page.read_text()


def test_limits_are_needed(options: Options) -> None:
    with pytest.raises(UsageError, match="compress: no limit is given; expected at least one"):
        compress(asked(options))


def test_files_that_devices_do_not_run_are_refused(options: Options) -> None:
    wanted = replace(asked(options, max_loss=0.5), formats=("saved_model",))
    with pytest.raises(UsageError, match="--formats: got saved_model; expected"):
        compress(wanted)


def test_no_test_pictures(plain_model: Path, edge_photos: Path, tmp_path: Path, recorder) -> None:
    options = Options(
        out=tmp_path / "out",
        model=ModelOptions(preprocessing="unit"),
        calibration=CalibrationOptions(calibration=edge_photos),
    )
    with pytest.raises(UsageError, match="no test pictures, so no loss can be measured; pass"):
        compress(asked(options, max_loss=0.5), plain_model, recorder)


def test_no_pictures_to_fit_with(
    plain_model: Path, write_photos: Callable[..., Path], tmp_path: Path, recorder
) -> None:
    options = Options(
        out=tmp_path / "out",
        data=DataOptions(test=write_photos(tmp_path / "test", 8)),
        model=ModelOptions(preprocessing="unit"),
    )
    with pytest.raises(UsageError, match="compress: no pictures to fit the slimmed networks with"):
        compress(asked(options, max_loss=0.5), plain_model, recorder)


@pytest.mark.slow
def test_a_network_without_a_channel_that_may_go(
    edge_photos: Path, write_photos: Callable[..., Path], tmp_path: Path, recorder
) -> None:
    image = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    keras.Model(image, keras.layers.Dense(3, activation="softmax")(pooled)).save(
        tmp_path / "linear.keras"
    )
    options = Options(
        out=tmp_path / "out",
        data=DataOptions(test=write_photos(tmp_path / "test", 8, seed=3)),
        model=ModelOptions(preprocessing="unit"),
        calibration=CalibrationOptions(calibration=edge_photos),
    )
    with pytest.raises(Exception, match="has no channel that can be removed"):
        compress(asked(options, max_loss=0.5), tmp_path / "linear.keras", recorder)


@pytest.mark.slow
def test_a_model_that_was_slimmed_before_is_told(
    searched: Searched, options: Options, recorder
) -> None:
    """A file of a search is a model like any other."""
    name = next(
        trial.name
        for trial in searched.found.trials
        if trial.stage is Stage.MEASURED and trial.name != MODEL
    )
    model = searched.found.folder / name / "model.keras"
    wanted = replace(asked(options, max_bytes=10**9), formats=("fp32.onnx",))
    found = compress(wanted, model, recorder)
    assert any(f"was slimmed before (slimmed to {name})" in text for text in recorder.warned)
    assert found.front.chosen is not None
    assert found.front.chosen.change == 0


def test_a_result_of_another_model_is_refused(options: Options, tmp_path, recorder) -> None:
    result = tmp_path / "result.json"
    result.write_text('{"bundle_sha256": 1, "schema": 1}')
    with pytest.raises(ArtifactError):
        compress(asked(options, max_loss=0.5, on_device=(result,)), None, recorder)


def test_rows_stay_when_the_limits_change(searched: Searched, copied: Options, recorder) -> None:
    tighter = replace(copied, compression=replace(copied.compression, max_loss=0.4))
    again = compress(tighter, None, recorder)
    assert again.trials[: len(searched.found.trials)] == searched.found.trials
    assert again.front.limits.loss == 0.4


def test_hashes_of_rows_are_those_of_the_files(searched: Searched) -> None:
    found = searched.found
    assert found.trials[0].model_sha256 == hash_path(searched.options.layout.model)
    for trial in found.trials:
        if trial.stage is Stage.MEASURED and trial.name != MODEL:
            assert trial.model_sha256 == hash_path(found.folder / trial.name / "model.keras")
            for file in trial.files:
                assert file.sha256 == hash_path(found.folder / trial.name / "artifacts" / file.name)
