"""The input normalization that a network expects, computed inside the exported graph.

A network sees ``(x' - offset) * scale``. Here ``x'`` is raw RGB in [0, 255], or BGR with
``reverse_channels``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preprocessing:
    """One of the field's input normalizations."""

    name: str
    reverse_channels: bool
    """True if the network expects BGR."""
    offset: tuple[float, float, float]
    """Subtracted from each channel, in levels of [0, 255], in the network's channel order."""
    scale: tuple[float, float, float]
    """Multiplied afterwards, in the network's channel order."""
    picture_size: tuple[int, int] | None = None
    """Height and width if the offset is stored for every pixel, else None.

    Runtimes subtract a whole picture several times as fast as three numbers that they repeat.
    """

    def apply(self, pictures: Any) -> Any:  # noqa: ANN401 - any backend's array or a KerasTensor
        """Normalize pictures.

        Args:
            pictures: Raw RGB in [0, 255], float32, ``(..., 3)``; an array of NumPy or of any Keras
                backend, or a symbolic tensor.

        Returns:
            The input of the network, float32, of the same shape.
        """
        if self.reverse_channels:
            pictures = _reverse_channels(pictures)
        import numpy as np  # late: the command line reads the names without it

        if any(self.offset):
            offset = np.asarray(self.offset, np.float32)
            if self.picture_size is not None:
                offset = np.tile(offset, (*self.picture_size, 1))
            pictures = pictures - offset
        if any(factor != 1.0 for factor in self.scale):
            pictures = pictures * np.asarray(self.scale, np.float32)
        return pictures


def _reverse_channels(pictures: Any) -> Any:  # noqa: ANN401
    import numpy as np

    if isinstance(pictures, np.ndarray):
        return pictures[..., ::-1]
    import keras  # late: NumPy arrays need no Keras

    if keras.backend.backend() == "torch":  # it has no slices with a negative step
        return keras.ops.flip(pictures, axis=-1)
    return pictures[..., ::-1]  # one operator that every converter and quantizer knows


_IMAGENET_RGB_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
_IMAGENET_RGB_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
_ONE = (1.0, 1.0, 1.0)

PREPROCESSINGS = {
    p.name: p
    for p in (
        # Modes and constants as in keras.applications.imagenet_utils.preprocess_input.
        Preprocessing("caffe", True, (103.939, 116.779, 123.68), _ONE),
        Preprocessing(
            "torch",
            False,
            _IMAGENET_RGB_MEAN,
            (1 / _IMAGENET_RGB_STD[0], 1 / _IMAGENET_RGB_STD[1], 1 / _IMAGENET_RGB_STD[2]),
        ),
        Preprocessing("tf", False, (127.5, 127.5, 127.5), (1 / 127.5, 1 / 127.5, 1 / 127.5)),
        Preprocessing("unit", False, (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
        Preprocessing("none", False, (0.0, 0.0, 0.0), _ONE),
    )
}
"""The normalizations by the name that ``--preprocessing`` takes."""
