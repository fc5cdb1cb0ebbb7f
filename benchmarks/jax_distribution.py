"""Deeper fine-tuning on two processes by Keras' JAX backend, against one process.

Each case trains on the embedded digits in one process, then in two that feed half of every batch
each. `keras.distribution.DataParallel` splits the batches, gloo adds the gradients up over
127.0.0.1. Equal are the pictures, their order and augmentation, dropout, AdamW with warm-up and
cosine, class weights, label smoothing, validation, early stopping. Only process 0 writes the
checkpoint; then both read it.

Beside the project it needs the two packages jax and jaxlib (`pip install jax` brings both).

    python benchmarks/jax_distribution.py
    python benchmarks/jax_distribution.py --kill 1

The second ends process 1 with SIGKILL and waits for process 0.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

PROJECT = Path(__file__).resolve().parents[1]
DIGITS = PROJECT / "calibration_data" / "digits.zip"
SIZE, CLASSES = 32, 10
BATCH, STEPS, EPOCHS, VALIDATION = 32, 4, 3, 64
SEED, DROPOUT, SMOOTHING, DECAY, WARMUP_STEPS = 0, 0.2, 0.1, 0.05, 2
KILLED_AFTER_STEPS, LONGEST_WAIT_S = 5, 300


@dataclass(frozen=True)
class Case:
    """One network and what learns in it."""

    network: str
    """``resnet`` (ResNet50 with 1/16 of the channels) or ``mobilenet`` (MobileNetV2-0.35)."""
    stages: int | None
    """Last stages that learn, batch normalization held; None: everything, by the batch."""
    augment: bool
    rate: float
    float64: bool = False

    @property
    def words(self) -> str:
        """The case's row."""
        names = {"resnet": "ResNet50 / 16", "mobilenet": "MobileNetV2-0.35, nested"}
        part = "everything" if self.stages is None else f"head and {self.stages} stage(s)"
        augmented = ", augmented" if self.augment else ""
        return (
            f"{names[self.network]}: {part}{augmented}, {'float64' if self.float64 else 'float32'}"
        )


CASES = (
    Case("resnet", 1, augment=False, rate=1e-4),
    Case("resnet", 1, augment=True, rate=1e-4),
    Case("resnet", None, augment=False, rate=2e-3),
    Case("resnet", None, augment=True, rate=2e-3, float64=True),
    Case("mobilenet", 1, augment=False, rate=1e-4),
    Case("mobilenet", None, augment=False, rate=1e-4, float64=True),
)


@dataclass(frozen=True)
class Trained:
    """What a process says at its end."""

    losses: tuple[float, ...]
    """The epoch's mean so far, after each step."""
    validation: tuple[float, ...]
    """After each epoch."""
    weights: str
    """Hash, of the optimizer's state too."""
    reread: str
    """The same after process 0's checkpoint was read."""
    seconds: float


