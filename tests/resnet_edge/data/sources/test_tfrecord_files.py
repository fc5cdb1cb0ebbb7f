"""TFRecords of pictures, written by TensorFlow and read without it."""

import gzip
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.data.dataset import load_dataset, load_unlabelled, read_verified
from resnet_edge.data.sides import Side
from resnet_edge.data.sources.tfrecord_framing import read_example
from resnet_edge.errors import DataError, RuntimeMissingError

checked = pytest.importorskip("google_crc32c", reason="google-crc32c is not installed")


def example(**features):
    import tensorflow as tf

    def feature(value):
        if isinstance(value, (bytes, str)):
            data = value.encode() if isinstance(value, str) else value
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))
        if isinstance(value, float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    named = {name.replace("__", "/"): feature(value) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString()


@pytest.fixture
def write(tmp_path):
    def make(name, examples):
        import tensorflow as tf

        path = tmp_path / "flowers" / name
        path.parent.mkdir(exist_ok=True)
        with tf.io.TFRecordWriter(str(path)) as writer:
            for each in examples:
                writer.write(each)
        return path

    return make


def test_tensorflow_datasets(write, tmp_path, picture):
    for side, first in (("train", 0), ("test", 10)):
        rows = [example(image=picture(first + n), label=n % 2, id=f"p{n}") for n in range(4)]
        write(f"flowers-{side}.tfrecord-00000-of-00001", rows)
    (tmp_path / "flowers" / "label.labels.txt").write_text("daisy\ntulip\n")
    data = load_dataset(tmp_path / "flowers", tmp_path / "c")
    assert data.labels == ("daisy", "tulip")
    assert data.notes == (
        "the archives are a split: 1 for train, 1 for test",
        "names of classes from label.labels.txt",
    )
    assert [p.label for p in data.pictures] == [0, 1] * 4
    assert data.sides == (Side.TEST,) * 4 + (Side.TRAIN,) * 4
    assert data.pictures[5].name == "flowers-train.tfrecord-00000-of-00001/1/p1"
    assert read_verified(data.pictures[5]) == picture(1)


def test_names_of_classes_in_features_json(write, tmp_path, picture):
    path = write("x.tfrecord", [example(image=picture(n), label=n) for n in range(2)])
    described = {"featuresDict": {"features": {"label": {"classLabel": {"names": ["a", "b"]}}}}}
    (path.parent / "features.json").write_text(json.dumps(described))
    assert load_dataset(path, tmp_path / "c").labels == ("a", "b")
    (path.parent / "features.json").write_text("{")
    with pytest.raises(DataError, match=r"features\.json: cannot be read as names of classes \(E"):
        load_dataset(path, tmp_path / "c")


def test_the_models_own_layout(write, tmp_path, picture):
    rows = [
        example(
            image__encoded=picture(n),
            image__class__label=n + 1,
            image__class__text=("tench", "crane")[n % 2],
            image__filename=f"n{n}.JPEG",
            image__height=6,
            score=0.5,
        )
        for n in range(4)
    ]
    path = write("train-00000-of-01024", rows)
    data = load_dataset(path, tmp_path / "c")
    assert data.labels == ("crane", "tench")
    assert [p.name for p in data.pictures] == [f"{n}/n{n}.JPEG" for n in range(4)]


def test_damage(write, tmp_path, picture):
    path = write("x.tfrecord", [example(image=picture(n), label=n) for n in range(3)])
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    start = f"{path}: not a TFRecord, or a damaged one ("
    end = "); expected a whole, plain TFRecord; copy it again"
    for data, words in (
        (whole[:-1], f"it is cut off at byte {len(whole) - 1:,}"),
        (whole + b"\0", f"it is cut off at byte {len(whole):,}"),
        (b"\1" + whole[1:], "the checksum of the length at byte 0 differs"),
        (whole[:50] + b"\xff" + whole[51:], "the checksum of the record at byte 0 differs"),
        (whole[: length + 12] + bytes(4), "the checksum of the record at byte 0 differs"),
        (b"words", "it is cut off at byte 0"),
    ):
        path.write_bytes(data)
        with pytest.raises(DataError) as caught:
            load_dataset(path, tmp_path / "c")
        assert str(caught.value) == start + words + end
    path.write_bytes(gzip.compress(whole))
    with pytest.raises(DataError, match=r"x\.tfrecord: compressed as a whole, so no picture in it"):
        load_dataset(path, tmp_path / "c")


def test_examples_without_pictures_or_labels(write, tmp_path, picture):
    path = write("x.tfrecord", [example(text="a", label=1)])
    with pytest.raises(DataError) as caught:
        load_dataset(path, tmp_path / "c")
    assert str(caught.value) == (
        f"{path}: record 0 has no picture; got features label, text; expected image or "
        "image/encoded"
    )
    write("x.tfrecord", [example(image=picture(0))])
    with pytest.raises(DataError, match="pictures without labels; expected a feature named label"):
        load_dataset(path, tmp_path / "c")
    assert len(load_unlabelled(path, tmp_path / "c", labels=("a", "b")).pictures) == 1
    write("x.tfrecord", [b"no example", example(image=picture(0), label=1)])
    with pytest.raises(DataError, match=r"\(not a tf\.train\.Example: "):
        load_dataset(path, tmp_path / "c")
    write("x.tfrecord", [example(image=picture(n), label=b"\xff") for n in range(2)])
    with pytest.raises(DataError, match="pictures without labels"):
        load_dataset(path, tmp_path / "c")


def test_without_the_package_for_checksums(write, tmp_path, picture, monkeypatch):
    path = write("x.tfrecord", [example(image=picture(0), label=1)])
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(
        RuntimeMissingError, match="google-crc32c, which checks TFRecords, is not i"
    ):
        load_dataset(path, tmp_path / "c")


def test_tensorflow_is_not_imported(write, tmp_path, picture):
    path = write("x.tfrecord", [example(image=picture(n), label=n) for n in range(2)])
    program = f"""
import sys
from pathlib import Path
from resnet_edge.data.dataset import load_dataset
assert len(load_dataset(Path({str(path)!r}), Path({str(tmp_path / "c")!r})).pictures) == 2
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ}, timeout=60)


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=9) | st.floats(width=32),
        max_size=4,
    )
)
def test_examples_as_tensorflow_reads_them(features):
    data = example(**{name.replace("__", ""): value for name, value in features.items()})
    found = read_example(data)
    for name, value in features.items():
        own = found[name.replace("__", "")]
        span = None if own.span is None else data[own.span.start : own.span.end]
        if isinstance(value, int):
            assert (span, own.number) == (None, value)
        elif isinstance(value, bytes):
            assert (span, own.number) == (value, None)
        else:
            assert (span, own.number) == (None, None)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60))
def test_any_bytes_are_an_example_or_refused(data):
    try:
        read_example(data)
    except ValueError as problem:  # a name that is no UTF-8 is one too
        assert str(problem)  # noqa: PT017
