"""Every option that a message advises exists in the command that shows the message."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from test_architecture import graph, modules

from resnet_edge.cli.app import COMMANDS

SHOWN_BY: Mapping[str, frozenset[str]] = {
    module: frozenset(commands.split())
    for module, commands in {
        # Rooms whose code other commands import, but do not run, or run on what was checked before.
        "converters": "run export",
        "resnet_edge.exporting": "run export",
        "resnet_edge.training": "run finetune",
        "resnet_edge.diagnosis": "run",  # what is said is about a run
        "resnet_edge.data": "run finetune export reference",
        "resnet_edge.data.advice": "run finetune",
        "resnet_edge.data.layouts": "run finetune",
        "resnet_edge.data.split": "run finetune",
        "resnet_edge.data.dataset": "run finetune export reference",
        "resnet_edge.model.weights": "run finetune",
        "resnet_edge.model.imagenet": "run finetune",
        "resnet_edge.ondevice.pictures": "run finetune export reference",
        "resnet_edge.ondevice.latency.warnings": "run bench recommend",  # the report repeats them
        "resnet_edge.ondevice.latency.counts": "run bench recommend",
        "resnet_edge.ondevice.parity.gates": "run bench recommend",  # queries: the report repeats
        "resnet_edge.ondevice.parity.placement": "run bench report bundle browser",
        "resnet_edge.ondevice.runtimes.base": "bench",
        "resnet_edge.steps.choose_pictures": "run export",
        "resnet_edge.steps.known_model": "export reference",  # run's model says everything itself
        "resnet_edge.inspection.model_description": "export reference",
        "resnet_edge.zipapp": "run bundle bench",
    }.items()
}
"""The commands that show a module's messages, where that is less than all that import it."""

NOT_ADVICE = frozenset(
    {
        "resnet_edge.options",  # each message is about an option that its command has
        "resnet_edge.ondevice.gpus",  # options of nvidia-smi
        "resnet_edge.ondevice.runtimes.kinds",  # of Google's benchmark_model
        "resnet_edge.devices.ssh.scripts",  # of pip and venv
        "resnet_edge.reporting.svg",  # variables of a style sheet
        "resnet_edge.errors",  # --out, of a full disk: the rest names its command
        "resnet_edge.full_precision.runner",  # a program of its own
        "resnet_edge.ondevice.command.device_result",  # the device's options
        "resnet_edge.ondevice.command.main",
    }
)

OPTION = re.compile(r"(?<![\w-])--[a-z](?:[a-z0-9-]*[a-z0-9])?")


def options_of_commands() -> dict[str, set[str]]:
    """The options of every command by its name."""
    return {
        command.name: {"--debug", "--config", "--version", "--help"}.union(
            word
            for told in command.told
            for note in told.parameter.annotation.__metadata__
            for word in str(note.default).split("/")  # typer keeps the flags there
            if word.startswith("--")
        )
        for command in COMMANDS
    }


def strings(source: str) -> Iterator[str]:
    """Every text of a source but docstrings; an ellipsis stands for what is filled in."""
    tree = ast.parse(source)
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            inner.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            inner.update(map(id, node.values))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else "…" for v in node.values]
            yield "".join(map(str, parts))


def advised(text: str) -> list[str]:
    """The options in a message, without the one that it is about (``--split: got …``)."""
    about = OPTION.match(text)
    found = [match[0] for match in OPTION.finditer(text)]
    return [option for option in found if about is None or option != about[0]]


def showing(module: str, reached: Mapping[str, set[str]]) -> set[str]:
    """The commands that can show a module's messages."""
    commands = {command for command, known in reached.items() if module in known}
    names = [name for name in SHOWN_BY if module == name or module.startswith(f"{name}.")]
    return commands & SHOWN_BY[max(names, key=len)] if names else commands


def reached_by(command: str) -> set[str]:
    """The modules that a command imports, its workers' included."""
    edges = dict(graph())
    for name, path in modules().items():
        workers = re.findall(r'(?:module_command\(\s*|Writer\(\s*)"([\w.]+)', path.read_text())
        edges[name] = edges[name].union(workers)
    seen: set[str] = set()
    waiting = [f"resnet_edge.cli.{command}"]
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting.extend(edges.get(module, ()))
    return {m for m in seen if not m.startswith("resnet_edge.cli.") or m.endswith(f".{command}")}


def test_every_advised_option_exists_where_it_is_advised():
    options = options_of_commands()
    reached = {name: reached_by(name) for name in options}
    helps = {n.help for c in COMMANDS for t in c.told for n in t.parameter.annotation.__metadata__}
    wrong = []
    for module, path in modules().items():
        commands = showing(module, reached) if module not in NOT_ADVICE else set()
        for text in strings(path.read_text(encoding="utf-8")) if commands else ():
            named = re.findall(r"resnet-edge (\w+)", text)
            # What names a command is about it; the options of others are those of the shower.
            spoken = set().union(*(options.get(name, set()) for name in named))
            for option in advised(text) if text not in helps else ():
                missing = sorted(c for c in commands if option not in options[c] | spoken)
                if missing:
                    wrong.append(f"{module}: {option} unknown to {', '.join(missing)}: {text}")
    assert wrong == [], "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""Pass --a."""\nx = "pass --b"', ["--b"]),
        ('x = f"--c: got {y}; pass --c or --d-e"', ["--d-e"]),
        ('x = f"{y}; pass --f={z}"', ["--f"]),
    ],
)
def test_options_in_a_source_are_found(source, expected):
    assert [option for text in strings(source) for option in advised(text)] == expected


def test_the_table_names_modules_and_commands_that_are_there():
    known = set(modules())
    rooms = {name.rpartition(".")[0] for name in known}
    assert set(SHOWN_BY) <= known | rooms
    assert known >= NOT_ADVICE
    assert frozenset().union(*SHOWN_BY.values()) <= set(options_of_commands())
    assert all(Path(modules()[name]).exists() for name in NOT_ADVICE)
