"""A frozen backbone's features, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from converters.preprocessing import Preprocessing
from resnet_edge.errors import ModelError, OutputError
from resnet_edge.ondevice.array_files import map_array
from resnet_edge.ondevice.files import write_file
from resnet_edge.ondevice.reading import refusing
from resnet_edge.training.labelled_pictures import LabelledPictures
from resnet_edge.training.picture_stream import INFERENCE_BATCH, picture_batches
from resnet_edge.training.seeds import derived_seed


@dataclass(frozen=True)
class Extractor:
    """Everything that features depend on, besides the pictures."""

    backbone: keras.Model
    key: str
    """Hash of the network and its weights."""
    preprocessing: Preprocessing
    seed: int
    """Seed of the augmented views."""
    cache: Path

    @cached_property
    def forward(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Pictures ``(batch, height, width, 3)`` to features ``(batch, channels)``, compiled."""
        return tf.function(  # type: ignore[no-any-return]  # TensorFlow has no types
            lambda batch: self.backbone(batch, training=False), reduce_retracing=True
        )


def weights_key(model: keras.Model) -> str:
    """Return the sha256 of a model's architecture and weights, whatever its layers are named.

    Keras numbers the names it gives, so a second model of the same kind has other ones.
    """
    layers = (model, *model._flatten_layers(include_self=False))
    numbers = {layer.name: f"#{number}" for number, layer in enumerate(layers)}
    architecture = json.dumps(_renamed(json.loads(model.to_json()), numbers), sort_keys=True)
    digest = hashlib.sha256(architecture.encode())
    for array in model.get_weights():
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _renamed(value: object, names: dict[str, str]) -> object:
    """JSON with every text that is one of the names replaced."""
    match value:
        case dict():
            return {key: _renamed(item, names) for key, item in value.items()}
        case list():
            return [_renamed(item, names) for item in value]
        case str():
            return names.get(value, value)
        case _:
            return value


def compute_features(
    extractor: Extractor,
    split: LabelledPictures,
    view: int,
    on_batch: Callable[[int], None],
) -> NDArray[np.float32]:
    """Compute one view's features, or take them from the cache.

    Args:
        extractor: The network, and the folder for its features.
        split: The pictures.
        view: 0 is the plain pictures; every other view is augmented by its own seed.
        on_batch: Called with the number of pictures that were done since the last call.

    Returns:
        Features ``(n, channels)``, float32, memory-mapped and read-only.

    Raises:
        ModelError: The backbone answers NaN or infinity.
        OutputError: The cache cannot be written.
    """
    path = extractor.cache / f"features-{_key(extractor, split, view)}.npy"
    shape = (len(split), int(extractor.backbone.outputs[0].shape[-1]))
    if (cached := _read(path, shape)) is not None:
        on_batch(len(split))
        return cached
    write_file(path, lambda file: _write(file, extractor, split, view, on_batch))
    return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def _key(extractor: Extractor, split: LabelledPictures, view: int) -> str:
    augmented = derived_seed(extractor.seed, "view", view) if view else None
    text = repr(
        (extractor.key, extractor.preprocessing, split.key, split.pictures.shape, augmented)
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """The cached features, or None where the file is missing or cut off (a power failure)."""
    try:
        with refusing(OutputError):
            array: NDArray[np.float32] = map_array(path)
    except OutputError:
        return None
    return array if array.shape == shape and array.dtype == np.float32 else None


def _write(
    file: BinaryIO,
    extractor: Extractor,
    split: LabelledPictures,
    view: int,
    on_batch: Callable[[int], None],
) -> None:
    """Write the features batch by batch.

    Not through a memory map: there a full disk ends the process instead of raising an error.
    """
    width = int(extractor.backbone.outputs[0].shape[-1])
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(split), width)}
    np.lib.format.write_array_header_1_0(file, header)
    stream = picture_batches(
        split.pictures,
        extractor.preprocessing,
        np.arange(len(split)),
        INFERENCE_BATCH,
        augment_seed=derived_seed(extractor.seed, "view", view) if view else None,
    )
    for batch, indices in stream.prefetch(2):
        features = extractor.forward(batch).numpy().astype("<f4")
        if not np.isfinite(features).all():
            bad = int(indices[np.flatnonzero(~np.isfinite(features).all(axis=1))[0]])
            raise ModelError(
                f"{extractor.backbone.name}: the backbone answers NaN or infinity for picture "
                f"{bad}; expected finite features; check the weights and --preprocessing"
            )
        file.write(features.tobytes())
        on_batch(len(features))
