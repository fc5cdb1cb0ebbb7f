"""MediaPipe's image classifier reads the labels and classifies, by the files' own metadata.

MediaPipe brings a TFLite interpreter of its own, and the generated reader of the metadata schema.
It gets an environment of its own, made once per session from the package index.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from converters.tflite import flatbuffer
from converters.tflite.metadata import ClassifierMetadata, add_metadata_buffer, append_labels

pytestmark = pytest.mark.slow

LABELS = ("cat", "dog", "été", "a b", "zebra")

# Classifies pictures.npy with every file named, and reads one file's metadata with the real schema.
SCRIPT = """
import json, sys
import mediapipe
import numpy as np
from mediapipe.tasks.metadata import metadata_schema_py_generated as schema
from mediapipe.tasks.python import BaseOptions, vision

pictures = np.load(sys.argv[1])
answers = {}
for path in sys.argv[3:]:
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=path))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        answers[path] = []
        for picture in pictures:
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)
            categories = classifier.classify(image).classifications[0].categories
            answers[path].append({c.category_name: c.score for c in categories})
root = schema.ModelMetadataT.InitFromPackedBuf(open(sys.argv[2], "rb").read(), 0)
graph = root.subgraphMetadata[0]
image, answer = graph.inputTensorMetadata[0], graph.outputTensorMetadata[0]
size = image.content.contentProperties.defaultSize
answers["schema"] = {
    "name": root.name.decode(),
    "parser": root.minParserVersion.decode(),
    "size": [size.height, size.width],
    "mean": list(map(float, image.processUnits[0].options.mean)),
    "std": list(map(float, image.processUnits[0].options.std)),
    "range": [float(image.stats.min[0]), float(image.stats.max[0])],
    "labels": answer.associatedFiles[0].name.decode(),
    "kind": type(answer.content.contentProperties).__name__,
}
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with MediaPipe."""
    folder = tmp_path_factory.mktemp("mediapipe")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    install = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "mediapipe"],
        capture_output=True,
        text=True,
        check=False,
    )
    if install.returncode:
        pytest.skip(f"pip cannot install mediapipe: {install.stderr.strip()[-300:]}")
    return python


def test_mediapipe_classifies_with_the_labels(tiny, python: Path, tmp_path: Path) -> None:
    about = ClassifierMetadata("pets", "which pet", LABELS, (32, 32))
    for name, data in tiny.tflite.items():
        tree = flatbuffer.read_flatbuffer(data)
        if name.startswith("int8"):
            flatbuffer.use_uint8_input(tree)
        if name == "int8_full":
            flatbuffer.use_uint8_output(tree)
        flatbuffer.name_endpoints(tree)
        add_metadata_buffer(tree, about)
        data = append_labels(flatbuffer.write_flatbuffer(tree), LABELS)
        (tmp_path / f"{name}.tflite").write_bytes(data)
    entry = next(m for m in tree.metadata if m.name == b"TFLITE_METADATA")
    (tmp_path / "metadata").write_bytes(bytes(tree.buffers[entry.buffer].data))
    np.save(tmp_path / "pictures.npy", tiny.pictures)
    paths = [str(path) for path in sorted(tmp_path.glob("*.tflite"))]
    script = [python, "-c", SCRIPT, tmp_path / "pictures.npy", tmp_path / "metadata", *paths]
    process = subprocess.run(script, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-3000:]
    answers = json.loads(process.stdout.splitlines()[-1])
    assert answers.pop("schema") == {
        "name": "pets",
        "parser": "1.0.0",
        "size": [32, 32],
        "mean": [0.0],
        "std": [1.0],
        "range": [0.0, 255.0],
        "labels": "labels.txt",
        "kind": "FeaturePropertiesT",
    }
    tolerance = {"fp32": 1e-4, "fp16": 2e-3, "dynamic": 0.1, "int8": 0.15, "int8_full": 0.15}
    assert {Path(path).stem for path in answers} == set(tolerance)
    for path, rows in answers.items():
        actual = [[row[label] for label in LABELS] for row in rows]
        np.testing.assert_allclose(actual, tiny.expected, atol=tolerance[Path(path).stem])
