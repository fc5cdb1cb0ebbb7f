"""One picture: read, hashed, decoded to its end, and looked at."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import imagehash
import numpy as np
import PIL
from PIL import Image

from resnet_edge.data.checked_files import KnownLooks
from resnet_edge.data.listing import Candidate
from resnet_edge.data.places import read_place
from resnet_edge.data.workers import room_for
from resnet_edge.errors import PictureError
from resnet_edge.ondevice.pictures import check_bytes
from resnet_edge.ondevice.versions import installed_version

_ONE_COLOUR = 3.0
"""Standard deviation of grey levels up to which a picture counts as of one colour."""


@dataclass(frozen=True)
class Verdict:
    """What a check found."""

    sha256: str
    """Hash of the file's bytes; empty where there is a defect."""
    look: str
    """Its perceptual hash, hexadecimal; empty for a picture of one colour."""
    problem: str = ""
    """The defect, as ``name: reason``; empty for a sound picture."""


def check_picture(candidate: Candidate, looks: KnownLooks) -> Verdict:
    """Read a picture and decode it to its end.

    Args:
        candidate: Its place and name.
        looks: What is known already.
    """
    try:
        data = read_place(candidate.place, candidate.name)
        sha256 = hashlib.sha256(data).hexdigest()
        look = looks.get(sha256)
        if look is None:
            with room_for(data, candidate.name):
                look = look_of(check_bytes(data, candidate.name))
    except PictureError as problem:
        return Verdict("", "", problem.reason)
    return Verdict(sha256, look)


def decoder() -> str:
    """Return the packages that decode and their versions, for names of files in the cache."""
    heif = installed_version("pillow-heif")
    return f"pillow-{PIL.__version__}" + (f"-heif-{heif}" if heif else "")


def checker() -> str:
    """Return the packages that check pictures, and their versions."""
    return f"{decoder()}-imagehash-{installed_version('imagehash')}"


def look_of(picture: Image.Image) -> str:
    """Return a perceptual hash: the signs of the lowest frequencies of the picture in grey.

    Of copies that were scaled or compressed again two of three and more have the same one; of
    different photos nearly none (``docs/benchmarks.md``).
    """
    grey = picture.convert("L").resize((32, 32), Image.Resampling.BILINEAR)
    if np.asarray(grey).std() <= _ONE_COLOUR:
        return ""
    return str(imagehash.phash(grey))
