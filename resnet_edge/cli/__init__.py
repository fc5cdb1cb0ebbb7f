"""The command line. It turns every error into one clear message and an exit code."""

from __future__ import annotations

import os
import sys
import traceback

from resnet_edge.cli.native_noise import native_noise_filtered
from resnet_edge.ondevice.terminal import accept_any_text
from resnet_edge.ondevice.workers.signals import interrupt_on_termination

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it, and after SIGTERM."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; None takes ``sys.argv``.

    Returns:
        0 done and gates hold, 1 a gate fell or a step failed, 2 wrong usage, 130 interrupted.
    """
    if arguments is None:
        _use_utf8_names()
    accept_any_text()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is not None:  # in a program of its own, whose signals are not ours
        return _run(words)
    interrupt_on_termination()
    if "--debug" in words:
        return _run(words)
    with native_noise_filtered():
        code = _run(words)
    if code == INTERRUPTED:
        # Native libraries that were stopped halfway, in their start-up for instance, can crash when
        # the interpreter winds down; everything that was open is closed by now.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _use_utf8_names() -> None:
    """Start again in Python's UTF-8 mode where names of files would be read as ASCII.

    A C locale does that on Linux: a folder ``Käfer`` would have a name that is no text.
    """
    utf8 = sys.flags.utf8_mode or sys.getfilesystemencoding().lower() in ("utf-8", "utf8")
    if utf8 or not sys.executable:
        return
    environment = {**os.environ, "PYTHONUTF8": "1"}
    command = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    os.execve(sys.executable, command, environment)


def _run(words: list[str]) -> int:
    debug = "--debug" in words
    try:
        return _dispatch([word for word in words if word != "--debug"])
    except BrokenPipeError:  # the reader of our output has gone, `| head` for instance
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as problem:
        return _explain(problem, debug)


def _dispatch(words: list[str]) -> int:
    """Let typer run the command; its own usage errors exit with 2."""
    from resnet_edge.training.onednn import switch_on_onednn

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    switch_on_onednn()
    from resnet_edge.cli.app import app

    try:
        app(words, prog_name="resnet-edge")
    except SystemExit as done:
        if done.code == INTERRUPTED:  # typer turns Ctrl-C into this and says nothing
            raise KeyboardInterrupt from None
        return int(done.code or 0)
    return 0


def _explain(problem: BaseException, debug: bool) -> int:
    """Print one message for an error; return the exit code."""
    from resnet_edge.errors import StoppedError, translate

    error = translate(problem)
    if isinstance(error, StoppedError):
        print(error, file=sys.stderr)
        return error.exit_code
    if debug:
        traceback.print_exception(problem)
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code
