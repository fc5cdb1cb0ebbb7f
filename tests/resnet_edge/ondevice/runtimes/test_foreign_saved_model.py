"""A SavedModel can write files when it runs: one that is not ours is not even loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hand_made import hand_sidecar

from resnet_edge.errors import ArtifactError
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.sidecar import (
    load_artifact,
    load_artifacts,
    sidecar_path,
    write_sidecar,
)
from resnet_edge.ondevice.latency.bench_worker import BenchJob, measure_job
from resnet_edge.ondevice.latency.profile_worker import profile_job
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.parity.answer_worker import AnswerJob, answer_job
from resnet_edge.ondevice.workers.serving import Reporter
from resnet_edge.steps.bundle import bundle_formats


class Writer(tf.Module):
    """Answers, and writes a file meanwhile."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._place = str(place)

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.uint8, "image")])
    def serve(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        written = tf.io.write_file(self._place, "owned")
        with tf.control_dependencies([written]):
            return {"probabilities": tf.ones((tf.shape(image)[0], 2)) / 2}


@pytest.fixture
def writer(tmp_path: Path) -> tuple[Path, Path]:
    """A SavedModel that writes a file, and the file."""
    owned = tmp_path / "owned"
    module = Writer(owned)
    folder = tmp_path / "artifacts" / "saved_model"
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    loaded = tf.saved_model.load(str(folder)).signatures["serving_default"]
    loaded(image=tf.zeros((1, 8, 8, 3), tf.uint8))
    assert owned.read_text() == "owned"  # it does what it is made for
    owned.unlink()
    return folder, owned


def answer(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "pictures.npy", np.zeros((2, 8, 8, 3), np.uint8))
    job = AnswerJob(folder, tmp_path / "pictures.npy", tmp_path / "answers.npy", 1)
    answer_job(job, Reporter(lambda _: None, lambda: ""))


def test_without_a_sidecar_it_does_not_run(writer: tuple[Path, Path], tmp_path: Path):
    folder, owned = writer
    with pytest.raises(ArtifactError, match=r"saved_model.json: no such file; run the step that"):
        answer(folder, tmp_path)
    with pytest.raises(ArtifactError, match=r"no artifacts here; make them with"):
        load_artifacts(folder.parent)
    assert not owned.exists()


def test_in_the_place_of_ours_it_does_not_run(
    writer: tuple[Path, Path], tmp_path: Path, hand_artifact
):
    folder, owned = writer
    ours = hand_artifact(tmp_path / "made", "saved_model")
    shutil.copy(sidecar_path(ours.path), sidecar_path(folder))
    words = r"saved_model: sha256 is [0-9a-f]{16}…, its sidecar says [0-9a-f]{16}…; the file was"
    with pytest.raises(ArtifactError, match=words):
        answer(folder, tmp_path)
    for work in (measure_job, profile_job):
        with pytest.raises(ArtifactError, match=words):
            work(BenchJob(folder, 1, LatencySpec(), None))
    with pytest.raises(ArtifactError, match=words):
        load_artifacts(folder.parent)
    assert not owned.exists()


def test_a_file_more_in_the_folder_is_noticed(writer: tuple[Path, Path]):
    folder, _ = writer
    write_sidecar(folder, hand_sidecar("saved_model", sha256=hash_path(folder)))
    load_artifact(folder)
    (folder / "assets" / "more").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"the file was changed or damaged after export"):
        load_artifact(folder)


def test_devices_get_none():
    assert bundle_formats(("saved_model", "int8.tflite")) == ("int8.tflite",)
