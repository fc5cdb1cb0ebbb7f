"""Make ``calibration_data/digits.zip`` again from scikit-learn's digits, byte for byte.

    python benchmarks/make_digits.py [TARGET]

PNG and zip are written by hand or uncompressed: the bytes depend on no version of zlib or Pillow.
"""

from __future__ import annotations

import io
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

TARGET = Path(__file__).parent.parent / "calibration_data" / "digits.zip"
LARGEST = 16
"""Each value counts the inked points among 4x4 of the scan."""


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return 8-bit grey pixels (height, width) as a PNG with one stored deflate block."""
    height, width = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)  # filter type 0: none
    stored = struct.pack("<BHH", 1, len(lines), len(lines) ^ 0xFFFF) + lines
    data = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(lines))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def digits_zip() -> bytes:
    """Return the archive: a folder per digit, each picture named by its number in the data set."""
    digits = load_digits()
    counts = digits.images.astype(np.uint16)
    pictures = ((counts * 255 + LARGEST // 2) // LARGEST).astype(np.uint8)
    order = sorted(range(len(pictures)), key=lambda i: (digits.target[i], i))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for i in order:
            entry = zipfile.ZipInfo(f"{digits.target[i]}/{i:04d}.png")  # dated 1980-01-01
            entry.create_system = 3  # Unix, on whatever system it is made
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, png(pictures[i]))
    return buffer.getvalue()


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.write_bytes(digits_zip())
    print(f"{target}: {target.stat().st_size:,} bytes")
