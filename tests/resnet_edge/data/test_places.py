"""Places of pictures: their text form, their words, and what cannot be read."""

import os
import pickle
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_edge.data.address import Address, is_pattern, parse_source, source_text
from resnet_edge.data.places import (
    FilePlace,
    ObjectPlace,
    RangePlace,
    RowPlace,
    find_place,
    place_key,
    place_text,
    place_words,
    read_place,
)
from resnet_edge.data.stores import Stamp
from resnet_edge.errors import PictureError, UsageError

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1)
PATHS = st.builds(Path, st.just("/"), NAMES.filter(lambda n: n not in (".", "..")))
ADDRESSES = st.builds(Address, st.from_regex(r"s3://b(/[a-z #?+=.]+){1,2}", fullmatch=True))
NUMBERS = st.integers(0, 10**18 - 1)
ROOTS = st.one_of(PATHS, ADDRESSES)
PLACES = st.one_of(
    st.builds(FilePlace, PATHS),
    st.builds(ObjectPlace, ADDRESSES),
    st.builds(RangePlace, ROOTS, NUMBERS, NUMBERS),
    st.builds(RowPlace, ROOTS, NUMBERS, NUMBERS),
)


@given(PLACES, ROOTS, NAMES)
def test_text_and_back(place, root, name):
    assert find_place(place_text(place, root, name), root, name) == place


@given(PLACES)
def test_a_place_travels_to_other_processes(place):
    assert pickle.loads(pickle.dumps(place)) == place
    assert place_key(place)


@pytest.mark.parametrize(
    ("place", "root", "text"),
    [
        (FilePlace(Path("/photos/cat/1.jpg")), Path("/photos"), ""),
        (FilePlace(Path("/other/1.jpg")), Path("/photos"), "/other/1.jpg"),
        (ObjectPlace(Address("s3://b/p/cat/1.jpg")), Address("s3://b/p"), ""),
        (ObjectPlace(Address("https://h/1.jpg")), Path("/photos"), "https://h/1.jpg"),
        (RangePlace(Path("/w/a.tar"), 512, 9), Path("/w"), "a.tar#bytes=512+9"),
        (RangePlace(Path("/w/a.tar"), 512, 9), Path("/w/a.tar"), "#bytes=512+9"),
        (RangePlace(Path("/w/a.tar"), 512, 9), Path("/v"), "/w/a.tar#bytes=512+9"),
        (RowPlace(Address("gs://b/t.parquet"), 3, 7), Address("gs://b"), "t.parquet#row=3.7"),
    ],
)
def test_texts(place, root, text):
    assert place_text(place, root, "cat/1.jpg") == text
    assert find_place(text, root, "cat/1.jpg") == place


def test_words_that_a_person_finds_it_by():
    shard = RangePlace(Path("/w/test/0.tar"), 512, 9)
    assert place_words(shard, "test/0.tar/cat/1.jpg") == "/w/test/0.tar:cat/1.jpg"
    assert place_words(shard, "cat/1.jpg") == "/w/test/0.tar:cat/1.jpg"
    assert place_words(FilePlace(Path("/w/1.jpg")), "1.jpg") == "/w/1.jpg"
    assert str(shard) == "/w/test/0.tar, bytes 512 to 521"
    assert str(RowPlace(Path("/t"), 1, 2)) == "/t, row 2 of row group 1"


def test_stamps(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(b"x" * 30)
    place = RangePlace(path, 10, 5)
    assert place.stamp() == Stamp(5, path.stat().st_mtime_ns, settled=False)
    os.utime(path, (time.time() - 60,) * 2)
    assert place.stamp() == Stamp(5, path.stat().st_mtime_ns)
    assert RowPlace(path, 0, 0).stamp() == Stamp(30, path.stat().st_mtime_ns)
    told = Stamp(30, 77)
    assert RangePlace(Address("s3://b/a.tar"), 10, 5, told).stamp() == told
    path.unlink()
    assert place.stamp() is None


def test_what_cannot_be_read(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(20))
    short = "10 bytes at byte 10; expected 11: the file is cut off, or its store gives no parts of"
    for place, words in (
        (RangePlace(path, 10, 11), f"x: cannot be read ({short} files); check {path}; delete it"),
        (RangePlace(path, 10, 0), "x: 0 bytes; expected a JPEG"),
        (RangePlace(path, 0, 10**10), "x: cannot be read (10,000,000,000 bytes; expected at most "),
        (RangePlace(tmp_path / "b", 0, 1), f"x: {tmp_path}/b is not there; put it back; delete it"),
        (RangePlace(tmp_path, 0, 1), f"x: cannot be read (Is a directory); check {tmp_path}"),
    ):  # fmt: skip
        with pytest.raises(PictureError) as caught:
            read_place(place, "x")
        assert str(caught.value).startswith(words)


def test_addresses():
    address = parse_source("s3://bucket/photos/")
    assert address == Address("s3://bucket/photos/")
    assert (address.name, address.scheme) == ("photos", "s3")
    assert address / "cat/1.jpg" == Address("s3://bucket/photos/cat/1.jpg")
    assert address.parent == Address("s3://bucket")
    assert address.parent.parent == address.parent
    assert parse_source("photos") == Path("photos")
    assert parse_source("C:/photos") == Path("C:/photos")
    assert source_text(Path("/photos")) == "/photos"
    with pytest.raises(
        UsageError, match=r"s3://…@b: a name and a password in an address; expected"
    ):
        parse_source("s3://key:secret@b/photos")


def test_patterns(tmp_path):
    assert is_pattern(Path("shard-{0..9}.tar"))
    assert is_pattern(Address("s3://b/*.tar"))
    assert not is_pattern(Address("https://h/a.jpg?x=*"))
    (tmp_path / "photos [1]").mkdir()
    assert not is_pattern(tmp_path / "photos [1]")
