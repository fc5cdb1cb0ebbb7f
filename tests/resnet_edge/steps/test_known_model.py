"""What export was told travels to every later step; labels are never wrong in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand_made import hand_sidecar

from resnet_edge.errors import UsageError
from resnet_edge.model.model_file import ModelInfo
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.formats.sidecar import write_sidecar
from resnet_edge.ondevice.reference_file import read_reference
from resnet_edge.options import CalibrationOptions, DataOptions, ModelOptions, Options
from resnet_edge.steps.known_model import describe_for_export, describe_for_reference
from resnet_edge.steps.label_order import order_warning

LABELS = ("eins", "zwei", "drei")
PLACEHOLDERS = ("class 0", "class 1", "class 2")


@pytest.fixture
def exported(plain_model: Path, tmp_path: Path):
    """Put an artifact of the plain model into the build."""

    def put(name: str = "fp32.onnx", **changes: object) -> Path:
        told = {"preprocessing": "tf", "fit": "stretch", "labels": LABELS}
        sidecar = hand_sidecar(name, **{**told, "model_sha256": hash_path(plain_model), **changes})
        (tmp_path / "artifacts").mkdir(exist_ok=True)
        (tmp_path / "artifacts" / name).write_bytes(b"12345")
        write_sidecar(tmp_path / "artifacts" / name, sidecar)
        return tmp_path

    return put


def told(info: ModelInfo) -> tuple[str, str, tuple[str, ...]]:
    return info.preprocessing, info.fit, info.labels


@pytest.mark.parametrize("describe", [describe_for_export, describe_for_reference])
def test_later_steps_expect_what_export_was_told(plain_model, exported, recorder, describe):
    out = exported()
    assert told(describe(Options(out), plain_model, recorder)) == ("tf", "stretch", LABELS)
    assert recorder.warned == []
    other = Options(out, data=DataOptions(fit=Fit.PAD), model=ModelOptions(preprocessing="unit"))
    assert told(describe(other, plain_model, recorder)) == ("unit", "pad", LABELS)


def test_a_model_that_says_what_it_expects(edge_model: Path, exported, recorder):
    """Export was told to overrule it: the reference has to follow, another export has not."""
    out = exported(model_sha256=hash_path(edge_model))
    own = ("unit", "crop", ("blue", "green", "red"))
    assert told(describe_for_export(Options(out), edge_model, recorder)) == own
    assert told(describe_for_reference(Options(out), edge_model, recorder))[0] == "tf"
    asked = Options(out, data=DataOptions(fit="stretch"))
    assert told(describe_for_export(asked, edge_model, recorder)) == ("unit", "stretch", own[2])


def test_artifacts_of_another_model_say_nothing(plain_model, exported, recorder):
    out = exported(model_sha256="0" * 64)
    with pytest.raises(UsageError, match=r"does not say what it expects of pictures; pass --prepr"):
        describe_for_reference(Options(out), plain_model, recorder)


def test_artifacts_that_contradict_each_other(plain_model, exported, recorder):
    exported()
    out = exported("int8.onnx", preprocessing="unit")
    with pytest.raises(UsageError) as caught:
        describe_for_reference(Options(out), plain_model, recorder)
    assert str(caught.value) == (
        "--preprocessing: fp32.onnx was exported with tf, int8.onnx with unit; expected one for "
        "all artifacts; export them again with --preprocessing"
    )
    asked = Options(out, model=ModelOptions(preprocessing="tf"))
    assert told(describe_for_export(asked, plain_model, recorder)) == ("tf", "stretch", LABELS)


def test_the_model_is_named_where_it_is_not_in_the_build(exported, recorder):
    out = exported()
    with pytest.raises(UsageError) as caught:
        describe_for_reference(Options(out), out / "model.keras", recorder)
    assert str(caught.value) == (
        f"{out}/model.keras: no such model; the artifacts in {out}/artifacts were exported from "
        "hand; pass that .keras file: `resnet-edge reference MODEL`"
    )


def unit(out: Path, calibration: Path | None = None, test: Path | None = None) -> Options:
    return Options(
        out,
        data=DataOptions(test=test),
        model=ModelOptions(preprocessing="unit"),
        calibration=CalibrationOptions(calibration),
    )


def test_names_of_class_folders_and_their_order_is_said(
    plain_model, edge_photos, tmp_path, recorder
):
    info = describe_for_export(unit(tmp_path, edge_photos), plain_model, recorder)
    assert info.labels == ("blue", "green", "red")
    assert recorder.warned == [
        f"the model's classes have no names; those of the folders in {edge_photos} are taken, in "
        "alphabetical order: blue, green, red; pass --labels FILE, one name a line in output order "
        "if that is not the order of its outputs"
    ]
    info = describe_for_reference(unit(tmp_path, test=edge_photos), plain_model, recorder)
    assert info.labels == ("blue", "green", "red")


@pytest.mark.parametrize("folders", [("a", "b"), ("1", "2", "10"), ()])
def test_no_names_are_guessed_where_folders_do_not_fit(plain_model, tmp_path, recorder, folders):
    """Two folders for three classes; numbers, whose order depends on who sorts them; none."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in (*folders, ".hidden", "@eaDir"):
        (photos / name).mkdir()
        (photos / name / "1.jpg").touch()
    info = describe_for_export(unit(tmp_path, photos), plain_model, recorder)
    assert info.labels == PLACEHOLDERS
    assert recorder.warned == [
        "the model's classes have no names; they are called class 0 to class 2; pass --labels "
        "FILE, one name a line in output order"
    ]


