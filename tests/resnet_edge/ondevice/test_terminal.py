"""No encoding of the terminal ends a command, and JSON stays JSON."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hand_made import hand_sidecar

from resnet_edge.cli.console import Terminal, print_json, print_rows, print_table
from resnet_edge.layout import Layout
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.sidecar import write_sidecar
from resnet_edge.ondevice.terminal import accept_any_text

NAMES = ("Käfer", "犬", "🐦", "a\udcc3b")
"""Latin-1 has the first; no encoding has the last, a name of bytes that are no UTF-8."""

ENCODINGS = ("ascii", "latin-1", "cp1252", "shift-jis", "utf-8")


class Streams:
    """Standard output and standard error in an encoding."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
        self.encoding = encoding
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding))

    def read(self, name: str) -> str:
        stream = getattr(sys, name)
        stream.flush()
        return stream.buffer.getvalue().decode(self.encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_way_of_printing_prints(monkeypatch, encoding):
    streams = Streams(monkeypatch, encoding)
    accept_any_text()
    for name in NAMES:
        Terminal(quiet=False).say(name)
        Terminal(quiet=False).warn(name)
        print_rows([(name, "x")])
        print_table(["label"], [[name]])
        print(name)
    shown = streams.read("stdout") + streams.read("stderr")
    for name in NAMES:
        assert shown.count(name.encode(encoding, "backslashreplace").decode(encoding)) == 5


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_is_read_back_as_it_was(monkeypatch, encoding):
    streams = Streams(monkeypatch, encoding)
    accept_any_text()
    print_json({"labels": NAMES})
    assert json.loads(streams.read("stdout")) == {"labels": list(NAMES)}


@pytest.fixture
def named_build(measured_build: Layout) -> Layout:
    """A measured build whose classes have names beyond ASCII."""
    for path in measured_build.artifacts.glob("*.json"):
        artifact = path.with_suffix("")
        told = {"labels": NAMES[:3], "model_sha256": "ab" * 32, "preprocessing": "none"}
        size, sha256 = artifact.stat().st_size, hash_path(artifact)
        sidecar = hand_sidecar(artifact.name, bytes=size, sha256=sha256, **told)
        write_sidecar(artifact, replace(sidecar, model_name="Netz für 犬"))
    return measured_build


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_a_report_in_any_locale(named_build: Layout, cli_process: Callable, variables):
    moved = named_build.out.with_name("Käfer")
    named_build.out.rename(moved)
    ran = cli_process("report", "--out", moved.name, **variables)
    assert "fer/report.html" in ran.out
    assert ran.code == 1  # its gates fail
    assert "Traceback" not in ran.err
    assert "Netz für 犬" in (moved / "report.md").read_text(encoding="utf-8")
    assert sorted(path.name for path in Path(moved).glob("report.*")) == [
        *("report.html", "report.json", "report.md")
    ]
