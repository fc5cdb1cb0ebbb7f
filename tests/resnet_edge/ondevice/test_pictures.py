import contextlib
import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from resnet_edge.errors import PictureError
from resnet_edge.ondevice import pictures
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.pictures import check_bytes, decode_bytes, decode_picture

GRADIENT = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height: int = 64, width: int = 64) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True}), ("GIF", {})],
)
def test_lossless_formats_come_back_exactly(kind, options):
    image = Image.fromarray(GRADIENT)
    if kind == "GIF":
        image = image.quantize(256)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(
        decode_bytes(encoded(image, kind, **options), "x", (6, 8)), expected
    )


def test_jpeg_equals_pillows_own_decoding():
    data = encoded(noise(), "JPEG", quality=90)
    expected = np.asarray(Image.open(io.BytesIO(data)))
    got = decode_bytes(data, "x", (64, 64))
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, expected)


def test_content_counts_not_the_name(tmp_path):
    path = tmp_path / "picture.txt"
    path.write_bytes(encoded(Image.fromarray(GRADIENT), "PNG"))
    np.testing.assert_array_equal(decode_picture(path, (6, 8)), GRADIENT)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_is_taken(kind):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert decode_bytes(data, "x", (4, 4))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_exif_orientation(kind, orientation):
    # A 2x3 picture (a b c / d e f) as stored; what each orientation means by EXIF 2.32.
    a, b, c, d, e, f = 10, 20, 30, 40, 50, 60
    upright = {
        1: [[a, b, c], [d, e, f]],
        2: [[c, b, a], [f, e, d]],
        3: [[f, e, d], [c, b, a]],
        4: [[d, e, f], [a, b, c]],
        5: [[a, d], [b, e], [c, f]],
        6: [[d, a], [e, b], [f, c]],
        7: [[f, c], [e, b], [d, a]],
        8: [[c, f], [b, e], [a, d]],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.array([[a, b, c], [d, e, f]], np.uint8)).convert("RGB")
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(stored, kind, exif=exif.tobytes(), **options)
    size = (len(upright), len(upright[0]))
    assert decode_bytes(data, "x", size)[..., 0].tolist() == upright


def test_jpeg_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    left_red = Image.new("RGB", (64, 64), "blue")
    left_red.paste("red", (0, 0, 32, 64))
    got = decode_bytes(encoded(left_red, "JPEG", exif=exif.tobytes()), "x", (64, 64))
    assert got[8, 32, 0] > 200  # left became top
    assert got[56, 32, 0] < 50


def quarters(kind: str, orientation: int) -> tuple[bytes, list[list[int]]]:
    """A picture of four grey quarters (a b / c d) as stored, and those of the upright one."""
    a, b, c, d = 20, 90, 160, 230
    upright = {1: [[a, b], [c, d]], 3: [[d, c], [b, a]], 5: [[a, c], [b, d]], 6: [[c, a], [d, b]],
               8: [[b, d], [a, c]]}[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.array([[a, b], [c, d]], np.uint8)).resize((64, 64), 0)
    return encoded(stored.convert("RGB"), kind, exif=exif.tobytes()), upright


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 8])
@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "HEIF", "MPO"])
def test_orientation_is_applied_once_in_formats_that_turn_by_themselves(kind, orientation):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()  # to write one
    data, upright = quarters(kind, orientation)
    got = decode_bytes(data, "x", (64, 64))[..., 0].astype(int)
    centres = got[16::32, 16::32]
    assert abs(centres - upright).max() < 12, centres


