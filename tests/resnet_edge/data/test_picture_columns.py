"""Pictures in columns: to their user nothing but a tuple of pictures."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.data.address import Address
from resnet_edge.data.listing import Candidate, candidates_of
from resnet_edge.data.pictures import Picture, Pictures, number_hashes, pictures_of
from resnet_edge.data.places import FilePlace, ObjectPlace, RangePlace, RowPlace, place_key
from resnet_edge.data.sides import Side
from resnet_edge.data.stores import Stamp
from resnet_edge.data.texts import Texts, texts_of

PARTS = st.text(st.characters(exclude_characters="/\0", codec=None), min_size=1, max_size=5)
NAMES = st.lists(PARTS.filter(lambda part: part != "."), min_size=1, max_size=3).map("/".join)
STAMPS = st.none() | st.builds(
    Stamp, st.integers(0, 2**40), st.integers(-(2**62), 2**62), st.booleans()
)
ARCHIVES = st.sampled_from((Path("/a/1.tar"), Path("/a/ü.tar"), Address("s3://b/2.parquet")))
COUNTS = st.integers(0, 2**50)


@st.composite
def places(draw: st.DrawFn, name: str):
    """A place of any kind, which the name tells or does not tell."""
    below = draw(st.sampled_from((name, "other", f"x{name}", "cat/1.png")))
    return draw(
        st.sampled_from(
            (
                FilePlace(Path("/photos") / below),
                ObjectPlace(Address("s3://b/photos") / below, draw(STAMPS)),
                RangePlace(draw(ARCHIVES), draw(COUNTS), draw(COUNTS), draw(STAMPS)),
                RowPlace(draw(ARCHIVES), draw(COUNTS), draw(COUNTS), draw(STAMPS)),
            )
        )
    )


@st.composite
def pictures(draw: st.DrawFn):
    name = draw(NAMES)
    sha256 = draw(st.sampled_from(("ab" * 32, "00" * 32, f"{draw(COUNTS):064x}")))
    return Picture(draw(places(name)), name, draw(st.integers(0, 2**31 - 1)), sha256)


MANY = st.lists(pictures(), max_size=8).map(tuple)


def stamps(found: Sequence[Picture]) -> list[Stamp | None]:
    """The versions of places, which do not count where places are compared."""
    return [getattr(picture.place, "version", None) for picture in found]


@settings(deadline=None, max_examples=30)
@given(MANY, MANY, st.integers(-9, 9), st.slices(8), st.data())
def test_columns_do_as_a_tuple_does(one, two, place, part, data):
    columns = pictures_of(one)
    assert isinstance(columns, Pictures)
    assert (tuple(columns), stamps(columns)) == (one, stamps(one))
    assert len(columns) == len(one)
    assert bool(columns) == bool(one)
    assert columns == one
    assert one == columns
    assert (columns == two) == (one == two)
    assert columns != list(one)
    assert columns[part] == one[part]
    assert tuple(columns[part][::-1]) == one[part][::-1]
    assert tuple(reversed(columns)) == one[::-1]
    if -len(one) <= place < len(one):
        assert columns[place] == one[place]
        assert columns.index(one[place]) == one.index(one[place])
        assert columns.count(one[place]) == one.count(one[place])
        assert one[place] in columns
    else:
        with pytest.raises(IndexError):
            columns[place]
    for more in (two, pictures_of(two), columns[part]):
        assert columns + more == one + tuple(more)
        assert stamps(columns + more) == stamps(one + tuple(more))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(one), max_size=len(one))), bool)
    assert columns[mask] == tuple(p for p, kept in zip(one, mask, strict=True) if kept)
    assert columns[np.flatnonzero(mask)[::-1]] == tuple(columns[mask])[::-1]
    assert pickle.loads(pickle.dumps(columns)) == columns


@settings(deadline=None, max_examples=30)
@given(MANY, st.slices(8))
def test_columns_are_the_fields(found, part):
    columns, chosen = pictures_of(found)[part], found[part]
    assert columns.labels.tolist() == [picture.label for picture in chosen]
    assert [hashed.tobytes().hex() for hashed in columns.hashes] == [p.sha256 for p in chosen]
    assert list(columns.names()) == [picture.name for picture in chosen]
    assert list(columns.place_keys()) == [place_key(picture.place) for picture in chosen]
    assert columns.archives() == {p.place.archive for p in chosen if p.place.archive is not None}


@settings(deadline=None, max_examples=30)
@given(MANY, st.lists(st.sampled_from((None, *Side)), min_size=8, max_size=8), st.slices(8))
def test_candidates_do_as_a_tuple_does(found, sides, part):
    some = tuple(
        Candidate(p.place, p.name, f"class {p.label % 3}", side)
        for p, side in zip(found, sides, strict=False)
    )
    columns = candidates_of(iter(some))
    assert columns == some
    assert columns[part] == some[part]
    assert columns[part].labels() == {candidate.label for candidate in some[part]}
    assert columns[part].sides() == {candidate.side for candidate in some[part]}
    assert columns[part].sides_of_each() == tuple(candidate.side for candidate in some[part])
    assert columns.on(Side.TEST) == tuple(c for c in some if c.side is Side.TEST)
    assert columns.without_sides().sides() <= {None}


@given(st.lists(st.text(max_size=4)).map(tuple), st.slices(6))
def test_texts_do_as_a_tuple_does(texts, part):
    found = texts_of(texts)
    assert found == texts
    assert found[part] == texts[part]
    assert texts_of(found) is found
    assert list(found.column) == list(texts)


def test_half_a_surrogate_pair_is_kept():
    assert tuple(Texts(texts_of(("\udcff.png", "ü")).column)) == ("\udcff.png", "ü")


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(range(1, 9))), st.lists(st.sampled_from(range(1, 9))))
def test_hashes_are_numbered_in_their_order(one, two):
    def hashes(numbers: list[int]) -> np.ndarray:
        """Hashes that differ in the first or in the last bytes."""
        rows = [(n % 4).to_bytes(8) + (n // 4).to_bytes(24) for n in numbers]
        return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)

    first, second = number_hashes(hashes(one), hashes(two))
    ranks = {key: rank for rank, key in enumerate(sorted({(n % 4, n // 4) for n in one + two}))}
    assert first.tolist() == [ranks[n % 4, n // 4] for n in one]
    assert second.tolist() == [ranks[n % 4, n // 4] for n in two]


@pytest.mark.parametrize("sha256", ["ab", "AB" * 32, "zz" * 32, "ab " * 32])
def test_a_hash_that_is_none(sha256: str):
    with pytest.raises(ValueError, match=r"SHA-256|hexadecimal"):
        pictures_of((Picture(FilePlace(Path("/1.png")), "1.png", 0, sha256),))


def test_they_are_shown_in_a_line():
    some = tuple(Picture(FilePlace(Path(f"/{i}.png")), f"{i}.png", 0, "ab" * 32) for i in range(4))
    assert repr(pictures_of(some)).startswith("Pictures(4: Picture(place=FilePlace(path=")
    assert repr(pictures_of(some)).endswith(", …)")
