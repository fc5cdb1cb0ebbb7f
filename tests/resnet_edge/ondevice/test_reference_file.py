from __future__ import annotations

import dataclasses
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from resnet_edge.errors import ReferenceFileError
from resnet_edge.ondevice import row_blocks
from resnet_edge.ondevice.json_records import to_json
from resnet_edge.ondevice.measurements import Latency
from resnet_edge.ondevice.parity.derived_logits import DerivedLogits
from resnet_edge.ondevice.parity.metrics import centred_logits
from resnet_edge.ondevice.reference_file import (
    Reference,
    ReferenceInfo,
    check_model,
    read_reference,
    write_reference,
)

AGAIN = r"make it again with `resnet-edge reference`"


def make_reference(pictures: int = 4) -> Reference:
    info = ReferenceInfo(
        model_sha256="ab" * 32,
        device="CPU: no GPU was found (test)",
        backend="tensorflow 1",
        dtype="float32",
        preprocessing="caffe",
        labels=("cat", "dög"),
        pictures=tuple(f"cat/{i}.png" for i in range(pictures)),
        hashes=tuple(f"{i:064}" for i in range(pictures)),
        latency=Latency("Keras", 1, (0.1, 0.2), 0.3, 0.4, 5, 6),
        versions={"keras": "3"},
    )
    probabilities = np.full((pictures, 2), 0.5, np.float32)
    return Reference(info, probabilities, np.zeros((pictures, 2)), np.zeros(pictures, np.int64))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_reference(tmp_path / "reference.npz", make_reference())
    return tmp_path / "reference.npz"


@pytest.mark.parametrize("pictures", [0, 4])
def test_it_comes_back(tmp_path, pictures):
    reference = make_reference(pictures)
    write_reference(tmp_path / "r.npz", reference)
    found = read_reference(tmp_path / "r.npz")
    assert found.info == reference.info
    assert (found.probabilities == reference.probabilities).all()
    assert found.probabilities.dtype == np.float32
    assert (found.logits.dtype, found.classes.dtype) == (np.float64, np.int64)


def test_missing(tmp_path):
    with pytest.raises(ReferenceFileError, match=r"r.npz: no such file; make it with `resnet-edge"):
        read_reference(tmp_path / "r.npz")


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.95])
def test_truncated(written, share):
    data = written.read_bytes()
    written.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ReferenceFileError, match=rf"not a reference file \(.*\); {AGAIN}"):
        read_reference(written)


def test_other_files(written):
    np.save(written.with_suffix(".npy"), np.zeros(3))
    written.with_suffix(".npy").rename(written)
    with pytest.raises(ReferenceFileError, match=rf"not a reference file \(.*\); {AGAIN}"):
        read_reference(written)
    np.savez(written, other=np.zeros(3))
    with pytest.raises(ReferenceFileError, match=rf"not a reference file \(.*info.*\); {AGAIN}"):
        read_reference(written)
    np.savez(written, info=np.frombuffer(b"{nonsense", np.uint8))
    with pytest.raises(ReferenceFileError, match=rf"not a reference file \(.*\); {AGAIN}"):
        read_reference(written)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/tmp/never"),))


def test_pickles_are_never_opened(written, monkeypatch):
    def explode(*_: object, **__: object) -> None:
        raise AssertionError("a pickle was opened")

    np.savez(written, info=np.array([Bomb()], dtype=object))
    monkeypatch.setattr(pickle, "load", explode)
    monkeypatch.setattr(pickle, "loads", explode)
    with pytest.raises(ReferenceFileError, match=r"not a reference file \(Object arrays cannot"):
        read_reference(written)


def test_of_another_version(tmp_path):
    reference = make_reference()
    newer = dataclasses.replace(reference.info, schema=99)
    write_reference(tmp_path / "r.npz", dataclasses.replace(reference, info=newer))
    with pytest.raises(ReferenceFileError) as caught:
        read_reference(tmp_path / "r.npz")
    assert str(caught.value) == (
        f"{tmp_path}/r.npz: written by a newer resnet-edge (schema 99; this one reads 1); "
        "update resnet-edge"
    )


def test_arrays_that_do_not_fit_together():
    reference = make_reference()
    with pytest.raises(ReferenceFileError, match=rf"shape \(4, 3\); expected \(4, 2\); {AGAIN}"):
        dataclasses.replace(reference, probabilities=np.zeros((4, 3), np.float32))
    with pytest.raises(ReferenceFileError, match=rf"reference: 3 classes for 4 pictures; {AGAIN}"):
        dataclasses.replace(reference, classes=np.zeros(3, np.int64))


