from __future__ import annotations

import enum
import errno
import math
import os
import stat
import types
import typing
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.errors import ArtifactError, OutputError
from resnet_edge.ondevice import measurements as results
from resnet_edge.ondevice.files import write_bytes
from resnet_edge.ondevice.formats.sidecar import Sidecar
from resnet_edge.ondevice.json_records import (
    from_json,
    read_annotations,
    read_old_annotations,
    read_record,
    to_json,
    write_record,
)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    value: float
    colour: Colour = Colour.RED


@dataclass(frozen=True)
class Outer:
    name: str
    count: int
    ready: bool
    place: Path
    inner: Inner
    many: tuple[Inner, ...] = ()
    pair: tuple[int, str] = (1, "a")
    maybe: float | None = None
    named: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count: got {self.count}; expected 0 or more")


GOOD = {"name": "n", "count": 1, "ready": True, "place": "/a b", "inner": {"value": 1}}


def parse(**changes: object) -> Outer:
    return from_json(Outer, {**GOOD, **changes}, "x.json", ArtifactError)


@settings(deadline=None, max_examples=60)
@given(
    st.builds(
        Outer,
        name=st.text(),
        count=st.integers(min_value=0),
        ready=st.booleans(),
        place=st.just(Path("/a/ü")),
        inner=st.builds(Inner, st.floats(allow_nan=False), st.sampled_from(Colour)),
        many=st.lists(st.builds(Inner, st.floats(allow_nan=False))).map(tuple),
        maybe=st.none() | st.floats(allow_nan=False),
        named=st.dictionaries(st.text(), st.integers()),
    )
)
def test_any_record_comes_back(record):
    assert from_json(Outer, to_json(record), "x", ArtifactError) == record


def test_numbers_that_json_has_not(tmp_path):
    write_record(tmp_path / "x.json", Inner(-math.inf))
    assert '"-inf"' in (tmp_path / "x.json").read_text()
    assert read_record(Inner, tmp_path / "x.json", ArtifactError) == Inner(-math.inf)
    nan = from_json(Inner, to_json(Inner(math.nan)), "x", ArtifactError)
    assert math.isnan(nan.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nmae": 1}, "x.json: unknown key 'nmae'; it was written by another version"),
        ({"count": "1"}, "x.json: count: got '1'; expected int"),
        ({"count": True}, "x.json: count: got True; expected int"),
        ({"count": 1.0}, "x.json: count: got 1.0; expected int"),
        ({"ready": 1}, "x.json: ready: got 1; expected bool"),
        ({"name": None}, "x.json: name: got None; expected str"),
        ({"inner": {"value": "x"}}, "x.json: inner: value: got 'x'; expected float"),
        (
            {"inner": {"value": 1, "colour": "pink"}},
            "x.json: inner: colour: got 'pink'; expected one of red, blue",
        ),
        ({"many": [{"value": 1}, {}]}, "x.json: many[1]: key 'value' is missing; make the file"),
        ({"pair": [1]}, "x.json: pair: got [1]; expected"),
        ({"named": {"a": "b"}}, "x.json: named.a: got 'b'; expected int"),
        ({"inner": 3}, "x.json: inner: got int; expected an object with named values"),
        ({"count": -1}, "x.json: count: got -1; expected 0 or more"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(ArtifactError) as caught:
        parse(**changes)
    assert message in str(caught.value)


@dataclass(frozen=True)
class Versioned:
    value: int
    schema: int = 2


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (3, "x: written by a newer resnet-edge (schema 3; this one reads 2); update resnet-edge"),
        (1, "x: written by an older resnet-edge (schema 1; this one reads 2); make the file again"),
        ("3", "x: schema: got '3'; expected int"),
    ],
)
def test_another_version_is_told_by_its_number_and_not_by_its_keys(version, message):
    data = {"value": 1, "schema": version}
    for changed in (data, {**data, "novelty": 1}, {"schema": version}):
        if version == "3" and changed is not data:
            continue
        with pytest.raises(ArtifactError) as caught:
            from_json(Versioned, changed, "x", ArtifactError)
        assert str(caught.value) == message
    assert from_json(Versioned, {"value": 1}, "x", ArtifactError).schema == 2


def test_a_missing_key_is_named():
    with pytest.raises(ArtifactError, match=r"^x: key 'value' is missing; make the file again$"):
        from_json(Inner, {}, "x", ArtifactError)


def test_an_integer_is_a_float_too():
    assert parse(maybe=2).maybe == 2.0
    assert isinstance(parse(maybe=2).maybe, float)


