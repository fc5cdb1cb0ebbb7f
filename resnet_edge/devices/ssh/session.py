"""One bundle's run on one device: copied, started apart from the connection, followed, collected.

Every step looks at what the device has first, so a call after a lost connection goes on where the
one before was.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from resnet_edge.devices.ssh import scripts
from resnet_edge.devices.ssh.connection import Answer, Say, Ssh, printable
from resnet_edge.display import Display
from resnet_edge.errors import ConnectionLostError, RemoteError, UsageError
from resnet_edge.ondevice.command.device_info import DeviceInfo, Failure
from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.json_records import from_json
from resnet_edge.ondevice.reading import parse_json, refusing

T = TypeVar("T")

ROUNDS = 3
"""NumPy first, as nothing else can be asked before; then a runtime for each format."""


@dataclass(frozen=True)
class State:
    """The state of the run on the device."""

    word: str
    """``busy``, ``done``, ``running``, ``ended``, ``no-python``, ``ready`` or ``empty``."""
    rest: str
    """Options of a run; the process of another bundle's."""


@dataclass(frozen=True)
class Session:
    """A bundle and where it is to run."""

    ssh: Ssh
    bundle: Path
    sha256: str
    python: str
    """A command or path on the device."""
    words: tuple[str, ...]
    """Options of the bundle's ``run``."""
    display: Display

    def __post_init__(self) -> None:
        check_python(self.python)

    @property
    def key(self) -> str:
        """Name of the folder on the device."""
        return self.sha256[:16]

    @property
    def asked(self) -> str:
        """Everything that decides the measurement, in one line."""
        return shlex.join((self.python, *self.words))

    def look(self) -> State:
        """Find out the state of the run.

        Raises:
            RemoteError: The host cannot be reached, is busy, has no such Python, or was asked for
                something else before.
        """
        host = self.ssh.host
        try:
            answer = self._do(scripts.LOOK, (self.sha256,))
        except ConnectionLostError as problem:
            raise RemoteError(f"{host} cannot be reached: {problem}") from problem
        word, _, rest = (answer.lines[0] if answer.lines else "").partition(" ")
        if answer.code or not word:
            raise RemoteError(f"{host}: ~/{scripts.HOME} cannot be made; make it writable")
        if word == "busy":
            raise RemoteError(
                f"{host} is measuring another bundle, process {rest}; two at a time would disturb "
                f"each other; wait for it, or stop it with `ssh {host} kill -- -{rest}`"
            )
        if word == "no-python":
            raise RemoteError(
                f"{host}: {self.python}: not found; expected Python 3.8 or later; install it "
                "there, or name it with --python"
            )
        state = State(word, printable(" ".join(answer.lines[1:])))
        if word in ("running", "done") and answer.lines[1:] != tuple(self.asked.split("\n")):
            what = "measures this bundle" if word == "running" else "has measured this bundle"
            raise UsageError(
                f"{host} {what} with other options: {state.rest}; expected the same ones to "
                f"collect it; or drop it with `ssh {host} rm -r {scripts.HOME}/{self.key}`"
                + (" once it has ended" if word == "running" else "")
            )
        return state

    def copy(self) -> None:
        """Bring the bundle there.

        Raises:
            RemoteError: It did not arrive whole.
        """
        host, target = self.ssh.host, f"{scripts.HOME}/{self.key}/{scripts.BUNDLE}"
        again = "run the same command again"
        try:
            self.ssh.send(self.bundle, f"{target}.new")
            if self._do(scripts.ACCEPT, (self.sha256,)).code:
                raise RemoteError(f"{host}: the bundle arrived damaged; {again}")
        except ConnectionLostError as problem:
            raise RemoteError(
                f"the bundle could not be copied to {host}: {problem}; {again}"
            ) from problem

    def install(self, formats: frozenset[Format]) -> None:
        """Install NumPy and runtimes that are missing, as the bundle's ``info`` names them.

        Args:
            formats: Those that the bundle carries.

        Raises:
            RemoteError: pip failed.
        """
        tried: set[str] = set()
        for _ in range(ROUNDS):
            line = missing_packages(self._do(scripts.INFO, ()).lines, formats, tried)
            if line is None:
                return
            tried.add(line)
            self.display.say(f"{self.ssh.host}: pip install {line}")
            done = self._do(scripts.INSTALL, tuple(shlex.split(line)), self._told)
            if done.code:
                last = printable(done.lines[-1]) if done.lines else f"exit code {done.code}"
                raise RemoteError(f"{self.ssh.host}: `pip install {line}` failed: {last}")

    def start(self) -> None:
        """Start the run, which then does not need the connection.

        Raises:
            RemoteError: It cannot be started.
        """
        if self._do(scripts.START, (self.asked, *self.words)).code:
            raise RemoteError(
                f"{self.ssh.host}: ~/{scripts.HOME}/{self.key} cannot be written; free some space "
                "and make it writable"
            )

    def follow(self) -> None:
        """Show the run's progress until there is a result.

        Raises:
            RemoteError: The run ended without one; the message is its own.
        """
        answer = self._do(scripts.FOLLOW, (), self._told)
        if answer.code == 0:
            return
        failure = read_failure(self._do(scripts.ANSWER, ()).lines)
        self._do(scripts.FORGET, ())
        host = self.ssh.host
        kind = UsageError if answer.code == UsageError.exit_code else RemoteError
        if failure is not None:
            hint = "; or pass --install" if failure.install else ""
            raise kind(f"{host}: {printable(failure.error)}{hint}")
        lines = [printable(line) for line in answer.lines if line.strip()]
        # Python is too old there, the bundle is damaged, or an option is wrong: no command ran.
        said = next((line for line in reversed(lines) if "error: " in line), None)
        if said is not None:
            raise kind(f"{host}: {said.partition('error: ')[2]}")
        code = "" if answer.code == scripts.ENDED else f" with exit code {answer.code}"
        last = lines[-1] if lines else "it said nothing"
        raise RemoteError(f"{host}: the run ended{code} and left no result: {last}")

    def collect(self, path: Path) -> None:
        """Fetch the result.

        Raises:
            ConnectionLostError: It did not come; it is still there.
        """
        self.ssh.fetch(f"{scripts.HOME}/{self.key}/run/result.json", path)

    def forget(self) -> None:
        """Remove the files of a run, but not the bundle."""
        self._do(scripts.FORGET, ())

    def remove(self) -> None:
        """Stop the run and remove everything on the device.

        Raises:
            RemoteError: Something could not be removed.
        """
        if self._do(scripts.REMOVE, ()).code:
            raise RemoteError(f"~/{scripts.HOME}/{self.key} could not be removed")

    def _do(self, script: str, words: tuple[str, ...], say: Say | None = None) -> Answer:
        return self.ssh.run(script, (self.key, self.python, *words), say)

    def _told(self, line: str) -> None:
        self.display.say(f"{self.ssh.host}: {line}")