def test_of_another_model():
    check_model(make_reference(), "ab" * 32, "int8.tflite")
    with pytest.raises(ReferenceFileError) as caught:
        check_model(make_reference(), "cd" * 32, "int8.tflite")
    assert str(caught.value) == (
        "reference is of model abababababababab…, int8.tflite is of cdcdcdcdcdcdcdcd…; "
        "make it again with `resnet-edge reference`"
    )


def rewritten(path: Path, name: str, data: bytes) -> Path:
    """The same file with one member replaced, all checksums right."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in {**members, name: data}.items():
            archive.writestr(member, content)
    return path


def header_of(text: str) -> bytes:
    line = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("logits.npy", header_of("(" * 3000), "not a reference file"),
        ("logits.npy", header_of("{'descr': " + "'" * 3), "not a reference file"),
        (
            "probabilities.npy",
            header_of("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"),
            "which takes 4,000,000,000,000 bytes; it has 0",
        ),
        ("info.npy", header_of("{'descr': '|O', 'fortran_order': False, 'shape': (), }"), "pickle"),
        ("info.npy", b"", "not a reference file"),
    ],
)
def test_damaged_headers(tmp_path: Path, name: str, data: bytes, words: str):
    write_reference(tmp_path / "reference.npz", make_reference())
    path = rewritten(tmp_path / "reference.npz", name, data)
    with pytest.raises(ReferenceFileError) as raised:
        read_reference(path)
    assert words in str(raised.value)
    assert str(raised.value).endswith("; make it again with `resnet-edge reference`")


@pytest.mark.parametrize(
    ("field", "array"),
    [
        ("classes", np.array(3)),
        ("classes", np.array([0, 1, 0, 9])),
        ("probabilities", np.full((4, 2), np.nan, np.float32)),
        ("logits", np.full((4, 2), np.inf)),
    ],
)
def test_numbers_that_are_no_answers(field: str, array: np.ndarray):
    with pytest.raises(ReferenceFileError, match=AGAIN):
        dataclasses.replace(make_reference(), **{field: array})


def saved_by_numpy(reference: Reference) -> bytes:
    """The file as earlier versions wrote it."""
    stream = io.BytesIO()
    np.savez(
        stream,
        info=np.frombuffer(json.dumps(to_json(reference.info)).encode(), np.uint8),
        probabilities=reference.probabilities,
        logits=np.asarray(reference.logits),
        classes=reference.classes,
    )
    return stream.getvalue()


@pytest.mark.parametrize("pictures", [0, 1, 3, 4, 5])
def test_the_file_is_that_of_earlier_versions(tmp_path: Path, monkeypatch, pictures: int):
    monkeypatch.setattr(row_blocks, "NUMBERS", 8)  # blocks of four pictures
    reference = make_reference(pictures)
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1], pictures).astype(np.float32).reshape(pictures, 2)
    derived = dataclasses.replace(
        reference, probabilities=probabilities, logits=DerivedLogits(probabilities)
    )
    write_reference(tmp_path / "r.npz", derived)
    assert (tmp_path / "r.npz").read_bytes() == saved_by_numpy(derived)
    with np.load(tmp_path / "r.npz") as members:
        np.testing.assert_array_equal(members["logits"], centred_logits(probabilities))


def test_answers_are_mapped(written: Path):
    found = read_reference(written)
    assert isinstance(found.probabilities.base, np.memmap)
    assert not found.probabilities.flags.writeable
    write_reference(written, found)  # over the file that is mapped
    np.testing.assert_array_equal(read_reference(written).probabilities, found.probabilities)


@pytest.mark.parametrize("member", ["probabilities", "logits"])
def test_nan_in_the_file_is_refused(written: Path, member: str):
    with np.load(written) as members:
        arrays = dict(members)
    arrays[member][3, 1] = np.nan
    np.savez(written, **arrays)
    with pytest.raises(ReferenceFileError, match=rf"reference: NaN, infinity .*; {AGAIN}"):
        read_reference(written)


def test_a_flipped_bit_is_found(written: Path):
    data = bytearray(written.read_bytes())
    data[data.index(np.full(3, 0.5, np.float32).tobytes()) + 1] ^= 1
    written.write_bytes(data)
    with pytest.raises(ReferenceFileError, match=r"Bad CRC-32 for file 'probabilities.npy'"):
        read_reference(written)
