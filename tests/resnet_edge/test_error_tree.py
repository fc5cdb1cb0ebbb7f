"""The one tree of errors, and the translation of every other error into it."""

from __future__ import annotations

import ast
import errno
import re
from pathlib import Path

import pytest

from converters.errors import (
    ConversionError,
    IntermediateFileError,
    ModelConversionError,
    RequestError,
)
from resnet_edge import errors
from resnet_edge.errors import (
    ArtifactError,
    InternalError,
    ModelError,
    OutOfMemoryError,
    OutputError,
    PictureError,
    ResnetEdgeError,
    StoppedError,
    UsageError,
    error_class,
    first_line,
    translate,
)

ADVICE = "; free some space or choose another folder with --out"


def below(kind: type[ResnetEdgeError]) -> list[type[ResnetEdgeError]]:
    found = []
    for child in kind.__subclasses__():
        found += [child, *below(child)]
    return found


def test_the_drawing_has_every_class_below_its_parent():
    drawn = re.findall(r"^    (.*?)(\w+Error) ", str(errors.__doc__).split("`translate`")[0], re.M)
    parents = {0: "Exception"}
    tree = {}
    for indent, name in drawn:
        depth = len(indent) // 4
        tree[name] = parents[depth]
        parents[depth + 1] = name
    classes = [ResnetEdgeError, *below(ResnetEdgeError)]
    assert tree == {kind.__name__: kind.__bases__[0].__name__ for kind in classes}


def test_no_other_module_defines_an_error():
    home = Path(errors.__file__)
    others = [path for path in home.parent.rglob("*.py") if path != home]
    assert len(others) > 100
    for path in others:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                assert not any("Error" in ast.unparse(base) for base in node.bases), path


@pytest.mark.parametrize(
    ("problem", "kind", "message"),
    [
        (PictureError("a.jpg: empty"), PictureError, "a.jpg: empty"),
        (ModelConversionError("no softmax"), ModelError, "no softmax"),
        (RequestError("--keep-float: no layer fits"), UsageError, "--keep-float: no layer fits"),
        (IntermediateFileError("damaged"), ArtifactError, "damaged"),
        (ConversionError("not made"), ModelError, "not made"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            OutputError,
            f"/x/y: No space left on device{ADVICE}",
        ),
        (OSError("h5py could not"), OutputError, f"h5py could not{ADVICE}"),
        (
            MemoryError(),
            OutOfMemoryError,
            "memory ran out; end other programs, or train a smaller network: `resnet-edge "
            "finetune` takes a smaller --image-size and --batch-size",
        ),
        (
            KeyboardInterrupt(),
            StoppedError,
            "interrupted; run the same command again to go on",
        ),
        (
            ZeroDivisionError("x / 0"),
            InternalError,
            "internal error: ZeroDivisionError: x / 0; run again with --debug and report the "
            "traceback",
        ),
    ],
)
def test_every_error_becomes_one_of_the_tree(problem, kind, message):
    error = translate(problem)
    assert type(error) is kind
    assert str(error) == message


def raised(problem: BaseException, cause: BaseException) -> BaseException:
    problem.__cause__ = cause
    return problem


@pytest.mark.parametrize("hidden_in", [ImportError("no numpy"), ModelError("cannot be loaded")])
def test_ctrl_c_is_found_behind_other_errors(hidden_in):
    error = translate(raised(hidden_in, raised(ImportError("core"), KeyboardInterrupt())))
    assert type(error) is StoppedError
    assert error.exit_code == 130


def test_exit_codes():
    others = {kind: kind.exit_code for kind in below(ResnetEdgeError) if kind.exit_code != 1}
    assert others == {UsageError: 2, StoppedError: 130}


def test_classes_by_name():
    assert error_class("PictureError") is PictureError
    assert error_class("sys") is ResnetEdgeError
    assert error_class("NoSuchError") is ResnetEdgeError


def test_a_long_line_of_another_package_keeps_its_reason():
    long = f"{'a' * 400}; No space left on device\nmore"
    line = first_line(OSError(long))
    assert line == f"{'a' * 140} … {long.splitlines()[0][-140:]}"
    assert line.endswith("; No space left on device")
    assert first_line(ValueError("short\nmore")) == "short"
    assert first_line(ValueError("")) == "ValueError"
