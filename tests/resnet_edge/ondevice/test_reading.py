"""The boundary around parsers: whatever they raise, one clear error comes out."""

from __future__ import annotations

import errno
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_edge.errors import ArtifactError, DataError
from resnet_edge.ondevice import array_files
from resnet_edge.ondevice.array_files import (
    map_array,
    map_member_array,
    read_array,
    read_member_array,
    write_member_array,
)
from resnet_edge.ondevice.reading import parse_json, read_member, refusing


def refusal(reason: str) -> ArtifactError:
    return ArtifactError(f"x.bin: damaged ({reason}); copy it again")


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (ValueError("bad\nand more"), "bad"),
        (RecursionError("maximum recursion depth exceeded"), "it is nested too deeply"),
        (MemoryError(), "it claims more memory than there is"),
        (KeyError("name"), "it has no 'name'"),
        (NotImplementedError("zip file version 25.5"), "zip file version 25.5"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (IndexError(), "IndexError"),
    ],
)
def test_every_error_of_a_parser_becomes_the_readers(problem, reason):
    with pytest.raises(ArtifactError) as raised, refusing(refusal):
        raise problem
    assert str(raised.value) == f"x.bin: damaged ({reason}); copy it again"
    assert raised.value.__cause__ is problem


@pytest.mark.parametrize(
    "problem",
    [
        DataError("ours"),
        KeyboardInterrupt(),
        ImportError("no such package"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_what_is_no_fault_of_the_file_passes(problem):
    with pytest.raises(type(problem)) as raised, refusing(refusal):
        raise problem
    assert raised.value is problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "it is nested too deeply"),
        ("9" * 5000, "the number 999999999999999999999999 does not fit in 64 bits"),
        ("-9223372036854775809", "does not fit in 64 bits"),
        ("[NaN]", "NaN is no number of JSON"),
        ('["\\ud800"]', r"'\ud800' is no Unicode text"),
        ('{"\\uDFFFa": 1}', r"'\udfffa' is no Unicode text"),
        (b'"\xff"', "'utf-8' codec can't decode byte 0xff"),
        (b"\xff\xfe1\x00", "'utf-8' codec can't decode byte 0xff"),
        ("{", "Expecting property name enclosed in double quotes"),
    ],
)
def test_what_other_programs_cannot_read_is_no_json(text, words):
    with pytest.raises(ValueError, match=r".") as raised:
        parse_json(text)
    assert words in str(raised.value)


NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.none() | st.booleans() | NUMBERS | st.text()


@given(st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_comes_back(data):
    assert parse_json(json.dumps(data)) == data
    assert parse_json(json.dumps(data, ensure_ascii=False).encode()) == data


def test_a_pair_of_surrogates_is_a_letter():
    assert parse_json('"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def with_header(header: str, content: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def shaped(shape: str, descr: str = "'|u1'") -> bytes:
    return with_header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (shaped("(10**12,)"), "malformed node or string"),
        (shaped("(1000000000000,)"), "which takes 1,000,000,000,000 bytes; it has 0"),
        (shaped("(100000, 100000)", "'<f4'"), "which takes 40,000,000,000 bytes; it has 0"),
        (shaped("(-1,)"), "an array of shape (-1,)"),
        (shaped("(3,)", "'|O'"), "Object arrays cannot be loaded"),
        (shaped("(1000000000,)", "'|S0'"), "expected numbers"),
        (with_header("(" * 4000), ""),
        (with_header("{'descr': '''"), ""),
        (npy(np.arange(9))[:-1], "which takes 72 bytes; it has 71"),
        (npy(np.arange(9)) + b"x", "which takes 72 bytes; it has 73"),
        (b"\x93NUMPY\x09\x09", "version"),
        (b"", ""),
    ],
)
def test_a_header_that_claims_what_is_not_there(data: bytes, words: str, tmp_path: Path):
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(ArtifactError) as raised, refusing(refusal):
        map_array(tmp_path / "x.npy")
    assert words in str(raised.value)
    with pytest.raises(ArtifactError), refusing(refusal):
        read_array(io.BytesIO(data), len(data))


@pytest.mark.parametrize("array", [np.arange(12.0).reshape(3, 4), np.zeros((0, 3), np.uint8)])
def test_whole_arrays_come_back(array: np.ndarray, tmp_path: Path):
    np.testing.assert_array_equal(read_array(io.BytesIO(npy(array)), len(npy(array))), array)
    (tmp_path / "x.npy").write_bytes(npy(array))
    if array.size:  # no file can be mapped of nothing
        np.testing.assert_array_equal(map_array(tmp_path / "x.npy"), array)


def test_members_of_a_zip_have_a_limit():
    stream = io.BytesIO()
    np.savez_compressed(stream, a=np.zeros(1000))
    with zipfile.ZipFile(stream) as archive:
        with pytest.raises(ValueError, match=r"a.npy unpacks to more than 99 bytes: 8,128"):
            read_member(archive, "a.npy", 99)
        with pytest.raises(ValueError, match="a is compressed"):
            read_member_array(archive, "a")


ARRAYS = {
    "a": np.arange(12, dtype=np.float32).reshape(3, 4),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "none": np.zeros((0, 3)),
    "line": np.arange(5),
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    np.savez(tmp_path / "x.npz", **ARRAYS)
    return tmp_path / "x.npz"


def mapped(path: Path, name: str) -> np.ndarray:
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        return map_member_array(file, archive, name)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("prefix", [b"", b"#!/bin/sh\n"])
def test_members_are_mapped_in_place(name: str, prefix: bytes, archive: Path):
    archive.write_bytes(prefix + archive.read_bytes())
    found = mapped(archive, name)
    np.testing.assert_array_equal(found, ARRAYS[name])
    assert found.dtype == ARRAYS[name].dtype
    assert isinstance(found.base, np.memmap) == (name != "none")
    assert found.flags.writeable == (name == "none")


def test_a_mapped_member_outlives_its_file(archive: Path):
    found = mapped(archive, "a")
    archive.unlink()
    np.testing.assert_array_equal(found, ARRAYS["a"])


def test_a_damaged_member_is_not_mapped(archive: Path):
    data = bytearray(archive.read_bytes())
    place = data.index(np.float32(7).tobytes())  # a number of the first member
    data[place + 3] ^= 1
    archive.write_bytes(data)
    with pytest.raises(zipfile.BadZipFile, match=r"Bad CRC-32 for file 'a\.npy'"):
        mapped(archive, "a")
    np.testing.assert_array_equal(mapped(archive, "line"), ARRAYS["line"])


def test_a_compressed_member_is_not_mapped(tmp_path: Path):
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(1000))
    with pytest.raises(ValueError, match="a is compressed"):
        mapped(tmp_path / "x.npz", "a")


def test_members_are_read_whole_where_a_mapped_file_stays(archive: Path, monkeypatch):
    monkeypatch.setattr(array_files, "_REPLACES_OPEN_FILES", False)
    found = mapped(archive, "a")
    assert not isinstance(found.base, np.memmap)
    np.testing.assert_array_equal(found, ARRAYS["a"])


@pytest.mark.parametrize("name", ARRAYS)
def test_members_are_written_as_numpy_writes_them(name: str, tmp_path: Path):
    array = np.ascontiguousarray(ARRAYS[name])
    np.savez(tmp_path / "numpy.npz", **{name: array})
    with zipfile.ZipFile(tmp_path / "ours.npz", "w") as archive:
        write_member_array(archive, name, array, array.dtype.str)
    assert (tmp_path / "ours.npz").read_bytes() == (tmp_path / "numpy.npz").read_bytes()
