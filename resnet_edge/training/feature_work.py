"""The features of one shard of pictures, in whatever process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from converters.preprocessing import Preprocessing
from resnet_edge.data.pixel_source import PixelSource
from resnet_edge.errors import ModelError
from resnet_edge.ondevice.versions import version_of
from resnet_edge.scale.arrays import rows_of
from resnet_edge.scale.shared_files import shared_file
from resnet_edge.scale.stage import Made, Make

if TYPE_CHECKING:
    import keras

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FeatureJob:
    """One shard."""

    source: PixelSource
    start: int
    """Place of its first picture among all; seeds the augmentation."""


@dataclass(frozen=True)
class OpenFeatureWork:
    """A backbone that is loaded in this process."""

    backbone: keras.Model
    preprocessing: Preprocessing
    seed: int | None
    """Of an augmented view; None for the plain pictures."""

    def open(self) -> Make:
        """Compile the backbone."""
        import tensorflow as tf

        # One graph for each size of a batch: a graph for any size rounds and varies otherwise.
        forward = tf.function(lambda batch: self.backbone(batch, training=False))
        vary = None if self.seed is None else _variation(self.seed)
        maker = ", ".join(f"{name} {version_of(name)}" for name in ("keras", "tensorflow"))

        def make(job: FeatureJob) -> Made:
            levels: Floats = job.source.pixels().astype(np.float32)
            if vary is not None:
                levels = vary(levels, job.start)
            features = forward(self.preprocessing.apply(levels)).numpy().astype("<f4")
            self._check(features, job.start)
            return Made(rows_of(features), maker)

        return make

    def _check(self, features: Floats, start: int) -> None:
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            bad = start + int(np.flatnonzero(~finite)[0])
            raise ModelError(
                f"{self.backbone.name}: the backbone answers NaN or infinity for picture "
                f"{bad}; expected finite features; check the weights and --preprocessing"
            )


@dataclass(frozen=True)
class FeatureWork:
    """A backbone in a file."""

    backbone: Path
    """``.keras``; absolute, the same on all machines."""
    preprocessing: Preprocessing
    seed: int | None

    def open(self) -> Make:
        """Load the backbone.

        Raises:
            DataError: The file is not there.
        """
        import keras

        model = keras.saving.load_model(shared_file(self.backbone), compile=False)
        return OpenFeatureWork(model, self.preprocessing, self.seed).open()


def _variation(seed: int) -> Callable[[Floats, int], Floats]:
    """Return a function that varies pictures by its seed and their place alone."""
    import tensorflow as tf

    from resnet_edge.training.augmentation import augmentation
    from resnet_edge.training.seeds import derived_seed

    layers = augmentation(seed)
    run = tf.function(lambda batch: layers(batch, training=True))

    def vary(levels: Floats, start: int) -> Floats:
        for number, layer in enumerate(layers.layers):
            state = [derived_seed(seed, "shard", start), number]
            layer.generator.state.assign(np.array(state, np.uint32))
        varied: Floats = run(levels).numpy()
        return varied

    return vary