def load_digits(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read digits of all classes in turn, uint8 ``(count, 32, 32, 3)``, and their classes."""
    from PIL import Image

    with zipfile.ZipFile(DIGITS) as archive:
        names = sorted(archive.namelist(), key=lambda name: name.partition("/")[2])[:count]
        pictures = []
        for name in names:
            with archive.open(name) as file:
                pictures.append(np.asarray(Image.open(file).convert("RGB").resize((SIZE, SIZE))))
    return np.stack(pictures), np.array([int(name[0]) for name in names], np.int64)


def build(case: Case) -> keras.Model:
    import keras

    from resnet_edge.model.resnet50 import add_head, resnet50

    if case.network == "resnet":
        model = resnet50((SIZE, SIZE, 3), CLASSES, width=1 / 16)
    else:
        shape = (SIZE, SIZE, 3)
        base = keras.applications.MobileNetV2(shape, 0.35, include_top=False, weights=None)
        pictures = keras.Input(shape)
        features = keras.layers.GlobalAveragePooling2D()(base(pictures))
        model = keras.Model(pictures, add_head(features, CLASSES))
    return _in_float64(model) if case.float64 else model


def settled_weights(case: Case) -> list[NDArray[np.floating[Any]]]:
    """Return random weights with moving averages that fit the digits, as in a trained network."""
    from resnet_edge.training.batch_norm import batch_normalizations

    model = build(case)
    for norm in batch_normalizations(model):
        norm.momentum = 0.0
    pictures = load_digits(BATCH)[0]
    model(pictures.astype("float64" if case.float64 else "float32") / 255, training=True)
    return model.get_weights()  # type: ignore[no-any-return]  # Keras has no types


def _in_float64(model: keras.Model) -> keras.Model:
    import keras

    def convert(layer: keras.Layer) -> keras.Layer:
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float64"})

    doubled = keras.models.clone_model(model, clone_function=convert, recursive=True)
    doubled.set_weights(model.get_weights())
    keras.config.set_floatx("float64")  # of the loss and the optimizer; our networks set float32
    return doubled


def batches(case: Case, processes: int, process: int) -> Iterable[tuple[Any, ...]]:
    """Yield this process' share of every batch, through the project's own streams."""
    from converters.preprocessing import PREPROCESSINGS
    from resnet_edge.training.picture_stream import class_weight, picture_batches, with_targets
    from resnet_edge.training.seeds import derived_seed

    pictures, labels = load_digits(BATCH * STEPS)
    kind = np.float64 if case.float64 else np.float32
    share = slice(process * BATCH // processes, (process + 1) * BATCH // processes)
    for epoch in range(EPOCHS):
        seed = derived_seed(SEED, "unfreeze", epoch)
        drawn = picture_batches(
            pictures,
            PREPROCESSINGS["unit"],
            np.random.default_rng(seed).permutation(len(pictures)),
            BATCH,
            drop_remainder=True,
        )
        if case.augment:
            drawn = drawn.map(_varied(seed))
        weights = class_weight(labels, CLASSES) * np.linspace(0.8, 1.2, CLASSES, dtype=np.float32)
        for parts in with_targets(drawn, labels, weights).as_numpy_iterator():
            yield tuple(part[share].astype(kind) for part in parts)


def _varied(seed: int) -> Callable[[Any, Any], tuple[Any, Any]]:
    from resnet_edge.training.augmentation import augmentation

    layers = augmentation(seed).layers

    def vary(pictures: Any, indices: Any) -> tuple[Any, Any]:  # noqa: ANN401
        for layer in layers:  # one by one: on JAX a `Sequential` takes no tensors of tf.data
            pictures = layer(pictures, training=True)
        return pictures, indices

    return vary


def compiled(case: Case, weights: list[NDArray[np.floating[Any]]]) -> keras.Model:
    """Return the network that learns, with dropout, compiled as the project does."""
    import keras

    from resnet_edge.training.training_copy import copy_for_training, train_all, train_last_stages

    model = build(case)
    model.set_weights(weights)
    network = copy_for_training(model, DROPOUT)
    if case.float64:
        # The head's view gets its dropout in float32, which casts.
        network.whole.get_layer("training_dropout").dtype_policy = "float64"
    if case.stages is None:
        train_all(network)
    else:
        train_last_stages(network, case.stages)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, EPOCHS * STEPS - WARMUP_STEPS, warmup_target=case.rate, warmup_steps=WARMUP_STEPS
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=DECAY)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=SMOOTHING)
    network.whole.compile(optimizer, loss, metrics=["accuracy"])
    return network.whole


def train(case: Case, processes: int, process: int, port: int, folder: Path) -> None:
    """Be one of the processes; print what came out as JSON."""
    import jax
    import keras

    from resnet_edge.training import checkpoint

    if case.float64:
        from keras.src.backend.common import dtypes

        # On JAX Keras answers float32 wherever two types meet, in batch normalization for instance.
        dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
        jax.config.update("jax_enable_x64", True)
    keras.utils.set_random_seed(SEED)  # before initialize, which would draw one
    if processes > 1:
        keras.distribution.initialize(f"127.0.0.1:{port}", processes, process)
    # Now, in float32: layers in tf.data know no other once the loss is in float64.
    fed = list(batches(case, processes, process))
    weights = settled_weights(case)
    if processes > 1:
        parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
        keras.distribution.set_distribution(parallel)  # before the network that is trained
    model = compiled(case, weights)
    started = time.perf_counter()
    losses, history = _fit(model, case, fed, processes, process, folder)
    variables = [*model.weights, *model.optimizer.variables]
    # By all processes: Keras' save_weights on one alone waits for the others, or fails.
    arrays = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    path = folder / "checkpoint.zip"
    if process == 0:
        progress = checkpoint.TrainingProgress("benchmark", "unfreeze", 1, 0, 0.0, ())
        checkpoint.save_checkpoint(path, checkpoint.Checkpoint(progress, arrays, [], []))
    if processes > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices("written")
    written = checkpoint.load_checkpoint(path, "benchmark")
    assert written is not None
    for variable, array in zip(variables, written.weights, strict=True):
        variable.assign(array)
    reread = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    seconds = time.perf_counter() - started
    trained = Trained(losses, history, _hash(arrays), _hash(reread), seconds)
    print(json.dumps(asdict(trained)), flush=True)


def _fit(
    model: keras.Model,
    case: Case,
    fed: list[tuple[Any, ...]],
    processes: int,
    process: int,
    folder: Path,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    import keras

    losses: list[float] = []

    class Steps(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
            losses.append(float(logs["loss"]))
            with (folder / f"steps-{process}").open("a") as file:
                file.write(f"{batch}\n")

    # The validation loss is to fall by more than it can: training stops after two of three epochs.
    stop = keras.callbacks.EarlyStopping(patience=1, min_delta=1e3, restore_best_weights=True)
    pictures, labels = load_digits(BATCH * STEPS + VALIDATION)
    share = slice(
        BATCH * STEPS + process * VALIDATION // processes,
        BATCH * STEPS + (process + 1) * VALIDATION // processes,
    )
    kind = "float64" if case.float64 else "float32"
    fitted = model.fit(
        (parts for parts in fed),
        steps_per_epoch=STEPS,
        epochs=EPOCHS,
        validation_data=(
            pictures[share].astype(kind) / 255,
            np.eye(CLASSES, dtype=kind)[labels[share]],
        ),
        validation_batch_size=VALIDATION // processes,
        callbacks=[Steps(), stop],
        shuffle=False,
        verbose=0,
    )
    return tuple(losses), tuple(float(loss) for loss in fitted.history["val_loss"])


def _hash(arrays: list[NDArray[np.generic]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def start(number: int, processes: int, folder: Path) -> list[subprocess.Popen[str]]:
    """Start the processes of a case on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "JAX_COORDINATOR_BIND_ADDRESS": f"127.0.0.1:{port}",  # else all addresses of the machine
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(PROJECT),
    }
    command = [sys.executable, "-P", __file__, "--case", str(number), "--processes", str(processes)]
    command += ["--port", str(port), "--folder", str(folder), "--process"]
    return [
        subprocess.Popen(
            [*command, str(process)],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=(folder / f"errors-{process}").open("w"),
            text=True,
        )
        for process in range(processes)
    ]