def check_python(python: str) -> None:
    """Refuse a command that would be an option, or more than one line.

    Raises:
        UsageError: It cannot be a command or path.
    """
    if not python or python.startswith("-") or not python.isprintable():
        raise UsageError(
            f"--python: got {python!r}; expected a command or a path on the device, for instance "
            "python3.9"
        )


def missing_packages(
    lines: tuple[str, ...], formats: frozenset[Format], tried: set[str] | None = None
) -> str | None:
    """Find the packages that the bundle's ``info --json`` says to install.

    Args:
        lines: Its output.
        formats: Those that matter.
        tried: Packages that were installed already.

    Returns:
        Arguments of ``pip install``; None where nothing is missing, or nothing is known.
    """
    failure, info = read_failure(lines), _read_answer(DeviceInfo, lines)
    wanted = [] if failure is None else [failure.install]
    if info is not None:
        wanted += [each.install for each in info.formats if each.format in formats]
    return next((line for line in wanted if line and line not in (tried or ())), None)


def read_failure(lines: tuple[str, ...]) -> Failure | None:
    """Read the error of a command of the bundle; None where it printed none."""
    return _read_answer(Failure, lines)


def _read_answer(kind: type[T], lines: tuple[str, ...]) -> T | None:
    """Read the last line as JSON of one kind; None where it is something else."""
    try:
        with refusing(lambda reason: RemoteError(f"the device: {reason}")):
            return from_json(kind, parse_json(lines[-1]), "the device", RemoteError)
    except RemoteError:
        return None
