"""The test pictures that go to a device, with the reference's answers to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from resnet_edge.devices.bundle_sample import choose_sample
from resnet_edge.display import Display
from resnet_edge.errors import UsageError
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.reference_file import Reference
from resnet_edge.options import Options
from resnet_edge.steps.evaluation import load_test_pixels


def sample_places(
    options: Options, reference: Reference, artifact: Artifact, display: Display
) -> npt.NDArray[np.int64]:
    """Return the places of the sample's pictures in the reference; none without a test split."""
    total = len(reference.classes)
    if not total:
        display.warn(
            "no test pictures: the device can check no accuracy; pass --test DIR to "
            "`resnet-edge reference`"
        )
        return np.zeros(0, np.int64)
    height, width = artifact.sidecar.image_size
    fitting = options.bundle.max_bytes // (height * width * 3)
    if not fitting:
        raise UsageError(
            f"--max-bytes: got {options.bundle.max_bytes}; expected at least "
            f"{height * width * 3}, one picture of {height} x {width}"
        )
    places = choose_sample(reference, min(options.bundle.images, fitting))
    if without := len(set(reference.classes.tolist())) - len(set(reference.classes[places])):
        display.warn(
            f"{len(places)} pictures for the device: {without} classes have none; "
            "raise --images or --max-bytes of `resnet-edge bundle` or `resnet-edge browser`"
        )
    return places


def sample_answers(reference: Reference, places: npt.NDArray[np.int64]) -> Reference:
    """Return the part of the reference that is of the sample."""
    info = reference.info
    return replace(
        reference,
        info=replace(
            info,
            pictures=tuple(info.pictures[place] for place in places.tolist()),
            hashes=tuple(info.hashes[place] for place in places.tolist()),
        ),
        probabilities=reference.probabilities[places],
        logits=reference.logits[places],
        classes=reference.classes[places],
    )


def sample_pixels(
    options: Options,
    reference: Reference,
    artifact: Artifact,
    places: npt.NDArray[np.int64],
    display: Display,
) -> npt.NDArray[np.uint8]:
    """Return the sample's pixels, ``(n, height, width, 3)``."""
    if not len(places):
        return np.zeros((0, *artifact.sidecar.image_size, 3), np.uint8)
    pictures, _ = load_test_pixels(options, reference, artifact, display)
    return pictures[places]
