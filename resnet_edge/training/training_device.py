"""The processor or GPUs that a training runs on."""

from __future__ import annotations

import os
from functools import cache

import keras
import numpy as np
import tensorflow as tf

from resnet_edge.errors import UsageError
from resnet_edge.training.onednn import switch_on_onednn


def strategy_for(mixed_precision: bool) -> tf.distribute.Strategy:
    """Choose how to distribute batches: over all GPUs where there are several, else not at all.

    Raises:
        UsageError: Mixed precision was asked for and there is no GPU.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if mixed_precision and not gpus:
        raise UsageError(
            "--mixed-precision: no GPU was found, and a CPU is slower in float16; "
            "leave the option out, or see `resnet-edge doctor` for what is missing"
        )
    if len(gpus) > 1:
        return mirrored_strategy(tuple(device.name for device in gpus))
    return tf.distribute.get_strategy()


@cache
def mirrored_strategy(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """Return the one strategy of this process that mirrors variables on these devices.

    A second one would number its collective operations anew, and TensorFlow then mixes them up with
    those of the first ("Shape mismatch in the collective instance").
    """
    return tf.distribute.MirroredStrategy(devices)


def describe_device(mixed_precision: bool) -> str:
    """Return the device that the training runs on, in words."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
        return f"{len(gpus)} x {name}, {'float16 and float32' if mixed_precision else 'float32'}"
    onednn = "on" if switch_on_onednn() else "off"
    return f"CPU: no GPU was found ({os.cpu_count()} cores, oneDNN {onednn})"


def versions() -> dict[str, str]:
    """Return the versions that a training's result depends on."""
    return {"keras": keras.__version__, "tensorflow": tf.__version__, "numpy": np.__version__}
