"""SavedModel: the same answers as Keras, for any batch, with names and labels."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from converters.saved_model import export_saved_model


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "saved_model"
    export_saved_model(tiny.serving, path, ("cat", "été", "two\nlines", "d", "e"))
    return path


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_answers_equal_keras_for_any_batch(tiny, folder: Path, batch: int) -> None:
    loaded = tf.saved_model.load(str(folder))
    serve = loaded.signatures["serving_default"]
    answer = serve(image=tf.constant(tiny.pictures[:batch].astype(np.float32)))
    assert list(answer) == ["probabilities"]
    np.testing.assert_allclose(answer["probabilities"], tiny.expected[:batch], atol=1e-5)


def test_signature(folder: Path) -> None:
    loaded = tf.saved_model.load(str(folder))
    serve = loaded.signatures["serving_default"]
    (image,) = serve.structured_input_signature[1].values()
    assert (image.name, image.dtype) == ("image", tf.float32)
    assert image.shape.as_list() == [None, 32, 32, 3]
    assert serve.structured_outputs["probabilities"].shape.as_list() == [None, 5]
    assert serve.structured_outputs["probabilities"].dtype == tf.float32


def test_labels_are_an_asset_one_a_line(folder: Path) -> None:
    text = (folder / "assets" / "labels.txt").read_text(encoding="utf-8")
    assert text == "cat\nété\ntwo lines\nd\ne\n"


def test_the_folder_can_be_moved(tiny, folder: Path, tmp_path: Path) -> None:
    """The labels are a copy inside, not a path to the folder they were written in."""
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    try:
        loaded = tf.saved_model.load(str(moved))
        assert Path(loaded.labels.asset_path.numpy().decode()).read_text().startswith("cat")
    finally:
        moved.rename(folder)
