"""The side that pictures are brought to: as asked for, else by the weights and the pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data.pictures import Picture
from resnet_edge.data.places import read_place
from resnet_edge.ondevice.pictures import longer_side
from resnet_edge.options import (
    PRETRAINED_IMAGE_SIZE,
    SMALL_IMAGE_SIZE,
    TINY_IMAGE_SIZE,
    Options,
)


@dataclass(frozen=True)
class ImageSize:
    """A side and the reason for it."""

    side: int
    """In pixels; the height where the sides differ."""
    reason: str
    """For people and for ``dataset.json``."""
    width: int | None = None
    """In pixels; None where the sides are equal."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.side, self.width or self.side


def choose_image_size(options: Options, pictures: Iterable[Picture]) -> ImageSize:
    """Choose the side of the network's input.

    Without weights it is 64, and 32 where no picture is larger than that: pixels that a picture
    does not have teach nothing and cost time. With weights it is what they were trained at.

    Args:
        options: The side asked for, and the weights.
        pictures: All of them. They are read up to the first that is larger than 32 pixels.

    Raises:
        PictureError: A picture's header is damaged.
    """
    weights = options.model.weights
    if options.data.image_size is not None:
        return ImageSize(options.data.image_size, "as asked for with --image-size")
    if weights == "none":
        if all(_side(picture) <= TINY_IMAGE_SIZE for picture in pictures):
            return ImageSize(
                TINY_IMAGE_SIZE, f"no picture is larger than {TINY_IMAGE_SIZE} pixels a side"
            )
        return ImageSize(SMALL_IMAGE_SIZE, "the default without pretrained weights")
    path = Path(weights)
    if weights != "imagenet" and path.exists():
        from resnet_edge.model.classifiers import picture_size
        from resnet_edge.model.legacy_files import holds_network

        if holds_network(path) and (size := picture_size(path)):
            height, width = size
            reason = f"the only size that {path.name} takes"
            return ImageSize(height, reason, None if height == width else width)
    return ImageSize(PRETRAINED_IMAGE_SIZE, "the default with pretrained weights")


def _side(picture: Picture) -> int:
    return longer_side(read_place(picture.place, picture.name), picture.name)