def test_test_folders_with_names_of_classes_that_have_none(
    plain_model, exported, edge_photos, recorder
):
    out = exported(labels=PLACEHOLDERS)
    options = Options(out, data=DataOptions(test=edge_photos))
    with pytest.raises(UsageError) as caught:
        describe_for_reference(options, plain_model, recorder)
    assert str(caught.value) == (
        f"{edge_photos}: folders blue, green, red; the artifacts were exported without class names "
        "(class 0, class 1, …); export them again with --labels FILE, one name a line in output "
        "order"
    )


BOMS = {"utf-8": b"", "utf-8-sig": b"", "utf-16": b"", "utf-16-be": b"\xfe\xff"}


@pytest.mark.parametrize("encoding", BOMS)
def test_a_labels_file_of_any_editor(plain_model, tmp_path, recorder, encoding):
    path = tmp_path / "labels.txt"
    path.write_bytes(BOMS[encoding] + "Ka\u0308fer\r\nBär\r\nVögel 🐦\r\n".encode(encoding))
    options = Options(tmp_path, model=ModelOptions(preprocessing="unit", labels=path))
    info = describe_for_export(options, plain_model, recorder)
    assert info.labels == ("Käfer", "Bär", "Vögel 🐦")


def test_a_labels_file_that_is_no_text(plain_model, tmp_path, recorder):
    path = tmp_path / "labels.txt"
    path.write_bytes("Bär\n".encode("latin-1"))
    options = Options(tmp_path, model=ModelOptions(preprocessing="unit", labels=path))
    with pytest.raises(UsageError, match=r"expected UTF-8 text; save it as UTF-8$"):
        describe_for_export(options, plain_model, recorder)


def test_labels_in_another_order_are_found(edge_build: Path):
    found = read_reference(edge_build / "reference.npz")
    classes = np.arange(30) % 3
    probabilities = np.eye(3, dtype=np.float32)[classes]
    info = replace(found.info, hashes=("0" * 64,) * 30, pictures=("x",) * 30)
    reference = replace(
        found, info=info, probabilities=probabilities, logits=probabilities, classes=classes
    )
    assert order_warning(reference) is None
    turned = replace(reference, probabilities=probabilities[:, [1, 2, 0]])
    # Output 0 answers what class 1 is, output 1 class 2, output 2 class 0.
    assert order_warning(turned) == (
        "the labels name 0 of 30 answers right; in another order it would be 30: green, red, blue; "
        "if that is the order of the model's outputs, write it to a file, one name a line, and "
        "pass it with --labels to `resnet-edge export`, then run this again"
    )
    few = replace(info, hashes=info.hashes[:14], pictures=info.pictures[:14])
    cut = {name: getattr(turned, name)[:14] for name in ("probabilities", "logits", "classes")}
    assert order_warning(replace(turned, info=few, **cut)) is None
