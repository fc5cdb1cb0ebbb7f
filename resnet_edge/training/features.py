"""A frozen backbone's features, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from converters.preprocessing import Preprocessing
from resnet_edge.data.pixel_source import pixel_source
from resnet_edge.errors import OutputError
from resnet_edge.ondevice.array_files import map_array
from resnet_edge.ondevice.reading import refusing
from resnet_edge.scale.arrays import join_rows
from resnet_edge.scale.running import Computing, run_stage
from resnet_edge.scale.stage import Stage
from resnet_edge.training.feature_work import FeatureJob, FeatureWork, OpenFeatureWork
from resnet_edge.training.labelled_pictures import LabelledPictures
from resnet_edge.training.picture_stream import INFERENCE_BATCH
from resnet_edge.training.seeds import derived_seed


@dataclass(frozen=True)
class Extractor:
    """Everything that features depend on, besides the pictures, and who computes them."""

    backbone: keras.Model
    key: str
    """Hash of the network and its weights."""
    preprocessing: Preprocessing
    seed: int
    """Seed of the augmented views."""
    cache: Path
    computing: Computing

    def work(self, view_seed: int | None) -> FeatureWork | OpenFeatureWork:
        """Return the work of a view; for other processes the backbone is written into the cache."""
        if not self.computing.engine.starters:
            return OpenFeatureWork(self.backbone, self.preprocessing, view_seed)
        path = (self.cache / f"backbone-{self.key[:16]}.keras").absolute()
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.stem}.part.keras")
            self.backbone.save(part)
            part.replace(path)
        return FeatureWork(path, self.preprocessing, view_seed)


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
    stage = feature_stage(extractor, split, view)
    computed = run_stage(stage, extractor.computing, _steps(on_batch))
    join_rows(path, computed.files(), shape, "<f4")
    computed.finished.remove()
    return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def feature_stage(extractor: Extractor, split: LabelledPictures, view: int) -> Stage:
    """Return the stage of one view's features: rows of float32 ``(n, channels)``.

    A shard is a batch of the network. Augmentation is seeded by view and shard.
    """
    seed = derived_seed(extractor.seed, "view", view) if view else None
    key = _key(extractor, split, view)

    def job(start: int, stop: int) -> FeatureJob:
        return FeatureJob(pixel_source(split.pictures, start, stop), start)

    return Stage(
        title=f"features of view {view}",
        key=key,
        work=extractor.work(seed),
        items=len(split),
        job=job,
        folder=extractor.cache / "features" / key,
        shard=INFERENCE_BATCH,
    )


def _steps(on_batch: Callable[[int], None]) -> Callable[[int, int], None]:
    """Return a count of all pictures that tells the number since its last call."""
    before = 0

    def count(done: int, _: int) -> None:
        nonlocal before
        if done > before:
            on_batch(done - before)
        before = done

    return count


_METHOD = 2
"""Raise it when the same inputs begin to give other features."""


def _key(extractor: Extractor, split: LabelledPictures, view: int) -> str:
    augmented = derived_seed(extractor.seed, "view", view) if view else None
    text = repr(
        (
            extractor.key,
            extractor.preprocessing,
            split.key,
            split.pictures.shape,
            augmented,
            _METHOD,
        )
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
