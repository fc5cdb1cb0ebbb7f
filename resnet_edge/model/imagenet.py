"""The ImageNet weights that Keras publishes: fetched into Keras' cache, recognised by hash."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
from pathlib import Path

import keras

from resnet_edge.errors import ModelError

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
TOP_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels.h5"
NO_TOP_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"

IMAGENET_CLASSES = 1000

TIMEOUT_S = 20.0
"""Longest silence of the server: Keras' download itself would wait forever."""

_MD5 = {
    TOP_FILE: "2cb95161c43110f7111970584f804107",
    NO_TOP_FILE: "4d473c1dd8becc155b73f8504c6f6626",
}

# Of keras.applications (2019 on) and of the original release in classic names.
_KNOWN_MD5 = frozenset(
    (*_MD5.values(), "a7b3fe01876f51b976af0dea6bc144eb", "a268eb855778b3df3c7506639542a6af")
)


def fetch_imagenet(classes: int) -> Path:
    """Return the ImageNet weights from Keras' cache, downloading them where they are not there.

    Args:
        classes: With 1000 the file with its head is taken, else the one without.

    Returns:
        The file, checked against its MD5.

    Raises:
        ModelError: Not in the cache and not to be had; the message says how to supply the file.
    """
    name = TOP_FILE if classes == IMAGENET_CLASSES else NO_TOP_FILE
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        # Keras prints its progress to stdout, which belongs to results.
        with contextlib.redirect_stdout(sys.stderr):
            path = keras.utils.get_file(
                name, BASE_URL + name, cache_subdir="models", file_hash=_MD5[name]
            )
        return Path(path)
    except Exception as error:  # Keras raises a bare Exception where the server is not reached
        raise ModelError(
            f"imagenet: the weights cannot be downloaded ({error}); expected to reach "
            f"{BASE_URL}{name}; fetch that file on another machine, then put it into "
            f"{_cache_folder()}, or pass it: --weights {name}"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _cache_folder() -> Path:
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"


def is_imagenet_file(path: Path) -> bool:
    """Return True if a file is, byte for byte, one of Keras' ImageNet weights of ResNet50.

    Args:
        path: Any file.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() in _KNOWN_MD5
