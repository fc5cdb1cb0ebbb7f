import dataclasses
import json

import pytest

from resnet_edge.errors import OutputError
from resnet_edge.reporting.report_json import report_json
from resnet_edge.reporting.write import write_report


def test_writes_three_files(content, tmp_path):
    html, markdown, data = write_report(tmp_path / "out", content)
    assert [path.name for path in (html, markdown, data)] == [
        "report.html",
        "report.md",
        "report.json",
    ]
    assert html.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert markdown.read_text(encoding="utf-8").startswith("# pets")
    assert json.loads(data.read_text(encoding="utf-8")) == report_json(content)


def test_same_content_same_bytes(content, tmp_path):
    first = [path.read_bytes() for path in write_report(tmp_path / "a", content)]
    second = [path.read_bytes() for path in write_report(tmp_path / "b", content)]
    assert first == second


def test_names_that_are_not_utf8_are_written(content, tmp_path):
    notes = ("caf\udce9.jpg was left out",)
    _, _, data = write_report(tmp_path, dataclasses.replace(content, notes=notes))
    assert json.loads(data.read_text(encoding="utf-8"))["notes"] == list(notes)


def test_an_unwritable_folder_is_said(content, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match=r"report\.html: cannot be written"):
        write_report(tmp_path / "out", content)
