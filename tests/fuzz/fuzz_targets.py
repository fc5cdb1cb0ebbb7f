"""Every reader of resnet-edge, each with the whole files that its damaged ones are made from."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzz_mutations import mutate

from resnet_edge.errors import (
    ArtifactError,
    InternalError,
    OutOfMemoryError,
    OutputError,
    ResnetEdgeError,
    translate,
)

LABELS = ("blue", "green", "red")


@dataclass(frozen=True)
class Target:
    """A reader."""

    name: str
    files: tuple[str, ...]
    """Globs of whole files in the corpus."""
    read: Callable[[Path, Path], object]
    """Reads a damaged file, with an empty folder beside it, or a copy of the build."""
    in_build: bool = False
    """True if the file is read in its place in a build."""
    dies: bool = False
    """True if resnet-edge does it in a worker, whose death it reports."""


def run_command(*words: str | Path) -> None:
    """Run the command line in this process; an internal error or a traceback is raised."""
    from resnet_edge.cli import main

    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main([str(word) for word in words])
    text = said.getvalue()
    if "internal error" in text or "Traceback" in text or "free some space" in text:
        raise InternalError(text)
    if code not in (0, 1, 2) or (code and not text.strip()):
        raise InternalError(f"exit code {code}: {text}")
    if "error: " in text:
        raise ArtifactError(text)


def _config(path: Path, _: Path) -> None:
    run_command("--config", path, "finetune", "--out", "/nowhere/at/all", "--data", "/none")


def _zip(path: Path, folder: Path) -> None:
    from resnet_edge.data.dataset import load_dataset

    load_dataset(path, folder, skip_unreadable=True)


def _manifest(path: Path, _: Path) -> None:
    from resnet_edge.data.manifest import read_manifest

    read_manifest(path)


def _calibration(path: Path, folder: Path) -> None:
    from resnet_edge.data.calibration import read_calibration

    read_calibration(path, folder)


def _reference(path: Path, _: Path) -> None:
    from resnet_edge.ondevice.reference_file import read_reference

    read_reference(path)


def _corrupted_answers(path: Path, _: Path) -> None:
    from resnet_edge.robustness.corruptions import Corruption
    from resnet_edge.robustness.reference_answers import read_answers

    read_answers(path, Corruption.DARK)


def _corruptions(path: Path, _: Path) -> None:
    from resnet_edge.errors import InferenceError
    from resnet_edge.ondevice.json_records import read_record
    from resnet_edge.robustness.record import CorruptionResult

    read_record(CorruptionResult, path, InferenceError)


def _quantized(path: Path, _: Path) -> None:
    from converters.quantization.calibrated_file import load_calibrated

    load_calibrated(path)


def _keras(path: Path, _: Path) -> None:
    from resnet_edge.model.keras_files import read_keras_file

    read_keras_file(path)


def _keras_notes(path: Path, _: Path) -> None:
    from resnet_edge.inspection.keras_model import read_endpoints
    from resnet_edge.model.model_file import read_model_info

    read_endpoints(path)
    read_model_info(path)


def _weights(path: Path, _: Path) -> None:
    from resnet_edge.model.weight_files import read_weight_file

    read_weight_file(path)


def _inspect(path: Path, folder: Path) -> None:
    from resnet_edge.inspection.inspection import inspect_file

    if path.suffix == ".pb":
        model = folder / "saved_model"
        (model / "variables").mkdir(parents=True)
        (model / "variables" / "variables.index").write_bytes(b"x")
        (model / "assets").mkdir()
        (model / "assets" / "labels.txt").write_text("blue\ngreen\nred\n")
        path = Path(shutil.copy(path, model))
        path = model
    inspect_file(path)


def _artifact(path: Path, folder: Path) -> None:
    """Let the runtime answer with a damaged file whose sidecar is right about its hash."""
    from dataclasses import replace

    import numpy as np

    from resnet_edge.ondevice.files import hash_path
    from resnet_edge.ondevice.formats.sidecar import (
        Sidecar,
        load_artifact,
        sidecar_path,
        write_sidecar,
    )
    from resnet_edge.ondevice.json_records import read_record
    from resnet_edge.ondevice.runtimes.opening import open_runtime

    whole = folder / "artifacts" / path.name
    sidecar = read_record(Sidecar, sidecar_path(whole), ArtifactError)
    write_sidecar(path, replace(sidecar, sha256=hash_path(path)))
    runtime = open_runtime(load_artifact(path), 1)
    runtime.infer(np.zeros((1, *sidecar.image_size, 3), np.uint8))


def _picture(path: Path, _: Path) -> None:
    from resnet_edge.ondevice.fit import Fit
    from resnet_edge.ondevice.pictures import decode_picture

    decode_picture(path, (16, 16), Fit.CROP)


def _pixels(path: Path, _: Path) -> None:
    from resnet_edge.ondevice.command.classify import _load_pixels

    _load_pixels(path, (32, 32))


def _bundle(path: Path, folder: Path) -> None:
    from resnet_edge.ondevice.command.bundle_file import open_bundle

    bundle = open_bundle(path)
    with contextlib.suppress(ResnetEdgeError):
        bundle.check()
    for name in bundle.manifest.artifacts:
        bundle.sidecar(name)
        bundle.extract_artifact(name, folder)
    bundle.reference(folder)


def _device_result(path: Path, _: Path) -> None:
    from resnet_edge.ondevice.command.device_result import read_device_result

    read_device_result(path)


def _compare(path: Path, build: Path) -> None:
    run_command("compare", path, build)


def _recommend(path: Path, build: Path) -> None:
    run_command("recommend", "--out", build)


def _report(path: Path, build: Path) -> None:
    run_command("report", "--out", build)


def _labels(path: Path, _: Path) -> None:
    from resnet_edge.inspection.model_description import read_labels

    read_labels(path, len(LABELS))


def _table(path: Path, folder: Path) -> None:
    from resnet_edge.data.dataset import load_dataset

    for name in ("cat/1.jpg", "cat/2.jpg", "dog/3.jpg"):
        (path.parent / name).parent.mkdir(exist_ok=True)
        shutil.copy(path.parent / "picture.jpg", path.parent / name)
    load_dataset(path, folder, skip_unreadable=True)


def _checkpoint(path: Path, _: Path) -> None:
    from resnet_edge.training.checkpoint import load_checkpoint

    load_checkpoint(path, "key")


def _stamp(path: Path, folder: Path) -> None:
    from resnet_edge.steps.up_to_date import is_current

    (folder / "cache").mkdir()
    shutil.copy(path, folder / "cache" / "finetune.stamp.json")
    is_current(folder, "finetune", {})


TARGETS = (
    Target("TOML options", ("options.toml",), _config),
    Target("zip of pictures", ("photos.zip",), _zip),
    Target("dataset.json", ("dataset.json",), _manifest),
    Target("calibration.json", ("calibration.json",), _calibration),
    Target("reference.npz", ("reference.npz",), _reference),
    Target("answers under a corruption", ("reference-dark.npz",), _corrupted_answers),
    Target("corruptions.json", ("corruptions.json",), _corruptions),
    Target("stored quantization", ("cache-quantization.npz",), _quantized),
    Target(".keras, loaded", ("model.keras",), _keras),
    Target(".keras, its notes", ("model.keras",), _keras_notes),
    Target("weights in HDF5", ("weights.h5",), _weights),
    Target("inspect", ("model.keras", "*.tflite", "*.onnx", "saved_model.pb"), _inspect),
    Target("artifact, run", ("*.tflite", "*.onnx"), _artifact, in_build=True, dies=True),
    Target("picture", ("picture.*",), _picture),
    Target("pixels in .npy", ("pixels.npy",), _pixels),
    Target("bundle", ("resnet-edge-device.pyz",), _bundle),
    Target("device's result", ("device-*.json",), _device_result),
    Target("compare", ("parity.json", "bench-*.json"), _compare, in_build=True),
    Target(
        "recommend", ("parity.json", "bench-*.json", "*.tflite.json"), _recommend, in_build=True
    ),
    Target(
        "report",
        ("parity.json", "bench-*.json", "quantization.json", "training.json", "*.onnx.json"),
        _report,
        in_build=True,
    ),
    Target("labels", ("labels.txt",), _labels),
    Target("table of pictures", ("list.csv",), _table),
    Target("checkpoint", ("checkpoint.zip",), _checkpoint),
    Target("stamp", ("cache-finetune.json",), _stamp),
)


@dataclass(frozen=True)
class Case:
    """A damaged file, and what came of it."""

    target: str
    file: str
    outcome: str
    """``worked``, ``clear error``, or a fault in words."""

    @property
    def is_fault(self) -> bool:
        """True if a user would see something else than a result or a clear error."""
        return self.outcome not in ("worked", "clear error")


def try_one(target: Target, corpus: Path, build: Path, random: Random) -> Case:
    """Damage one file and let its reader read it.

    Args:
        target: The reader.
        corpus: The whole files.
        build: The build that they come from.
        random: Draws the file and its damage.
    """
    files = sorted(path for glob in target.files for path in corpus.glob(glob))
    chosen = random.choice(files)
    others = tuple(path.read_bytes() for path in files if path != chosen)
    damaged = mutate(chosen.read_bytes(), chosen.suffix, others, random)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "build"
        path = Path(scratch) / chosen.name
        if target.in_build:
            shutil.copytree(build, folder)
            places = [found for found in folder.rglob(chosen.name) if not target.dies]
            path = places[0] if places else path
        else:
            folder.mkdir()
        shutil.copy(corpus / "picture.jpg", scratch)
        path.write_bytes(damaged)
        before = os.getcwd()  # noqa: PTH109
        os.chdir(scratch)
        try:
            outcome = outcome_of(lambda: target.read(path, folder))
        finally:
            os.chdir(before)
    return Case(target.name, chosen.name, outcome)


def outcome_of(call: Callable[[], object]) -> str:
    """Return ``worked``, ``clear error``, or the fault in words."""
    try:
        call()
    except Exception as problem:
        error = translate(problem)
        bare = isinstance(error, OutputError) and not isinstance(problem, ResnetEdgeError)
        message = str(error)
        if bare or isinstance(error, (InternalError, OutOfMemoryError)):
            return f"internal error: {type(problem).__name__}: {message[:2000]}"
        try:
            message.encode()
        except UnicodeEncodeError:
            return f"a message that cannot be printed: {message[:200]!a}"
        return "clear error" if message.strip() else "an empty message"
    return "worked"
