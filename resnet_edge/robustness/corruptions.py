"""The corruptions by their names, and the option that chooses among them.

Their pixels come from ``resnet_edge.robustness.corrupting``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from resnet_edge.ondevice.formats.names import parse_names
from resnet_edge.ondevice.option import Names, check_options, option


class Corruption(enum.Enum):
    """A way in which pictures on a device differ from those that the model was tested with."""

    DARK = "dark"
    BLUR = "blur"
    NOISE = "noise"
    JPEG = "jpeg"
    ROTATION = "rotation"

    @property
    def words(self) -> str:
        """The corruption and its strength, in words."""
        return _WORDS[self]


STOPS = 3
"""Stops of exposure that ``dark`` takes away; each halves the light."""

BLUR_SIGMA, BLUR_SIDE = 2.0, 224
"""Standard deviation of ``blur`` in pixels, for a picture of this side."""

NOISE_SHARE = 0.08
"""Standard deviation of ``noise``, as a share of the range of pixels."""

JPEG_QUALITY = 10

DEGREES = 10.0

_WORDS = {
    Corruption.DARK: f"1/{2**STOPS} of the light, {STOPS} stops",
    Corruption.BLUR: f"Gaussian, sigma {BLUR_SIGMA:g} pixels of {BLUR_SIDE}",
    Corruption.NOISE: f"Gaussian, sigma {NOISE_SHARE:.0%} of the range of pixels",
    Corruption.JPEG: f"quality {JPEG_QUALITY}",
    Corruption.ROTATION: f"{DEGREES:g} degrees to either side",
}

CORRUPTION_NAMES = tuple(corruption.value for corruption in Corruption)


def parse_corruptions(text: str) -> tuple[str, ...]:
    """Parse ``--corruptions dark,blur``: names, or ``all``, or ``none``.

    Returns:
        Names in the order of ``Corruption``; a name that is unknown stays, at the end.
    """
    names = set(parse_names(text)) - {"none"}
    if "all" in names:
        names = (names - {"all"}) | set(CORRUPTION_NAMES)
    unknown = sorted(names.difference(CORRUPTION_NAMES))
    return (*(name for name in CORRUPTION_NAMES if name in names), *unknown)


@dataclass(frozen=True)
class RobustnessOptions:
    """The corruptions of the test pictures under which files are held against the reference.

    Raises:
        UsageError: There is no corruption of that name.
    """

    corruptions: tuple[str, ...] = option(
        (),
        "Hold the files against the reference on corrupted test pictures too: all, none, or some "
        f"of {', '.join(CORRUPTION_NAMES)}.",
        "Pictures",
        metavar="NAMES",
        within=Names(CORRUPTION_NAMES),
        parse=parse_corruptions,
        show=lambda names: ",".join(names) or "none",
    )

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def chosen(self) -> tuple[Corruption, ...]:
        """The corruptions, each once, in the order of ``Corruption``."""
        return tuple(each for each in Corruption if each.value in self.corruptions)