@pytest.mark.parametrize("kind", ["AVIF", "HEIF", "TIFF"])
def test_a_wrong_ending_and_truncation_of_other_formats(kind, tmp_path):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    data = encoded(noise(), kind)
    (tmp_path / "x.jpg").write_bytes(data)
    assert decode_picture(tmp_path / "x.jpg", (8, 8)).std() > 1
    with pytest.raises(PictureError, match=r"x\.jpg: (damaged or )?truncated (AVIF|HEIC|TIFF) \("):
        check_bytes(data[: len(data) // 2], "x.jpg")


def test_an_heic_without_its_package_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PictureError) as caught:
        check_bytes(b"\0\0\0\x18ftypheic" + bytes(20), "IMG_1.HEIC")
    assert caught.value.reason == (
        "IMG_1.HEIC: an HEIC, which pillow-heif reads, and that is not installed; "
        "run `pip install pillow-heif`"
    )


def test_an_avif_without_pillows_reader_says_so(monkeypatch):
    monkeypatch.setattr("PIL.AvifImagePlugin.SUPPORTED", False)
    data = b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif" + bytes(20)
    with pytest.raises(
        PictureError, match=r"a\.avif: an AVIF, which Pillow .* cannot read here; .*"
    ):
        check_bytes(data, "a.avif")


def test_16_bit_tiff_is_scaled_and_not_clipped():
    values = np.array([[0, 128, 129, 256], [257, 1000, 32768, 65535]], np.uint16)
    got = decode_bytes(encoded(Image.fromarray(values), "TIFF"), "x", (2, 4))
    assert got[..., 1].tolist() == [[0, 0, 1, 1], [1, 4, 128, 255]]


@pytest.mark.parametrize(
    "pixels", [np.array([[0.0, 1.0]], np.float32), np.array([[0, 70_000]], np.int32)]
)
def test_pixels_without_a_white_are_refused_and_not_guessed(pixels):
    with pytest.raises(PictureError, match="of which nobody can say what is white; expected 8 or"):
        check_bytes(encoded(Image.fromarray(pixels), "TIFF"), "x")


def test_cmyk_and_pages_of_a_tiff():
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    data = encoded(red, "TIFF", save_all=True, append_images=[Image.new("CMYK", (8, 8))])
    assert decode_bytes(data, "x", (8, 8))[4, 4].tolist() == [255, 0, 0]


def test_the_preview_in_a_raw_file_is_no_picture():
    preview = TiffImagePlugin.ImageFileDirectory_v2()
    preview[254] = 1
    dng = TiffImagePlugin.ImageFileDirectory_v2()
    dng[50706] = b"\1\4\0\0"
    for tags in (preview, dng):
        data = encoded(noise(), "TIFF", tiffinfo=tags)
        with pytest.raises(PictureError, match="not a picture but a camera's raw file, which hold"):
            check_bytes(data, "x.dng")


def test_a_reduced_check_finds_what_the_whole_decoding_finds():
    for progressive in (False, True):
        data = encoded(noise(200, 300), "JPEG", quality=90, progressive=progressive)
        check_bytes(data, "x")
        for share in (0.1, 0.5, 0.97):
            with pytest.raises(PictureError, match="truncated JPEG"):
                check_bytes(data[: int(len(data) * share)], "x")


def test_damaged_exif_counts_as_none():
    data = encoded(Image.new("RGB", (8, 8), "red"), "JPEG", exif=b"Exif\0\0" + b"rubbish" * 5)
    assert decode_bytes(data, "x", (8, 8))[0, 0, 0] > 200


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_and_palette_become_rgb(mode):
    image = Image.new("L", (4, 4), 255).convert(mode)
    assert decode_bytes(encoded(image, "PNG"), "x", (4, 4)).tolist() == [[[255] * 3] * 4] * 4


def test_palette_colours():
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    assert decode_bytes(encoded(image, "PNG"), "x", (2, 2))[0, 0].tolist() == [200, 100, 50]


def test_transparency_is_laid_over_white():
    rgba = Image.fromarray(np.array([[[255, 0, 0, 0], [255, 0, 0, 255]]], np.uint8))
    assert decode_bytes(encoded(rgba, "PNG"), "x", (1, 2)).tolist() == [
        [[255, 255, 255], [255, 0, 0]]
    ]
    half = encoded(Image.new("LA", (1, 1), (0, 128)), "PNG")
    assert decode_bytes(half, "x", (1, 1)).tolist() == [[[127, 127, 127]]]
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    data = encoded(palette, "PNG", transparency=0)
    assert decode_bytes(data, "x", (2, 2)).min() == 255


def test_cmyk():
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # magenta and yellow make red
    red, green, blue = decode_bytes(encoded(cmyk, "JPEG", quality=95), "x", (8, 8))[4, 4].tolist()
    assert red > 240
    assert max(green, blue) < 15


def test_16_bit_grey_is_scaled_and_not_clipped():
    values = np.array([[0, 128, 129, 256], [257, 1000, 32768, 65535]], np.uint16)
    # v * 255 / 65535 is v / 257, rounded.
    expected = [[0, 0, 1, 1], [1, 4, 128, 255]]
    got = decode_bytes(encoded(Image.fromarray(values), "PNG"), "x", (2, 4))
    assert got[..., 0].tolist() == expected
    assert got[..., 2].tolist() == expected


def test_16_bit_colour_is_scaled_and_not_clipped():
    line = b"\0" + struct.pack(">6H", 0, 32768, 65535, 257 * 7, 257 * 100, 257 * 200)
    body = b"IDAT" + zlib.compress(line)
    header = b"IHDR" + struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, body, b"IEND")
    )
    assert decode_bytes(data, "x", (1, 2)).tolist() == [[[0, 128, 255], [7, 100, 200]]]


def test_crop_is_short_side_then_centre():
    image = noise(100, 200)
    whole = image.resize((64, 32), Image.Resampling.BILINEAR)
    expected = np.asarray(whole.crop((16, 0, 48, 32)))
    np.testing.assert_array_equal(decode_bytes(encoded(image, "PNG"), "x", (32, 32)), expected)


