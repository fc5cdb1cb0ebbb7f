"""The same model gives the same bytes, whenever and in whatever process it is written."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import layers

from resnet_edge.model.keras_files import read_keras_file
from resnet_edge.model.model_file import ModelInfo, read_model_info, write_model

INFO = ModelInfo("pets", ("cat", "dög"), "unit", "crop", "none")


def network() -> keras.Model:
    """Two layers share an object, which Keras numbers by its address."""
    policy, start = keras.DTypePolicy("float32"), keras.initializers.GlorotUniform(seed=1)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.GlobalAveragePooling2D(name="pool")(image)
    x = layers.Dense(4, dtype=policy, kernel_initializer=start, name="hidden")(x)
    x = layers.Dense(2, dtype=policy, kernel_initializer=start, name="answer")(x)
    return keras.Model(image, x, name="pets")


def test_two_files_of_one_model(tmp_path: Path):
    models = [network(), network()]  # both alive, so that no address comes twice
    paths = [tmp_path / "one.keras", tmp_path / "other.keras"]
    for path, model in zip(paths, models, strict=True):
        write_model(path, model, INFO)
    with zipfile.ZipFile(paths[0]) as archive:
        assert b'"shared_object_id": 1' in archive.read("config.json")
        assert {member.date_time[0] for member in archive.infolist()} == {1980}
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert read_model_info(paths[0]) == INFO
    picture = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    answers = [np.asarray(model(picture)) for model in (models[0], read_keras_file(paths[0]))]
    np.testing.assert_array_equal(*answers)
