"""The one way from a picture file to the pixels a model sees.

Training, calibration, evaluation, every runtime and the device decode and resize here, so that all
of them see the same bytes. It is the only module of ``ondevice`` that needs Pillow.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from resnet_edge.errors import PictureError
from resnet_edge.ondevice.files import StrPath
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.picture_kinds import EXPECTED, PictureKind, foreign_words, recognise

Pixels = npt.NDArray[np.uint8]

MAX_PIXELS = 1 << 27
"""Largest picture that is decoded: 134 megapixels, 512 MiB while in memory. That holds the 108
megapixels of some phones and keeps out a decompression bomb, a few bytes that claim to be 50,000 x
50,000 pixels."""

MAX_FILE_BYTES = 1 << 29
"""Largest picture file that is read: 512 MiB, an uncompressed picture of ``MAX_PIXELS``."""

ADVICE = "; delete it or pass --skip-unreadable"
"""The end of every message about an unusable picture."""

_READERS: dict[PictureKind, type[ImageFile.ImageFile]] = {
    PictureKind.JPEG: JpegImageFile,
    PictureKind.PNG: PngImageFile,
    PictureKind.WEBP: WebPImageFile,
    PictureKind.TIFF: TiffImageFile,
    PictureKind.BMP: BmpImageFile,
    PictureKind.GIF: GifImageFile,
}
_MAX_16_BIT = 65535
_REDUCED = (128, 128)
_SUBFILE_TAG, _DNG_TAG = 254, 50706  # TIFF 6.0, NewSubfileType; DNG 1.0, DNGVersion
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


def decode_picture(path: StrPath, size: tuple[int, int], fit: Fit = Fit.CROP) -> Pixels:
    """Read a picture file and bring it to a size.

    Args:
        path: A picture of any ``PictureKind``; its content counts, not its name.
        size: Height and width in pixels.
        fit: The treatment of other proportions.

    Returns:
        uint8 array (height, width, 3), RGB, range [0, 255].

    Raises:
        PictureError: The file cannot be read or is not a picture that can be decoded.
    """
    path = Path(path)
    return decode_bytes(read_picture(path, path.name), path.name, size, fit)


def decode_bytes(data: bytes, name: str, size: tuple[int, int], fit: Fit = Fit.CROP) -> Pixels:
    """Decode a picture's bytes and bring it to a size.

    The first frame is taken, turned upright by its EXIF orientation. Grey, palette and CMYK become
    RGB, transparent parts white. 16-bit grey is scaled to 8 bits with rounding; of 16-bit colour
    Pillow keeps the upper byte, at most one level away from that. Of an HEIC the main picture is
    taken; colour profiles are not applied.

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


def check_bytes(data: bytes, name: str) -> Image.Image:
    """Decode a picture's bytes to their end: a truncated file is found only so.

    A JPEG is decoded at up to an eighth of its size, which reads all of it in a fraction of the
    time.

    Returns:
        The upright RGB picture; of a JPEG a smaller one, with at least 128 pixels a side where it
        has as many.

    Raises:
        PictureError: It is not a picture that can be decoded.
    """
    return _decode(data, name, reduced=True)


def longer_side(data: bytes, name: str) -> int:
    """Return a picture's width or height in pixels, whichever is more, by its header.

    Raises:
        PictureError: It is not a picture, or its header is damaged.
    """
    return max(_header_size(data, name))


def pixel_count(data: bytes, name: str) -> int:
    """Return a picture's width times its height in pixels, by its header.

    Raises:
        PictureError: It is not a picture, or its header is damaged.
    """
    width, height = _header_size(data, name)
    return width * height


def _header_size(data: bytes, name: str) -> tuple[int, int]:
    kind, opener = _recognise(data, name)
    try:
        return opener(BytesIO(data)).size
    except Exception as problem:
        raise _damaged(name, kind, problem) from problem


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
            raise PictureError(f"{name}: not a regular file; {EXPECTED}", ADVICE)
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
        raise PictureError(f"{name}: 0 bytes; {EXPECTED}", ADVICE)
    return data