def test_files_that_are_no_record(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(ArtifactError, match=r"x.json: no such file; run the step that writes it"):
        read_record(Inner, path, ArtifactError)
    path.write_text('{"value": 1')
    with pytest.raises(ArtifactError, match=r"x.json: not JSON \(.*\); delete it and run again"):
        read_record(Inner, path, ArtifactError)
    path.write_text("[]")
    with pytest.raises(ArtifactError, match=r"x.json: got list; expected an object"):
        read_record(Inner, path, ArtifactError)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ArtifactError, match=r"x.json: not JSON"):
        read_record(Inner, path, ArtifactError)
    path.unlink()
    path.mkdir()
    with pytest.raises(ArtifactError, match=r"x.json: cannot be read \(Is a directory\)"):
        read_record(Inner, path, ArtifactError)


def test_written_files_have_the_rights_that_the_umask_gives(tmp_path):
    old = os.umask(0o027)
    try:
        write_bytes(tmp_path / "new" / "x", b"1")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new" / "x").stat().st_mode) == 0o640


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, number):
    path = tmp_path / "x.json"
    write_bytes(path, b"old")

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError) as caught:
        write_bytes(path, b"new")
    assert str(caught.value) == (
        f"{path}: cannot be written ({os.strerror(number)}); "
        "free some space or choose another folder with --out"
    )
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path):
    old, new, other = (tmp_path / f".{name}.part" for name in ("x.json.1", "x.json.2", "y.json.1"))
    for path in (old, new, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (0, 0))
    write_bytes(tmp_path / "x.json", b"")
    assert [path.exists() for path in (old, new, other)] == [False, True, True]


def test_ctrl_c_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "x", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot be written \((File exists|Not a directory)\)"):
        write_bytes(tmp_path / "out" / "x", b"")
    with pytest.raises(OutputError, match=r"y: cannot be written \(Not a directory\)"):
        write_bytes(tmp_path / "out" / "x" / "y", b"")


RECORDS = (
    *(Outer, Inner, Sidecar),
    *(kind for kind in vars(results).values() if isinstance(kind, type) and is_dataclass(kind)),
)


def spelled(hint: object) -> object:
    """A type's parts without the spelling: ``Optional[int]`` and ``int | None`` are the same."""
    arguments = typing.get_args(hint)
    if not arguments:
        return hint
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return (typing.Union if union else typing.get_origin(hint), *map(spelled, arguments))


@pytest.mark.parametrize("kind", RECORDS)
def test_old_pythons_read_the_same_annotations(kind):
    old, new = read_old_annotations(kind), read_annotations(kind)
    assert {name: spelled(hint) for name, hint in old.items()} == {
        name: spelled(hint) for name, hint in new.items()
    }


def test_records_are_read_with_old_annotations(monkeypatch):
    monkeypatch.setattr("resnet_edge.ondevice.json_records.read_annotations", read_old_annotations)
    assert parse(maybe=None, many=[{"value": 2.5}], pair=[1, "b"], named={"a": 3}) == Outer(
        "n", 1, True, Path("/a b"), Inner(1.0), (Inner(2.5),), (1, "b"), None, {"a": 3}
    )


@dataclass(frozen=True)
class Measured:
    """A record with a number, a place and a check of its own."""

    seconds: float = 1.0
    place: Path = Path()

    def __post_init__(self) -> None:
        if self.seconds < 0:
            raise ZeroDivisionError("no such time")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "not JSON (it is nested too deeply); delete it and run again"),
        ('{"seconds": ' + "9" * 400 + "}", "does not fit in 64 bits); delete it and run again"),
        ('{"seconds": 1e999}', "seconds: got inf; expected float"),
        ('{"seconds": NaN}', "not JSON (NaN is no number of JSON)"),
        ('{"seconds": true}', "seconds: got True; expected float"),
        ('{"seconds": -1}', "no such time"),
        ('{"place": "\\ud800"}', r"not JSON ('\ud800' is no Unicode text)"),
        ('{"place": "a\\u0000"}', r"place: got 'a\x00'; expected Path"),
    ],
)
def test_damage_that_parsers_do_not_name(tmp_path: Path, text: str, words: str):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ArtifactError) as raised:
        read_record(Measured, path, ArtifactError)
    assert words in str(raised.value)
    assert str(raised.value).startswith(f"{path}: ")


def test_a_name_that_is_no_text_is_not_written(tmp_path: Path):
    with pytest.raises(OutputError, match=r"x.json: a name in it is no Unicode text \(.*udce9.*\)"):
        write_record(tmp_path / "x.json", Measured(place=Path("caf\udce9.png")))
    assert list(tmp_path.iterdir()) == []
