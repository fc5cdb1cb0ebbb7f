"""A user's ``keras.json`` changes no network that is made or loaded here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

CODE = """
import sys
from pathlib import Path
import keras
assert (keras.config.floatx(), keras.config.image_data_format()) == ("float16", "channels_first")
from converters.preprocessing import PREPROCESSINGS
from converters.serving import serving_model
from resnet_edge.model.classifiers import load_classifier
from resnet_edge.model.resnet50 import resnet50
network = resnet50((32, 32, 3), classes=3)
assert keras.config.epsilon() == 1e-7
assert {layer.compute_dtype for layer in network.layers} == {"float32"}
assert network.layers[-1].output.shape == (None, 3)
assert {layer.data_format for layer in network.layers if hasattr(layer, "data_format")} == {
    "channels_last"
}
keras.config.set_floatx("float16")
keras.config.set_image_data_format("channels_first")
serving = serving_model(load_classifier(Path(sys.argv[1])), PREPROCESSINGS["caffe"])
assert {layer.compute_dtype for layer in serving.layers} == {"float32"}
assert serving.outputs[0].dtype == "float32"
"""


def test_float16_and_channels_first_change_nothing(plain_model: Path, tmp_path: Path):
    settings = {"floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.01}
    (tmp_path / "keras.json").write_text(json.dumps({**settings, "backend": "tensorflow"}))
    environment = {"KERAS_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(plain_model)],
        env={**environment, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
