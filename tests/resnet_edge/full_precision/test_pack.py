from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resnet_edge.errors import ReferenceFileError
from resnet_edge.full_precision import runner as reference_runner
from resnet_edge.full_precision.compute import Questions
from resnet_edge.full_precision.pack import PackInfo, open_pack, write_pack
from resnet_edge.ondevice.reference_file import read_reference
from resnet_edge.zipapp import START, write_members

AGAIN = r"copy it again, or make it again with `resnet-edge reference --pack`$"
QUICK = ("--min-seconds", "0.05", "--min-queries", "3", "--batches", "1,2")


@pytest.fixture(scope="session")
def questions(plain_model: Path) -> Questions:
    from resnet_edge.ondevice.files import hash_path

    return Questions(
        model_sha256=hash_path(plain_model),
        preprocessing="unit",
        labels=("blue", "green", "röd"),
        pictures=("blue/0.png", "röd/1.png"),
        hashes=("0" * 64, "1" * 64),
        classes=(0, 2),
        versions={"pillow": "12", "resnet-edge": "0.1.0"},
    )


@pytest.fixture(scope="session")
def packed(plain_model: Path, questions: Questions, tmp_path_factory) -> Path:
    """A pack of two pictures. Not to be changed."""
    folder = tmp_path_factory.mktemp("pack")
    np.save(folder / "pixels.npy", pixels_by_hand())
    info = write_pack(folder / "p.pyz", plain_model, questions, folder / "pixels.npy")
    assert info.questions == questions
    assert info.size == (32, 32)
    return folder / "p.pyz"


def pixels_by_hand() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3), np.uint8)


@pytest.fixture
def pack(packed: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copy(packed, tmp_path / "p.pyz"))


def archive_of(pack: Path) -> bytes:
    """The zip at the pack's end."""
    with zipfile.ZipFile(pack) as archive:
        info = json.loads(archive.read("pack.json"))
    return pack.read_bytes()[len(START) + info["model_bytes"] + info["pixels_bytes"] :]


@pytest.fixture
def change(pack: Path, plain_model: Path) -> Callable[[str, Callable[[bytes], bytes | None]], Path]:
    """Replace a part of the pack, so that the archive itself is whole; None removes a member."""

    def replace(name: str, by: Callable[[bytes], bytes | None]) -> Path:
        whole, archive = pack.read_bytes(), archive_of(pack)
        end = len(START) + plain_model.stat().st_size
        if name == "model":
            pack.write_bytes(START + by(whole[len(START) : end]) + whole[end:])
        elif name == "pixels":
            pack.write_bytes(whole[:end] + by(whole[end : -len(archive)]) + archive)
        else:
            with zipfile.ZipFile(pack) as found:
                content = {member: found.read(member) for member in found.namelist()}
            new = io.BytesIO()
            with zipfile.ZipFile(new, "w") as written:
                for member, data in content.items():
                    if (kept := by(data) if member == name else data) is not None:
                        written.writestr(member, kept)
            pack.write_bytes(whole[: -len(archive)] + new.getvalue())
        return pack

    return replace


def test_it_comes_back(pack, plain_model, questions, tmp_path):
    (tmp_path / "in").mkdir()
    opened = open_pack(pack, tmp_path / "in")
    assert opened.questions == questions
    assert (opened.pixels == pixels_by_hand()).all()
    assert opened.model.read_bytes() == plain_model.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.9999])
def test_truncated(pack, tmp_path, share):
    data = pack.read_bytes()
    pack.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ReferenceFileError, match=rf"p.pyz: not a pack, or damaged \(.*\); {AGAIN}"):
        open_pack(pack, tmp_path)


@pytest.mark.parametrize("name", ["pixels", "model", "pack.json"])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_byte_that_fell_over(pack, plain_model, tmp_path, name, share):
    data, archive = bytearray(pack.read_bytes()), archive_of(pack)
    with zipfile.ZipFile(pack) as found:
        member = found.getinfo("pack.json")
    model_end, pixels_end = len(START) + plain_model.stat().st_size, len(data) - len(archive)
    start, end = {
        "model": (len(START), model_end),
        "pixels": (model_end, pixels_end),
        "pack.json": (start := member.header_offset + 39, start + member.compress_size),
    }[name]
    data[start + int(share * (end - start - 1))] ^= 0xFF
    pack.write_bytes(data)
    with pytest.raises(ReferenceFileError, match=AGAIN):
        open_pack(pack, tmp_path)


def test_changed_by_hand(change, tmp_path):
    for name, words in (
        ("model", "its model is not the one that was packed"),
        ("pixels", "its pixels are not those that were packed"),
    ):
        with pytest.raises(ReferenceFileError, match=rf"p.pyz: {words}; {AGAIN}"):
            open_pack(change(name, lambda data: data[:-1] + bytes([data[-1] ^ 1])), tmp_path)
        change(name, lambda data: data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"model_bytes": ', b'"model_bytes": 9'),
        (b'"model_bytes": ', b'"model_bytes": -'),
        (b'"pixels_bytes": ', b'"pixels_bytes": 9'),
        (b'"pixels_bytes": ', b'"pixels_bytes": -'),
    ],
)
def test_sizes_that_are_not_there(change, tmp_path, before, after):
    pack = change("pack.json", lambda data: data.replace(before, after))
    with pytest.raises(ReferenceFileError, match=AGAIN):
        open_pack(pack, tmp_path)