def run(number: int, processes: int) -> list[Trained]:
    """Train a case; stop this program where a process fails."""
    with tempfile.TemporaryDirectory() as folder:
        started = start(number, processes, Path(folder))
        answers = [process.communicate()[0] for process in started]
        for number_of, process in enumerate(started):
            if process.returncode:
                sys.exit((Path(folder) / f"errors-{number_of}").read_text()[-3000:])
    said = [json.loads(answer.splitlines()[-1]) for answer in answers]
    return [Trained(**{**one, "losses": tuple(one["losses"])}) for one in said]


def compare(numbers: list[int]) -> None:
    print(
        "| network | largest difference of a step's loss | of the validation loss | "
        "epochs | same weights on both | as process 0's file |"
    )
    print("|---|---|---|---|---|---|")

    for number in numbers:
        (alone,), (first, second) = run(number, 1), run(number, 2)
        steps = _difference(alone.losses, first.losses)
        validation = _difference(alone.validation, first.validation)
        same = (first.weights, first.losses) == (second.weights, second.losses)
        reread = {first.weights} == {first.reread, second.reread}
        print(
            f"| {CASES[number].words} | {steps} | "
            f"{validation} | {len(alone.validation)} of {EPOCHS} | "
            f"{'yes' if same else 'NO'} | {'yes' if reread else 'NO'} |",
            flush=True,
        )


def _difference(alone: tuple[float, ...], together: tuple[float, ...]) -> str:
    largest = max(abs(a - b) for a, b in zip(alone, together, strict=True))
    return f"{largest:.1e} of {alone[-1]:.2f}"


def kill(victim: int) -> None:
    """End one of two processes in the middle, and say how the other ends."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = start(0, 2, folder)
        steps = folder / f"steps-{victim}"
        while not steps.exists() or steps.read_text().count("\n") < KILLED_AFTER_STEPS:
            if started[victim].poll() is not None:
                sys.exit((folder / f"errors-{victim}").read_text()[-3000:])
            time.sleep(0.02)
        started[victim].send_signal(signal.SIGKILL)
        began = time.perf_counter()
        other = started[1 - victim]
        try:
            code = other.wait(LONGEST_WAIT_S)
            print(
                f"process {1 - victim} ended with {code} after {time.perf_counter() - began:.0f} s"
            )
        except subprocess.TimeoutExpired:
            other.kill()
            print(f"process {1 - victim} still hangs after {LONGEST_WAIT_S} s")
        print((folder / f"errors-{1 - victim}").read_text()[-1500:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", type=int, help=f"only this one, 0 to {len(CASES) - 1}")
    parser.add_argument("--kill", type=int, choices=(0, 1), help="end this process in the middle")
    for option in ("--processes", "--process", "--port"):
        parser.add_argument(option, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.process is not None:
        case = CASES[options.case]
        train(case, options.processes, options.process, options.port, options.folder)
    elif options.kill is not None:
        kill(options.kill)
    else:
        compare(list(range(len(CASES))) if options.case is None else [options.case])


if __name__ == "__main__":
    main()