def _decode(data: bytes, name: str, *, reduced: bool = False) -> Image.Image:
    """Return the upright RGB picture; every error of Pillow becomes a ``PictureError``."""
    kind, opener = _recognise(data, name)
    try:
        image = opener(BytesIO(data))
        _check_size(image.size, name)
        if isinstance(image, TiffImageFile):
            _check_tiff(image, name)
        if reduced and kind is PictureKind.JPEG:
            image.draft("RGB", _REDUCED)
        image.load()
        upright = _UPRIGHT.get(_orientation(image))
        rgb = _rgb(image, name)
        return rgb if upright is None else rgb.transpose(upright)
    except (PictureError, MemoryError):
        raise
    except Exception as problem:
        raise _damaged(name, kind, problem) from problem


def _damaged(name: str, kind: PictureKind, problem: Exception) -> PictureError:
    """The error for whatever a damaged file led Pillow's reader to raise."""
    words = str(problem) or type(problem).__name__
    what = "truncated" if "truncated" in words.lower() else "damaged or truncated"
    return PictureError(
        f"{name}: {what} {kind.value} ({words}); expected a whole file; copy it again",
        ADVICE,
    )


def _check_tiff(image: TiffImageFile, name: str) -> None:
    """Refuse what a camera's raw file gives: its first picture is a small preview."""
    tags = image.tag_v2
    if _DNG_TAG in tags or (isinstance(kind := tags.get(_SUBFILE_TAG, 0), int) and kind & 1):
        raise PictureError(
            f"{name}: not a picture but a camera's raw file, which holds a preview; {EXPECTED}",
            ADVICE,
        )


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"{name}: {width:,} x {height:,} pixels by its header, not decoded; "
            f"expected at most {MAX_PIXELS:,} pixels; make it smaller",
            ADVICE,
        )


def _recognise(data: bytes, name: str) -> tuple[PictureKind, type[ImageFile.ImageFile]]:
    # The readers are called directly: Image.open would judge the size itself, and warn.
    kind = recognise(data)
    if kind is None:
        raise PictureError(f"{name}: not a picture but {foreign_words(data)}; {EXPECTED}", ADVICE)
    if kind is PictureKind.AVIF:
        return kind, _avif_reader(name)
    if kind is PictureKind.HEIC:
        return kind, _heic_reader(name)
    return kind, _READERS[kind]


def _avif_reader(name: str) -> type[ImageFile.ImageFile]:
    """Return Pillow's own reader, which it has since 11.3 and on most systems."""
    try:
        from PIL.AvifImagePlugin import SUPPORTED, AvifImageFile
    except ImportError:
        SUPPORTED = False  # noqa: N806 - Pillow's name
    if not SUPPORTED:
        raise PictureError(
            f"{name}: an AVIF, which Pillow {PIL.__version__} cannot read here; expected 11.3 or "
            "later; run `pip install -U pillow`",
            ADVICE,
        )
    return AvifImageFile


def _heic_reader(name: str) -> type[ImageFile.ImageFile]:
    try:
        from pillow_heif import HeifImageFile
    except ImportError as problem:
        raise PictureError(
            f"{name}: an HEIC, which pillow-heif reads, and that is not installed; "
            "run `pip install pillow-heif`",
            ADVICE,
        ) from problem
    reader: type[ImageFile.ImageFile] = HeifImageFile
    return reader


def _orientation(image: ImageFile.ImageFile) -> int:
    """Return the EXIF orientation; EXIF that is damaged counts as none, as in every viewer."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def _rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _from_16_bit(image, name)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _from_16_bit(image: Image.Image, name: str) -> Image.Image:
    # Pillow's own conversion to 8 bits clips at 255: nearly every pixel would be white.
    pixels = np.asarray(image)
    if pixels.dtype.kind == "f" or pixels.min() < 0 or pixels.max() > _MAX_16_BIT:
        raise PictureError(
            f"{name}: pixels from {pixels.min():g} to {pixels.max():g} ({pixels.dtype}), of which "
            "nobody can say what is white; expected 8 or 16 bits a channel; convert it",
            ADVICE,
        )
    values = pixels.astype(np.uint32)
    grey = ((values * 255 + _MAX_16_BIT // 2) // _MAX_16_BIT).astype(np.uint8)
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