def test_stretch_and_pad():
    image = noise(100, 200)
    data = encoded(image, "PNG")
    stretched = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(decode_bytes(data, "x", (32, 32), Fit.STRETCH), stretched)
    padded = decode_bytes(data, "x", (32, 32), Fit.PAD)
    inner = np.asarray(image.resize((32, 16), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(padded[8:24], inner)
    assert padded[:8].max() == padded[24:].max() == 0


@settings(deadline=None, max_examples=60)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    fit=st.sampled_from(Fit),
)
def test_every_shape_comes_out_at_the_size(width, height, size, fit):
    data = encoded(Image.new("RGB", (width, height), "white"), "BMP")
    got = decode_bytes(data, "x", size, fit)
    assert got.shape == (*size, 3)
    if fit is not Fit.PAD:
        assert got.min() == 255


def test_too_thin_to_crop():
    data = encoded(Image.new("RGB", (50_000, 1)), "PNG")
    with pytest.raises(PictureError, match=r"x: 50,000 x 1 pixels, too thin to be cropped to"):
        decode_bytes(data, "x", (224, 224))
    assert decode_bytes(data, "x", (224, 224), Fit.PAD).shape == (224, 224, 3)


def test_empty_file(tmp_path):
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(PictureError) as caught:
        decode_picture(tmp_path / "cat.jpg", (8, 8))
    assert str(caught.value) == (
        "cat.jpg: 0 bytes; expected a JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or GIF; "
        "delete it or pass --skip-unreadable"
    )


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"hello, I am no picture\n", "a text file"),
        (("naïve ünicode " * 100).encode(), "a text file"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(20), "a camera's raw file"),
        (b"\0\0\0\x18ftypcrx " + bytes(20), "a camera's raw file"),
        (b"\0\0\0\x18ftypqt  " + bytes(20), "a video"),
        (b"\0\0\0\x0cJXL \r\n" + bytes(20), "a JPEG XL"),
        (b"%PDF-1.7 " + bytes(20), "a PDF"),
        (bytes(2000), "2,000 zero bytes"),
        (b"\x00\xff\xfe\x80" * 300, "a file of another kind"),
        (b"text first" + b"\xff\x00" * 300, "a file of another kind"),
    ],
)
def test_not_a_picture(data, what):
    expected = (
        f"cat.jpg: not a picture but {what}; expected a JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or "
        "GIF; delete it"
    )
    with pytest.raises(PictureError, match=expected):
        decode_bytes(data, "cat.jpg", (8, 8))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_truncated(kind, share):
    data = encoded(noise(), kind)
    name = "WebP" if kind == "WEBP" else kind
    with pytest.raises(PictureError, match=rf"dog\.jpg: (damaged or )?truncated {name} \("):
        check_bytes(data[: int(len(data) * share)], "dog.jpg")


def test_truncated_jpeg_message():
    data = encoded(noise(), "JPEG")
    with pytest.raises(
        PictureError,
        match=r"^dog\.jpg: truncated JPEG \(image file is truncated.*\); expected a whole file; "
        r"copy it again; delete it or pass --skip-unreadable$",
    ):
        decode_bytes(data[: len(data) // 2], "dog.jpg", (8, 8))


@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF"]),
    at=st.integers(3, 400),
    junk=st.binary(min_size=1, max_size=20),
)
@pytest.mark.filterwarnings("ignore")
def test_damage_never_raises_anything_else(kind, at, junk):
    data = bytearray(encoded(noise(12, 12), kind))
    data[at : at + len(junk)] = junk
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(PictureError):
        patch.setattr(pictures, "MAX_PIXELS", 10_000)
        assert decode_bytes(bytes(data), "x", (8, 8)).shape == (8, 8, 3)


def test_bomb_is_refused_by_its_header(monkeypatch):
    monkeypatch.setattr(
        "PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("it must not be decoded")
    )
    with pytest.raises(PictureError) as caught:
        check_bytes(png_header(50_000, 50_000) + b"\0\0\0\x08IDATxxxxxxxx", "bomb.png")
    assert str(caught.value) == (
        "bomb.png: 50,000 x 50,000 pixels by its header, not decoded; expected at most "
        "134,217,728 pixels; make it smaller; delete it or pass --skip-unreadable"
    )


def test_huge_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_FILE_BYTES", 10)
    (tmp_path / "cat.jpg").write_bytes(bytes(11))
    with pytest.raises(PictureError, match=r"cat\.jpg: 11 bytes; expected at most 10"):
        decode_picture(tmp_path / "cat.jpg", (8, 8))


def test_missing_file_and_folder():
    with pytest.raises(PictureError, match=r"cat\.jpg: cannot be read \(No such file"):
        decode_picture(Path("/nowhere/cat.jpg"), (8, 8))
    with pytest.raises(PictureError, match=r"tmp: not a regular file"):
        decode_picture(Path("/tmp"), (8, 8))
