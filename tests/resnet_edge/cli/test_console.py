from __future__ import annotations

import json
import math
from dataclasses import dataclass

from resnet_edge.cli.console import Terminal, print_json, print_rows


@dataclass(frozen=True)
class Record:
    name: str
    value: float


def test_progress_goes_to_standard_error(capsys):
    terminal = Terminal(quiet=False)
    terminal.say("[bold]half[/bold] done " + "x" * 300)
    terminal.warn("careful")
    with terminal.bar("working") as advance:
        advance(1, 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    # Markup is shown as it is, long lines are not broken, and no bar where there is no terminal.
    assert captured.err == "[bold]half[/bold] done " + "x" * 300 + "\ncareful\n"


def test_quiet_says_nothing(capsys):
    terminal = Terminal(quiet=True)
    terminal.say("a")
    terminal.warn("b")
    with terminal.bar("c") as advance:
        advance(1, 2)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_json_has_finite_numbers_only(capsys):
    print_json(Record("dög", math.inf))
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": "dög", "value": "inf"}
    assert "dög" in out


def test_rows(capsys):
    print_rows([("a", "[x]"), ("long label", "text " * 60)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["a", "[x]"]
    assert lines[1].startswith("long label  text text")
    assert max(map(len, lines)) <= 140
