"""The documentation tells of what is there: links, commands, options, modules and messages.

`make docs` checks the site's links once more; this needs none of its packages.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import resnet_edge
from resnet_edge.cli import app
from resnet_edge.full_precision import runner
from resnet_edge.ondevice.command.main import main as device_main

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = sorted(
    (REPOSITORY / "README.md", REPOSITORY / "calibration_data/README.md", *DOCS.rglob("*.md"))
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    \S.*\n)+", re.MULTILINE)
FOREIGN = {"--user", "--enable_op_profiling", "--against", "--strict", "--epoch"}
"""Options of other programs and of benchmarks, and a misspelling, that pages name."""
COMMANDS = tuple(command.name for command in app.COMMANDS)


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def prose_of(page: Path) -> str:
    """The page without its blocks of code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


@functools.cache
def anchors_of(page: Path) -> frozenset[str]:
    """Anchors of the headings that GitHub and MkDocs both make."""
    slugs = set()
    for title in re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).replace("`", "").strip().lower()
        github = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        mkdocs = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", words))
        slugs |= {github} & {mkdocs}
    return frozenset(slugs)


def links_of(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "code", prose_of(page))
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings_that_are_there(page):
    for target in links_of(page):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), target
        if page.is_relative_to(DOCS):
            assert linked.is_relative_to(DOCS), f"{target} is no part of the site"
        if anchor:
            assert anchor in anchors_of(linked), target


def test_the_site_has_every_page():
    named = re.findall(
        r"^ +- .+: (\S+\.md)$", (REPOSITORY / "mkdocs.yml").read_text(), re.MULTILINE
    )
    assert sorted(named) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def test_the_page_on_the_code_names_files_and_folders_that_are_there():
    page = (DOCS / "house.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"`([a-z_/]+(?:\.py|/))`", page))
    assert len(paths) > 20
    for path in paths:
        assert (REPOSITORY / path).exists() or (REPOSITORY / "resnet_edge" / path).exists(), path
    rooms = {room.name for room in (REPOSITORY / "resnet_edge").iterdir() if room.is_dir()}
    assert rooms - {path.rstrip("/") for path in paths} - {"__pycache__"} == set()


# -- API reference


def test_the_api_reference_names_what_is_there():
    named = []
    for page in DOCS.glob("api/*.md"):
        named += re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert named
    assert len(named) == len(set(named))
    for name in named:
        assert is_defined(name), name
    public = {name.removeprefix("resnet_edge.") for name in named}
    assert set(resnet_edge.__all__) - public == set()


def is_defined(name: str) -> bool:
    """True if a module or one of its top-level names exists; nothing is imported."""
    if name.removeprefix("resnet_edge.") in resnet_edge.__all__:
        return True
    module, _, member = name.rpartition(".")
    if (source := source_of(name)) is not None:
        return True
    if (source := source_of(module)) is None:
        return False
    defined = set()
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
    return member in defined


def source_of(module: str) -> Path | None:
    path = REPOSITORY / module.replace(".", "/")
    found = [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]
    return found[0] if found else None


# -- Commands and options


@pytest.fixture
def options(cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, frozenset[str]]:
    """Options of every command by its name, those of the ``.pyz`` files included."""
    monkeypatch.setenv("COLUMNS", "300")
    texts = {"": cli("--help").out} | {name: cli(name, "--help").out for name in COMMANDS}
    for name in ("run", "classify", "info"):
        called = functools.partial(device_main, "device.pyz", [name, "--help"])
        texts[f"{name} of resnet-edge-device.pyz"] = printed(called)
    texts["resnet-edge-reference.pyz"] = printed(functools.partial(runner.main, ["--help"]))
    found = {name: re.findall(r"--[a-z0-9][a-z0-9-]*", text) for name, text in texts.items()}
    return {name: frozenset(words) for name, words in found.items()}


def printed(main: Callable[[], object]) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit):
        main()
    return text.getvalue()


