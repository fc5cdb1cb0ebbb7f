"""A process of `benchmarks/zoo.py`: it makes a network, asks one file, or quantizes with a peer.

    python zoo_worker.py network NAME FOLDER DATA TRAINED_MODEL
    python zoo_worker.py ask ARTIFACT FOLDER
    python zoo_worker.py tf-converter FOLDER
    python zoo_worker.py quantize-static FOLDER

Each job has its own process: a runtime that aborts takes only its own row with it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

PICTURES = "pictures"
"""The folder of folders of the pictures that all quantizers calibrate on."""


def main() -> None:
    job, *words = sys.argv[1:]
    if job == "network":
        make_network(words[0], *map(Path, words[1:]))
    elif job == "ask":
        ask(*map(Path, words))
    else:
        {"tf-converter": tf_converter, "quantize-static": quantize_static}[job](Path(words[0]))


def make_network(name: str, folder: Path, data: Path, trained: Path) -> None:
    """Train a network unless the folder has it, and answer the test pictures in Keras."""
    import keras
    from quantization_inputs import decode
    from trained_networks import train
    from zoo_networks import NETWORKS, RESNET50

    from converters.preprocessing import PREPROCESSINGS

    folder.mkdir(parents=True, exist_ok=True)
    kept, labels = folder / "model.keras", None
    if name == RESNET50:
        labels = tuple(trained.with_name("labels.txt").read_text().split())
        model = keras.models.load_model(trained, compile=False)
        size, preprocessing = model.input_shape[1:3], "caffe"
    else:
        network = NETWORKS[name]
        size, preprocessing = (network.side, network.side), network.recipe.preprocessing
        if kept.exists():
            model = keras.models.load_model(kept, compile=False)
        else:
            pool, classes = decode(data / "train_full", size, labels, folder)
            chosen = np.random.default_rng(0).permutation(len(pool))[: network.pictures]
            model = train(network.recipe, pool[chosen], classes[chosen])
    test, truth = decode(data / "val", size, labels, folder)
    calibration, _ = decode(folder.parent / PICTURES, size, labels, folder)
    apply = PREPROCESSINGS[preprocessing].apply
    reference = model.predict(apply(test.astype(np.float32)), verbose=0)
    model.save(kept)
    (folder / "labels.txt").write_text("\n".join(labels or sorted_classes(data / "val")) + "\n")
    np.save(folder / "test.npy", test)
    np.save(folder / "calibration.npy", calibration)
    np.save(folder / "reference.npy", reference)
    facts = {
        "parameters": model.count_params(),
        "top1": float((reference.argmax(1) == truth).mean()),
        "preprocessing": preprocessing,
        "side": size[0],
    }
    (folder / "network.json").write_text(json.dumps(facts))


def sorted_classes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def ask(artifact: Path, folder: Path) -> None:
    """Answer the test pictures with one of the product's files, in its preferred runtime."""
    from resnet_edge.ondevice.formats.sidecar import load_artifact
    from resnet_edge.ondevice.runtimes.opening import open_runtime

    runtime = open_runtime(load_artifact(artifact), threads=1)
    np.save(folder / f"{artifact.name}.npy", runtime.infer(np.load(folder / "test.npy")))


def tf_converter(folder: Path) -> None:
    """TFLiteConverter with integer operators: https://ai.google.dev/edge/litert/models/post_training_quantization."""
    import tensorflow as tf
    from quantization_peers import as_floats
    from quantization_worker import in_litert

    from converters.frozen_graph import freeze

    serving = logits_model(folder)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([freeze(serving, 1)], serving)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    pictures = np.load(folder / "calibration.npy")
    converter.representative_dataset = lambda: ([batch] for batch in as_floats(pictures))
    path = folder / "tf-converter.tflite"
    path.write_bytes(converter.convert())
    logits = in_litert(path, np.load(folder / "test.npy"))
    np.save(folder / "tf-converter.npy", softmax(logits.astype(np.float64), axis=1))


def quantize_static(folder: Path) -> None:
    """Quantizer of onnxruntime on the file of tf2onnx, with the types its documentation puts first.

    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    import onnxruntime
    import tf2onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process
    from quantization_peers import as_floats, onnxruntime_static

    from converters.frozen_graph import freeze

    frozen = freeze(logits_model(folder), 1)
    tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=[tensor.name for tensor in frozen.inputs],
        output_names=[tensor.name for tensor in frozen.outputs],
        opset=17,
        tensors_to_rename={frozen.inputs[0].name: "image"},
        output_path=str(folder / "tf2onnx.onnx"),
    )
    quant_pre_process(folder / "tf2onnx.onnx", folder / "fp32.onnx", skip_symbolic_shape=True)
    pictures = np.load(folder / "calibration.npy")
    types = {"activation_type": "QInt8", "weight_type": "QInt8", "reduce_range": False}
    path = onnxruntime_static(folder, pictures, folder, **types)()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    test = np.load(folder / "test.npy")
    logits = np.concatenate([session.run(None, {"image": x})[0] for x in as_floats(test)])
    np.save(folder / "quantize-static.npy", softmax(logits.astype(np.float64), axis=1))


def logits_model(folder: Path) -> Any:  # noqa: ANN401
    """Return the network with its preprocessing and without its softmax.

    Both peers round a softmax to steps of 1/256, which would cost them more than all the rest.
    """
    import keras

    from converters.preprocessing import PREPROCESSINGS

    facts = json.loads((folder / "network.json").read_text())
    model = keras.models.load_model(folder / "model.keras", compile=False)
    last = model.layers[-1]
    logits = last.input
    if isinstance(last, keras.layers.Dense):
        linear = keras.layers.Dense(last.units, name="linear_head")
        logits = linear(logits)
        linear.set_weights(last.get_weights())
    head = keras.Model(model.inputs, logits)
    image = keras.Input(model.input_shape[1:], name="image")
    return keras.Model(image, head(PREPROCESSINGS[facts["preprocessing"]].apply(image)))


if __name__ == "__main__":
    main()
