"""The one way from a picture file to the pixels a model sees.

Training, calibration, evaluation, every runtime and the device decode and resize here, so that all
of them see the same bytes. It is the only module of ``ondevice`` that needs Pillow.
"""

from __future__ import annotations

import codecs
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from resnet_edge.errors import PictureError
from resnet_edge.ondevice.fit import Fit

Pixels = npt.NDArray[np.uint8]

MAX_PIXELS = 1 << 27
"""Largest picture that is decoded: 134 megapixels, 512 MiB while in memory. That holds the 108
megapixels of some phones and keeps out a decompression bomb, a few bytes that claim to be 50,000 x
50,000 pixels."""

MAX_FILE_BYTES = 1 << 29
"""Largest picture file that is read: 512 MiB, an uncompressed picture of ``MAX_PIXELS``."""

ADVICE = "; delete it or pass --skip-unreadable"
"""The end of every message about an unusable picture."""

_EXPECTED = "expected a JPEG, PNG, WebP, BMP or GIF"
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that undoes each EXIF orientation (EXIF 2.32, tag 0x0112)."""


def decode_picture(path: Path, size: tuple[int, int], fit: Fit = Fit.CROP) -> Pixels:
    """Read a picture file and bring it to a size.

    Args:
        path: A JPEG, PNG, WebP, BMP or GIF; its content counts, not its name.
        size: Height and width in pixels.
        fit: The treatment of other proportions.

    Returns:
        uint8 array (height, width, 3), RGB, range [0, 255].

    Raises:
        PictureError: The file cannot be read or is not a picture that can be decoded.
    """
    return decode_bytes(read_picture(path, path.name), path.name, size, fit)


def decode_bytes(data: bytes, name: str, size: tuple[int, int], fit: Fit = Fit.CROP) -> Pixels:
    """Decode a picture's bytes and bring it to a size.

    The first frame is taken, turned upright by its EXIF orientation. Grey, palette and CMYK become
    RGB, transparent parts white. 16-bit grey is scaled to 8 bits with rounding; of 16-bit colour
    Pillow keeps the upper byte, at most one level away from that.

    Args:
        data: Content of the file.
        name: The picture's name in messages.
        size: Height and width in pixels.
        fit: The treatment of other proportions.

    Returns:
        uint8 array (height, width, 3), RGB, range [0, 255].

    Raises:
        PictureError: It is not a picture that can be decoded.
    """
    return np.array(_fit(_decode(data, name), name, size, fit))


def check_bytes(data: bytes, name: str) -> None:
    """Decode a picture's bytes whole and forget the pixels: a truncated file is found only so.

    Raises:
        PictureError: It is not a picture that can be decoded.
    """
    _decode(data, name)


def longer_side(data: bytes, name: str) -> int:
    """Return a picture's width or height in pixels, whichever is more, by its header.

    Raises:
        PictureError: It is not a picture, or its header is damaged.
    """
    kind, opener = _recognise(data, name)
    try:
        return max(opener(BytesIO(data)).size)
    except Exception as problem:  # as in _decode
        raise PictureError(
            f"{name}: damaged {kind} ({problem}); expected a whole file; copy it again{ADVICE}"
        ) from problem


def read_picture(path: Path, name: str) -> bytes:
    """Read a picture file whole.

    Args:
        path: The file.
        name: Its name in messages.

    Raises:
        PictureError: It cannot be read, is empty or absurdly large.
    """
    try:
        size_bytes = path.stat().st_size
        if not path.is_file():
            raise PictureError(f"{name}: not a regular file; {_EXPECTED}", ADVICE)
        if size_bytes > MAX_FILE_BYTES:
            raise PictureError(
                f"{name}: {size_bytes:,} bytes; expected at most {MAX_FILE_BYTES:,}", ADVICE
            )
        data = path.read_bytes()
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise PictureError(
            f"{name}: cannot be read ({reason}); check that it is there and its permissions", ADVICE
        ) from problem
    if not data:
        raise PictureError(f"{name}: 0 bytes; {_EXPECTED}", ADVICE)
    return data


def _decode(data: bytes, name: str) -> Image.Image:
    """Return the upright RGB picture; every error of Pillow becomes a ``PictureError``."""
    kind, opener = _recognise(data, name)
    try:
        image = opener(BytesIO(data))
        _check_size(image.size, name)
        image.load()
        upright = _UPRIGHT.get(_orientation(image))
        rgb = _rgb(image)
        return rgb if upright is None else rgb.transpose(upright)
    except (PictureError, MemoryError):
        raise
    except Exception as problem:  # Pillow's readers raise whatever a damaged file leads them to
        words = str(problem) or type(problem).__name__
        what = "truncated" if "truncated" in words.lower() else "damaged or truncated"
        raise PictureError(
            f"{name}: {what} {kind} ({words}); expected a whole file; copy it again",
            ADVICE,
        ) from problem


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"{name}: {width:,} x {height:,} pixels by its header, not decoded; "
            f"expected at most {MAX_PIXELS:,} pixels; make it smaller",
            ADVICE,
        )


def _recognise(data: bytes, name: str) -> tuple[str, type[ImageFile.ImageFile]]:
    # The readers are called directly: Image.open would judge the size itself, and warn.
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG", JpegImageFile
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG", PngImageFile
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP", WebPImageFile
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF", GifImageFile
    if data.startswith(b"BM"):
        return "BMP", BmpImageFile
    raise PictureError(f"{name}: not a picture but {_foreign(data)}; {_EXPECTED}", ADVICE)


def _foreign(data: bytes) -> str:
    if data.startswith((b"II*\0", b"MM\0*")):
        return "a TIFF"
    if data[4:8] == b"ftyp":
        return "an HEIC, AVIF or video file"
    if not any(data):
        return f"{len(data):,} zero bytes"
    try:
        # Incremental: a character cut in two by the end of the sample is no error.
        text = codecs.getincrementaldecoder("utf-8")().decode(data[:512])
    except UnicodeDecodeError:
        return "a file of another kind"
    printable = all(c.isprintable() or c in "\t\r\n\f" for c in text)
    return "a text file" if printable and text else "a file of another kind"


def _orientation(image: ImageFile.ImageFile) -> int:
    """Return the EXIF orientation; EXIF that is damaged counts as none, as in every viewer."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _from_16_bit(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    # Pillow's own conversion to 8 bits clips at 255: nearly every pixel would be white.
    values = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
    grey = ((values * 255 + 32767) // 65535).astype(np.uint8)
    if isinstance(transparent := image.info.get("transparency"), int):
        grey[values == transparent] = 255
    return Image.fromarray(grey)


def _fit(image: Image.Image, name: str, size: tuple[int, int], fit: Fit) -> Image.Image:
    height, width = size
    if fit is Fit.STRETCH:
        return _resize(image, width, height)
    if fit is Fit.CROP:
        return _crop(image, name, width, height)
    scale = min(width / image.width, height / image.height)
    inner = _resize(
        image,
        min(width, max(1, round(image.width * scale))),
        min(height, max(1, round(image.height * scale))),
    )
    canvas = Image.new("RGB", (width, height))
    canvas.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))
    return canvas


def _crop(image: Image.Image, name: str, width: int, height: int) -> Image.Image:
    scale = max(width / image.width, height / image.height)
    covering = (
        max(width, round(image.width * scale)),
        max(height, round(image.height * scale)),
    )
    if covering[0] * covering[1] > MAX_PIXELS:
        raise PictureError(
            f"{name}: {image.width:,} x {image.height:,} pixels, too thin to be cropped to "
            f"{width} x {height}; crop it by hand or choose another fit",
            ADVICE,
        )
    resized = _resize(image, *covering)
    left, top = (resized.width - width) // 2, (resized.height - height) // 2
    return resized.crop((left, top, left + width, top + height))


def _resize(image: Image.Image, width: int, height: int) -> Image.Image:
    # reducing_gap would first shrink by whole pixels: faster, and other bytes.
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=None)
