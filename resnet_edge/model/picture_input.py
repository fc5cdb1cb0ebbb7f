"""A classifier's input: brought to RGB pictures of one size, or refused with advice."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from resnet_edge.errors import ModelError, UsageError

GREY_OF_RGB = (0.299, 0.587, 0.114)
"""Weights of the channels in a grey level: ITU-R BT.601, as in Pillow's ``convert("L")``, which
``keras.utils.load_img(color_mode="grayscale")`` calls."""

GREY_LAYER = "rgb_to_grey"
"""Name of the layer that weighs the channels."""

MAX_PIXELS = 1 << 26
"""Most pixels of one picture that are computed with."""


@dataclass(frozen=True)
class PictureInput:
    """A network that takes RGB pictures.

    Attributes:
        model: ``(batch, height, width, 3)`` float32 in, of fixed height and width.
        grey: True if the network itself sees one channel.
        notes: A sentence for each thing that was put in front.
    """

    model: keras.Model
    grey: bool
    notes: tuple[str, ...] = ()


def take_pictures(
    model: keras.Model, path: str, size: tuple[int, int] | None = None
) -> PictureInput:
    """Bring a network's input to RGB pictures of one size.

    A network of grey pictures gets a fixed convolution in front that weighs the three channels.

    Args:
        model: A functional or sequential network of one input.
        path: Its file, for messages.
        size: Height and width of the pictures, for a network that leaves them free.

    Raises:
        ModelError: It takes something else than pictures.
        UsageError: It takes pictures of any size and none is given, or of another size.
    """
    got = tuple(model.inputs[0].shape)
    shape = _picture_shape(got, path)
    height, width = (
        own or asked for own, asked in zip(shape[:2], size or (None, None), strict=True)
    )
    if height is None or width is None:
        raise UsageError(
            f"{path}: takes pictures of any size ({_words(got)}); expected one size, which "
            "exported files have; pass --image-size PIXELS, the size that it was trained at"
        )
    if size is not None and (height, width) != size:
        raise UsageError(
            f"{path}: takes pictures of {height}x{width} pixels (height x width); got "
            f"--image-size {size[0]}; leave the option out"
        )
    if height * width > MAX_PIXELS:
        raise ModelError(
            f"{path}: takes pictures of {height}x{width} pixels; expected at most {MAX_PIXELS:,} "
            "pixels; this is no network for a device"
        )
    if shape[2] == 3 and len(got) == 4:
        return PictureInput(at_shape(model, (height, width, 3)), grey=False)
    fixed = at_shape(model, (height, width, 1)[: len(got) - 1])
    return PictureInput(_behind_grey(fixed, height, width), True, (_GREY_NOTE,))


_GREY_NOTE = "it takes grey pictures: the exported files take RGB and weigh the channels inside"


def _picture_shape(got: tuple[int | None, ...], path: str) -> tuple[int | None, ...]:
    """Return height, width and channels, the latter 1 or 3."""
    shape = (*got[1:], 1) if len(got) == 3 else got[1:]
    if len(shape) == 3 and shape[2] in (1, 3):
        return shape
    if len(shape) == 3 and shape[0] in (1, 3):
        hint = "it has its channels first: build it with data_format 'channels_last'"
    elif len(shape) == 3 and shape[2] is None:
        hint = "build it with keras.Input((height, width, 3)) and save it again"
    else:
        hint = "pictures are RGB or grey: build it for 3 channels or 1 and save it again"
    raise ModelError(
        f"{path}: input is {_words(got)}; expected (batch, height, width, 3), or 1 channel; {hint}"
    )


def at_shape(model: keras.Model, shape: tuple[int, ...]) -> keras.Model:
    """Give a network a free batch and fixed picture sides.

    Args:
        model: A functional or sequential network of one input.
        shape: Height, width and channels; the network's own wherever it has them fixed.

    Returns:
        The model itself where it is so already, else a copy. Its input is float32.
    """
    given = model.inputs[0]
    if tuple(given.shape) == (None, *shape) and given.dtype == "float32":
        return model
    image = keras.Input(shape, name=given.name, dtype="float32")
    clone = keras.models.clone_model(model, input_tensors=image)
    clone.set_weights(model.get_weights())
    return clone


def _behind_grey(model: keras.Model, height: int, width: int) -> keras.Model:
    image = keras.Input((height, width, 3), dtype="float32")
    weigh = layers.Conv2D(1, 1, use_bias=False, name=GREY_LAYER, dtype="float32")
    grey = weigh(image)
    weigh.set_weights([np.array(GREY_OF_RGB, np.float32).reshape(1, 1, 3, 1)])
    if len(model.inputs[0].shape) == 3:
        grey = layers.Reshape((height, width), dtype="float32")(grey)
    return keras.Model(image, model(grey), name=model.name)


def _words(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in shape)})"
