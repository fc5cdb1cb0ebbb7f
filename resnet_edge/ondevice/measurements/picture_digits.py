"""What is known of each test picture, as digits of a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BITS = ("right", "reference_right", "agrees")
"""Fields of ``PictureAnswers`` with a bit per picture."""
TOP5_BITS = ("top5", "reference_top5")
"""Fields of ``PictureProbabilities`` with a bit per picture."""
SHARES = ("confidence", "reference_confidence", "reference_margin")
"""Those with four digits per picture."""


@dataclass(frozen=True)
class PictureAnswers:
    """The right answers, picture by picture: verdicts and paired comparisons need nothing else.

    The pictures are in the order of their hashes and labels, so that the records of two builds can
    be laid side by side. The other three have a bit per picture, in hexadecimal, the first picture
    first, and zeros up to the next whole byte.
    """

    pictures_sha256: str
    """A hash over the pictures' hashes and labels: equal if two records have the same pictures."""
    right: str
    """Pictures that the artifact has right."""
    reference_right: str
    """Pictures that the reference has right."""
    agrees: str
    """Pictures to which both give the same answer."""

    def __post_init__(self) -> None:
        _check_hexadecimal({name: getattr(self, name) for name in BITS})

    def check_count(self, images: int) -> None:
        """Refuse records that are not of so many pictures.

        Raises:
            ValueError: There are more or fewer bits, or the bits that fill the last byte are not 0.
        """
        _check_bits("answers", {name: getattr(self, name) for name in BITS}, images)


@dataclass(frozen=True)
class PictureProbabilities:
    """The probabilities behind the answers, in the order of ``PictureAnswers``.

    The first three have four hexadecimal digits per picture, a probability in steps of 1 / 65535:
    finer than any figure that is made of them, and a quarter of a float's text. The last two have a
    bit per picture, like ``PictureAnswers``.
    """

    confidence: str
    """The probability of the artifact's answer."""
    reference_confidence: str
    """The probability of the reference's answer."""
    reference_margin: str
    """The reference's largest probability minus its second largest."""
    top5: str
    """Pictures whose class is among the artifact's five most probable."""
    reference_top5: str
    """The same of the reference."""

    def __post_init__(self) -> None:
        _check_hexadecimal({name: getattr(self, name) for name in (*SHARES, *TOP5_BITS)})

    def check_count(self, images: int) -> None:
        """Refuse records that are not of so many pictures.

        Raises:
            ValueError: There are more or fewer digits, or the bits that fill the last byte are
                not 0.
        """
        shares = {name: getattr(self, name) for name in SHARES}
        _check_lengths("probabilities", shares, 4 * images, images)
        _check_bits("probabilities", {name: getattr(self, name) for name in TOP5_BITS}, images)


def _check_hexadecimal(fields: Mapping[str, str]) -> None:
    for name, digits in fields.items():
        if len(digits) % 2 or not set(digits) <= set("0123456789abcdef"):
            raise ValueError(f"{name}: got {digits[:16]!r}; expected whole bytes in hexadecimal")


def _check_lengths(where: str, fields: Mapping[str, str], wanted: int, images: int) -> None:
    for name, digits in fields.items():
        if len(digits) != wanted:
            raise ValueError(
                f"{where}: {name}: {len(digits)} hexadecimal digits; expected {wanted} for "
                f"{images} pictures"
            )


def _check_bits(where: str, fields: Mapping[str, str], images: int) -> None:
    wanted = 2 * -(-images // 8)
    _check_lengths(where, fields, wanted, images)
    for name, bits in fields.items():
        if int(bits or "0", 16) % (1 << (4 * wanted - images)):
            raise ValueError(f"{where}: {name}: marks more than {images} pictures")
