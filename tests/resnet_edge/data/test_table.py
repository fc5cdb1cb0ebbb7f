from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resnet_edge.data.dataset import load_dataset, load_unlabelled
from resnet_edge.data.sides import Side
from resnet_edge.data.table import list_table
from resnet_edge.errors import DataError


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("a.png", "b.png", "deep/c.png", "deep/d, e.png", "ü.png")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(path)
    return tmp_path / "photos"


def table(folder: Path, text: str, encoding: str = "utf-8", name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def found(folder: Path, text: str, encoding: str = "utf-8") -> dict[str, str]:
    listing = list_table(table(folder, text, encoding))
    return {c.name: c.label for c in listing.candidates}


EXPECTED = {"a.png": "cat", "deep/c.png": "dog"}


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.png,cat\ndeep/c.png,dog\n",
        "a.png,cat\ndeep/c.png,dog\n",
        "a.png;cat\r\ndeep/c.png;dog\r\n",
        "a.png\tcat\ndeep/c.png\tdog",
        "label,image path\ncat,a.png\ndog,deep/c.png\n",
        "id;filename;Class\n1;a.png;cat\n2;deep\\c.png;dog\n",
        '"a.png","cat"\n"deep/c.png","dog"\n\n\n',
        "file_name,label\n a.png , cat \n./deep/c.png,dog\na.png,cat\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_as_people_write_them(folder, text, encoding):
    assert found(folder, text, encoding) == EXPECTED


def test_names_with_the_separator_and_in_another_unicode_form(folder):
    text = 'path,label\n"deep/d, e.png",cat\nu\u0308.png,dog\n'
    assert found(folder, text) == {"deep/d, e.png": "cat", "ü.png": "dog"}


def test_absolute_paths(folder, tmp_path):
    path = table(tmp_path, f"{folder}/a.png,cat\n{folder}/b.png,dog\n")
    data = load_dataset(path, tmp_path / "c")
    assert data.root == tmp_path
    assert [p.name for p in data.pictures] == ["photos/a.png", "photos/b.png"]
    other = tmp_path / "other"
    other.mkdir()
    data = load_dataset(table(other, f"{folder}/a.png,cat\n../photos/b.png,dog\n"), tmp_path / "c")
    assert all((data.root / p.name).is_file() for p in data.pictures)


def test_a_column_of_sides(folder, tmp_path):
    text = (
        "path,label,split\na.png,cat,Train\nb.png,dog,train\ndeep/c.png,cat,val\nü.png,dog,TEST\n"
    )
    data = load_dataset(table(folder, text), tmp_path / "c")
    assert data.sides == (Side.TRAIN, Side.VALIDATION, Side.TRAIN, Side.TEST)
    assert data.labels == ("cat", "dog")
    assert data.notes == ("labels.csv: its column of splits is used",)
    taken = load_unlabelled(folder / "labels.csv", tmp_path / "c", labels=("dog", "cat"))
    assert [(p.name, p.label) for p in taken.pictures] == [("b.png", 0), ("a.png", 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no lines in it; expected path,label or path,label,split in each line"),
        ("just one column\nx\n", "its first line is just one column; expected path,label or"),
        ("id,breed\na,b\n", "its first line is id, breed; expected path,label or path,label,split"),
        ("a.png,cat,train\nb.png,dog,\n", "some lines have a split and some have none; expected"),
        ("a.png,cat,north\n", "line 1: split 'north'; expected one of train, validation, test"),
    ],
)
def test_no_table_of_pictures(folder, text, message):
    with pytest.raises(DataError) as caught:
        found(folder, text)
    assert message in str(caught.value)
    assert "labels.csv" in str(caught.value)


def test_lines_that_cannot_be_used_are_listed(folder, tmp_path):
    text = "path,label\na.png,cat\nb.png,\n,dog\ngone.png,dog\ndeep/c.png,dog\nx\0.png,dog\n"
    with pytest.raises(DataError) as caught:
        load_dataset(table(folder, text), tmp_path / "c")
    message = str(caught.value)
    assert "4 of 6 files cannot be used" in message
    assert "\n  labels.csv, line 3: no label; expected path,label" in message
    assert "\n  labels.csv, line 4: 2 columns; expected path,label" in message
    assert "\n  gone.png: cannot be read (No such file or directory); check that it is" in message
    data = load_dataset(folder / "labels.csv", tmp_path / "c", skip_unreadable=True)
    assert len(data.pictures) == 2
    assert len(data.skipped) == 4


def test_a_table_in_another_encoding(folder):
    with pytest.raises(DataError, match=r"labels\.csv: cannot be read as a table \('utf-8' codec"):
        found(folder, "ü.png,cat\n", "latin-1")


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=60) | st.text(alphabet="a.png,;\t\n\"'é\0", max_size=60).map(str.encode))
def test_any_bytes_are_a_table_or_refused_with_words(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    path.write_bytes(data)
    try:
        listing = list_table(path)
    except DataError:
        with pytest.raises(DataError, match=r"t\.csv"):
            list_table(path)
        return
    assert all(candidate.label for candidate in listing.candidates)