def test_of_another_version_or_without_a_member(change, tmp_path):
    pack = change("pack.json", lambda data: data.replace(b'"schema": 2', b'"schema": 9'))
    with pytest.raises(ReferenceFileError, match=rf"p.pyz: schema 9; expected 2; {AGAIN}"):
        open_pack(pack, tmp_path)
    with pytest.raises(
        ReferenceFileError, match=rf"not a pack, or damaged \(.*pack.json.*\); {AGAIN}"
    ):
        open_pack(change("pack.json", lambda _: None), tmp_path)


def test_the_zip_counts_from_its_own_beginning(packed, tmp_path):
    """So no number in it needs 64 bits, whatever stands before it."""
    archive = archive_of(packed)
    assert archive.startswith(b"PK")
    with zipfile.ZipFile(io.BytesIO(archive)) as alone:
        assert alone.testzip() is None
        assert "pack.json" in alone.namelist()


@pytest.mark.slow
def test_python_runs_a_pack_of_more_than_4_gib(tmp_path):
    archive = io.BytesIO()
    write_members(archive, {"__main__.py": b"print('started')"})
    with (tmp_path / "big.pyz").open("wb") as file:
        file.write(START)
        file.seek(9 << 29, os.SEEK_CUR)  # a hole, which takes no disk
        file.write(archive.getvalue())
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "big.pyz")], capture_output=True, check=False
    )
    assert (done.stdout, done.returncode) == (b"started\n", 0)


NEITHER = """
import runpy, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("typer", "PIL", "jinja2", "onnx", "matplotlib"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Missing())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(pack: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The pack runs in another folder, where no other package of this repository is installed."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", NEITHER, str(pack), *arguments],
        capture_output=True,
        text=True,
        cwd=pack.parent,
        env={**environment, "TF_CPP_MIN_LOG_LEVEL": "2", **variables},
        check=False,
    )


def test_it_answers_with_keras_and_numpy_alone(pack, plain_model, questions):
    import keras

    done = run(pack, "--out", "r.npz", *QUICK)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("put it into the build with: resnet-edge reference --from r.npz\n")
    assert "float32 proven: known matrix products " in done.stderr
    found = read_reference(pack.parent / "r.npz")
    model = keras.saving.load_model(plain_model)
    expected = keras.ops.convert_to_numpy(model(pixels_by_hand().astype(np.float32) / 255))
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
    info = found.info
    assert (info.labels, info.hashes, info.model_sha256) == (
        *(questions.labels, questions.hashes),
        questions.model_sha256,
    )
    assert found.classes.tolist() == [0, 2]
    assert [measured.batch for measured in info.throughput] == [1, 2]
    assert info.versions["pillow"] == "12"  # of what decoded, not of what answered
    assert info.host
    assert not info.adopted


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("abacus", 2, "error: KERAS_BACKEND: got abacus; expected one of tensorflow, jax, torch\n"),
        ("jax", 1, "error: KERAS_BACKEND: jax is not installed; run `pip install 'jax[cuda12]'`"),
    ],
)
def test_a_backend_that_is_not_here(pack, name, code, words):
    from importlib.util import find_spec

    if find_spec(name) is not None:
        pytest.skip(f"{name} is installed")
    done = run(pack, "--out", "r.npz", KERAS_BACKEND=name)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(words)
    assert not (pack.parent / "r.npz").exists()


def test_a_damaged_pack_answers_nothing(change, capsys, tmp_path):
    pack = change("pixels", lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    assert reference_runner.main(["--out", str(tmp_path / "r.npz")], pack) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {pack}: its pixels are not those that were packed; ")
    assert not (tmp_path / "r.npz").exists()
    pack.write_bytes(pack.read_bytes()[:-100])
    done = run(pack, "--out", "r.npz")  # Python itself refuses it
    assert done.returncode != 0
    assert not (tmp_path / "r.npz").exists()


def test_unforeseen_errors_and_ctrl_c(pack, capsys, monkeypatch, tmp_path):
    from resnet_edge.full_precision import compute as full_precision

    def fail(error: BaseException) -> int:
        monkeypatch.setattr(full_precision, "open_network", lambda *_: (_ for _ in ()).throw(error))
        return reference_runner.main(["--out", str(tmp_path / "r.npz")], pack)

    assert fail(RuntimeError("CUDA error: device lost")) == 1
    assert capsys.readouterr().err == (
        "error: internal error: RuntimeError: CUDA error: device lost; "
        "run again with --debug and report the traceback\n"
    )
    assert fail(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "interrupted; nothing was written\n"
    assert not (tmp_path / "r.npz").exists()


def test_what_it_says_of_itself_is_a_record(packed, questions, tmp_path):
    with zipfile.ZipFile(packed) as archive:
        text = archive.read("pack.json").decode()
    assert "röd" in text
    assert isinstance(PackInfo(questions, (1, 1), "", 0, 0).schema, int)
