"""The kinds of picture files, told by their first bytes. A file's name says nothing certain."""

from __future__ import annotations

import codecs
import enum


class PictureKind(enum.Enum):
    """A kind of picture file that is decoded, by the name that people know."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"
    AVIF = "AVIF"
    HEIC = "HEIC"
    TIFF = "TIFF"
    BMP = "BMP"
    GIF = "GIF"


EXPECTED = "expected a JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or GIF"

PICTURE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".avifs"),
        *(".heic", ".heif", ".heics", ".heifs", ".hif", ".tif", ".tiff", ".bmp", ".dib", ".gif"),
    }
)
"""Endings of the names of picture files, in lower case."""

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset(
    {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_RAW = (
    *(b"II*\0\x10\0\0\0CR", b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0"),
    *(b"FOVb", b"\0MRM"),
)
"""Starts of cameras' raw files: Canon, Fujifilm, Olympus, Panasonic, Sigma, Minolta."""
_FOREIGN = (
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"8BPS", "a Photoshop file"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip file"),
)


def recognise(data: bytes) -> PictureKind | None:
    """Return the kind of a picture by its first 64 bytes, or None where it is none of them."""
    if data.startswith(b"\xff\xd8\xff"):  # also MPO, which is JPEGs one after another
        return PictureKind.JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PictureKind.PNG
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return PictureKind.WEBP
    if data.startswith((b"GIF87a", b"GIF89a")):
        return PictureKind.GIF
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")) and not data.startswith(_RAW):
        return PictureKind.TIFF
    if data.startswith(b"BM"):
        return PictureKind.BMP
    brands = _brands(data)
    if not brands.isdisjoint(_AVIF_BRANDS):
        return PictureKind.AVIF
    return None if brands.isdisjoint(_HEIC_BRANDS) else PictureKind.HEIC


def foreign_words(data: bytes) -> str:
    """Describe a file that is none of these pictures, for a message."""
    for start, words in _FOREIGN:
        if data.startswith(start):
            return words
    if data.startswith(_RAW) or b"crx " in _brands(data):
        return "a camera's raw file"
    if data[4:8] == b"ftyp":
        return "a video"
    if not any(data):
        return f"{len(data):,} zero bytes"
    try:
        # Incremental: a character cut in two by the end of the sample is no error.
        text = codecs.getincrementaldecoder("utf-8")().decode(data[:512])
    except UnicodeDecodeError:
        return "a file of another kind"
    printable = all(c.isprintable() or c in "\t\r\n\f" for c in text)
    return "a text file" if printable and text else "a file of another kind"


def _brands(data: bytes) -> frozenset[bytes]:
    """The brands of an ISO media file (ISO/IEC 14496-12, ``ftyp``); none of another file."""
    if data[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(data[:4], "big"), 64, len(data))
    listed = [data[at : at + 4] for at in range(16, end - 3, 4)]
    return frozenset([data[8:12], *listed])
