"""The system's own ``ssh`` and ``scp``, with the user's configuration, keys and known hosts.

Three options are set here: ssh asks no questions, waits ten seconds for a connection, and notices a
dead one after a minute. Hosts' keys are checked as the user's configuration says.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from resnet_edge.errors import ConnectionLostError, RemoteError, UsageError

OPTIONS = (
    *("-o", "BatchMode=yes"),
    *("-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
)

NO_CONNECTION = 255
"""ssh's own exit code where it has no connection, or lost it."""

BEGIN = "resnet-edge: begin"
"""Printed before a script's own output, after the output of the remote shell's start-up files."""

Say = Callable[[str], None]
"""Shows a line."""

_NO_SFTP = re.compile("Connection closed$|subsystem request failed")
"""scp's words where the device offers no sftp."""

_HOST = re.compile(r"(?:[A-Za-z0-9_.+][A-Za-z0-9_.+-]*@)?[A-Za-z0-9_.][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Answer:
    """The exit code and the output of a script on the device."""

    code: int
    lines: tuple[str, ...]
    """Its standard output."""


@dataclass(frozen=True)
class Ssh:
    """A host by the name that ssh knows it by."""

    host: str
    """``device`` or ``user@device``; ports, keys and jumps belong into ssh's configuration."""

    def __post_init__(self) -> None:
        if _HOST.fullmatch(self.host) is None:
            raise UsageError(
                f"--host: got {self.host!r}; expected device or user@device, a name of letters, "
                "digits, '.', '_' and '-'; put ports, IPv6 addresses and the like under such a "
                "name into ~/.ssh/config"
            )

    def run(self, script: str, words: tuple[str, ...], say: Say | None = None) -> Answer:
        """Run a script in the device's ``sh``.

        The script travels on standard input: the remote user's shell sees nothing but ``sh -s`` and
        the quoted words.

        Args:
            script: A script of a POSIX shell; it must print ``BEGIN`` first.
            words: Its ``$1``, ``$2``, …; any text.
            say: Shown every line while it comes.

        Raises:
            ConnectionLostError: ssh has no connection, or lost it.
        """
        command = ("ssh", *OPTIONS, "-T", "--", self.host, remote_command(words))
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as source:
            source.write(script.encode())
            source.seek(0)
            with _start(command, stdin=source, stdout=subprocess.PIPE, stderr=said) as process:
                try:
                    lines = _read(process, say)
                    code = process.wait()
                except BaseException:
                    process.kill()
                    raise
            if code == NO_CONNECTION or code < 0 or lines is None:
                raise ConnectionLostError(_last_line(said, code))
        return Answer(code, lines)

    def send(self, path: Path, target: str) -> None:
        """Copy a file to the device.

        Args:
            path: The file.
            target: Relative to the remote home; letters, digits, ``.``, ``-`` and ``/`` only, for
                whether a shell reads it depends on scp's version.

        Raises:
            ConnectionLostError: scp failed.
        """
        self._copy(str(path.absolute()), f"{self.host}:{target}")

    def fetch(self, source: str, path: Path) -> None:
        """Copy a file from the device; see ``send``."""
        self._copy(f"{self.host}:{source}", str(path.absolute()))

    def _copy(self, source: str, target: str) -> None:
        try:
            _scp((*OPTIONS, "--", source, target))
        except ConnectionLostError as problem:
            if _NO_SFTP.search(str(problem)) is None:
                raise
            try:  # small devices' servers (Dropbear) know only the protocol that scp had first
                _scp(("-O", *OPTIONS, "--", source, target))
            except ConnectionLostError:  # of an scp without -O, or of no connection at all
                raise problem from None


def _scp(words: tuple[str, ...]) -> None:
    with tempfile.TemporaryFile() as said:
        with _start(("scp", "-q", *words), subprocess.DEVNULL, said, said) as process:
            try:
                code = process.wait()
            except BaseException:
                process.kill()
                raise
        if code:
            raise ConnectionLostError(_last_line(said, code))


def remote_command(words: tuple[str, ...]) -> str:
    """Return the line for the remote user's shell: every word quoted."""
    return shlex.join(("sh", "-s", "--", *words))


def printable(text: str) -> str:
    """Return another machine's line without characters that would control the terminal here."""
    return "".join(letter if letter.isprintable() else " " for letter in text).rstrip()


def _start(
    command: tuple[str, ...],
    stdin: IO[bytes] | int,
    stdout: IO[bytes] | int,
    stderr: IO[bytes],
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,  # Ctrl-C is for this process, which then clears up by ssh
        )
    except FileNotFoundError as problem:
        raise RemoteError(
            f"{command[0]}: not found; expected OpenSSH's client; install openssh-client"
        ) from problem


def _read(process: subprocess.Popen[bytes], say: Say | None) -> tuple[str, ...] | None:
    """The lines after ``BEGIN``; None where it never came."""
    lines: list[str] | None = None
    assert process.stdout is not None  # it was asked for
    for raw in process.stdout:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if lines is not None:
            lines.append(line)
            if say is not None:
                say(printable(line))
        elif line.endswith(BEGIN):
            lines = []
    return None if lines is None else tuple(lines)


def _last_line(said: IO[bytes], code: int) -> str:
    said.seek(0)
    lines = [printable(line) for line in said.read().decode("utf-8", "replace").splitlines()]
    if code < 0:
        lines.append(f"stopped by {signal.Signals(-code).name}")
    return next((line for line in reversed(lines) if line), f"exit code {code}, and no word why")