def command_lines() -> Iterator[tuple[Path, list[str]]]:
    """Every command that a page shows, in words."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = [block for language, block in FENCE.findall(text) if language == "sh"]
        blocks += [
            re.sub("^    ", "", block, flags=re.MULTILINE)
            for block in INDENTED.findall(FENCE.sub("", text))
        ]
        for block in blocks:
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while "&&" in words:
                    yield page, words[: words.index("&&")]
                    words = words[words.index("&&") + 1 :]
                if words:
                    yield page, words


def test_commands_and_options_of_examples_exist(options):
    seen = 0
    for page, words in command_lines():
        for place, word in enumerate(words):
            program = Path(word).name
            if program not in (
                "resnet-edge",
                "resnet-edge-device.pyz",
                "resnet-edge-reference.pyz",
            ):
                continue
            if words[0] == "scp":
                continue
            seen += 1
            shown = f"{name_of(page)}: {' '.join(words)}"
            rest = words[place + 1 :]
            known = set(options[""]) if program == "resnet-edge" else set()
            if program == "resnet-edge-reference.pyz":
                known = options[program]
            elif name := next((w for w in rest if w in COMMANDS or w in ("classify", "info")), ""):
                known |= options[name if program == "resnet-edge" else f"{name} of {program}"]
            else:
                assert rest, shown
                assert all(w.startswith("-") for w in rest), shown
            assert {w.partition("=")[0] for w in rest if w.startswith("--")} <= known, shown
    assert seen > 30


def test_options_in_running_text_exist(options):
    known = frozenset().union(*options.values()) | FOREIGN
    for page in PAGES:
        for code in re.findall(r"`([^`\n]+)`", prose_of(page)):
            for option in re.findall(r"(?<![\w-])--[a-z0-9][a-z0-9_-]*", code):
                assert option in known, f"{name_of(page)}: {code}"


def test_targets_variables_and_scripts_of_examples_exist():
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9_-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z_0-9]+) \?=", makefile, re.MULTILINE))
    for page, words in command_lines():
        shown = f"{name_of(page)}: {' '.join(words)}"
        if words[0] == "make":
            assert words[1] in targets, shown
            assert {word.partition("=")[0] for word in words[2:]} <= variables, shown
        for word in words:
            if word.startswith(("benchmarks/", "tests/")) and "PATH" not in word:
                assert (REPOSITORY / word).exists(), shown


def test_the_first_page_names_every_command_and_every_variable_has_its_row():
    readme = (REPOSITORY / "README.md").read_text()
    for name in COMMANDS:
        assert re.search(rf"^\| `{name}\b", readme, re.MULTILINE), name
    makefile = (REPOSITORY / "Makefile").read_text()
    page = (DOCS / "configuration.md").read_text()
    for variable in re.findall(r"^([A-Z_0-9]+) \?=", makefile, re.MULTILINE):
        assert variable == "PYTHON" or f"| `{variable}` |" in page, variable


# -- Examples in Python


@pytest.mark.parametrize(
    ("page", "arguments"),
    [("tutorial.md", ("build/artifacts/int8.tflite", "photo.jpg")), ("api/files.md", ())],
)
def test_examples_name_the_class_of_a_photo(page, arguments, build, edge_photos):
    text = (DOCS / page).read_text(encoding="utf-8")
    (example,) = [code for language, code in FENCE.findall(text) if language == "python"]
    shutil.copy(edge_photos / "green" / "1.png", build.parent / "photo.jpg")
    command = [sys.executable, "-c", example, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    ran = subprocess.run(
        command, cwd=build.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "green" in ran.stdout.splitlines()[0]


# -- Error messages


@functools.cache
def messages() -> tuple[str, ...]:
    """Every text in the sources; an ellipsis stands for what is filled in."""
    found = []
    for source in sorted(
        (*(REPOSITORY / "resnet_edge").rglob("*.py"), *(REPOSITORY / "converters").rglob("*.py"))
    ):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [v.value if isinstance(v, ast.Constant) else "…" for v in node.values]
                found.append("".join(map(str, parts)))
    return tuple(found)


def test_quoted_messages_are_those_of_the_sources():
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^### `(.+)`$", page, re.MULTILINE)
    assert len(quoted) > 40
    assert [message for message in quoted if not is_said(message)] == []


def is_said(message: str) -> bool:
    pattern = re.compile(".*".join(map(re.escape, message.split("…"))))
    return any(pattern.search(text) for text in messages())
