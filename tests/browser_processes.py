"""Real browsers as processes: how each is started on Debian, and how all of it is ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARK = "RESNET_EDGE_BROWSER"
"""The variable that every process of a browser inherits; its value is the profile's folder."""

PATIENCE_S = 5.0
OTHER_USER = "nobody"

PREFERENCES = {
    # Else a second tab comes up, and the page is hidden.
    "datareporting.policy.dataSubmissionEnabled": False,
    "browser.shell.checkDefaultBrowser": False,
}


@dataclass(frozen=True)
class Kind:
    """A browser, and how it opens one page without a window on a screen."""

    name: str
    """As results name it, in small letters."""
    program: str
    """A name, or the pattern of a path."""
    words: Callable[[str, Path], tuple[str, ...]]
    """The command line for the program and a profile; the address follows."""
    needs: tuple[str, ...] = ()
    """Further programs."""

    def found(self) -> str | None:
        """The program's path; None where it is not here."""
        if "/" not in self.program:
            return shutil.which(self.program)
        paths = sorted(Path("/").glob(self.program.lstrip("/")))
        return str(paths[-1]) if paths else None

    def missing(self) -> str:
        """The reason why it cannot be started here; empty if it can."""
        lacking = [name for name in self.needs if shutil.which(name) is None]
        if self.found() is None:
            lacking.insert(0, self.program)
        return f"{self.name}: {' and '.join(lacking)} not found here" if lacking else ""


CHROMIUM = Kind(
    "chromium",
    "chromium",
    lambda program, profile: (
        *(program, "--headless", "--enable-unsafe-webgpu", f"--user-data-dir={profile}"),
        # Nobody looks at it, but it has to run as fast as if it were in front.
        *("--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding"),
    ),
)
FIREFOX = Kind(
    "firefox",
    "firefox-esr",
    lambda program, profile: (program, "--headless", "--no-remote", "--profile", str(profile)),
)
WEBKIT = Kind(
    "webkit",
    "/usr/lib/*/webkit2gtk-4.*/MiniBrowser",
    lambda program, profile: ("xvfb-run", "-a", program),
    ("xvfb-run",),
)
KINDS = {kind.name: kind for kind in (CHROMIUM, FIREFOX, WEBKIT)}


@contextlib.contextmanager
def opened(
    kind: Kind,
    address: str,
    flags: Sequence[str] = (),
    preferences: Mapping[str, object] | None = None,
    as_other_user: bool = False,
    pipes: Mapping[str, int] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Open a page in a new profile; at the end every process and file of it is gone.

    Args:
        kind: The browser.
        address: The page's.
        flags: Further ones of its command line.
        preferences: Firefox' only, beside ``PREFERENCES``.
        as_other_user: True starts it as ``nobody``, so that Chromium has its sandbox.
        pipes: ``stdin`` and ``stdout`` as of ``Popen``; without them it has neither.
    """
    profile = Path(tempfile.mkdtemp(prefix="resnet-edge-browser-"))
    settings = {**PREFERENCES, **(preferences or {})}
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(settings[name])});\n" for name in settings]
    (profile / "user.js").write_text("".join(lines))
    program = kind.found()
    assert program is not None, kind.missing()
    command = [*kind.words(program, profile), *flags, address]
    if as_other_user:
        shutil.chown(profile, OTHER_USER)
        command = ["runuser", "-u", OTHER_USER, "--", *command]
    elif kind is CHROMIUM and os.geteuid() == 0:
        command.insert(1, "--no-sandbox")  # it refuses root otherwise
    if pipes is not None:
        # Chromium's driver is at 3 and 4.
        command = ["sh", "-c", 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null', "sh", *command]
    homes = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    environment = {**os.environ, **dict.fromkeys((*homes, MARK), str(profile))}
    streams = pipes or {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    try:
        with subprocess.Popen(
            command,
            env=environment,
            cwd=profile,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **streams,  # type: ignore[call-overload]
        ) as process:
            try:
                yield process
            finally:
                end(process, profile)
    finally:
        shutil.rmtree(profile, ignore_errors=True)


def end(process: subprocess.Popen[bytes], profile: Path) -> None:
    """End all processes of a browser.

    Raises:
        AssertionError: One is still there.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in processes_of(process.pid, profile):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        for _ in range(round(PATIENCE_S / 0.1)):
            process.poll()
            if not processes_of(process.pid, profile):
                return
            time.sleep(0.1)
    raise AssertionError(f"processes left over: {processes_of(process.pid, profile)}")


def processes_of(session: int, profile: Path) -> list[int]:
    """The processes of a session, or with the mark of a profile; dead ones do not count."""
    found = []
    mark = f"{MARK}={profile}\0".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        # What ends in between, and other users' processes.
        with contextlib.suppress(OSError):
            state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if state != "Z" and (
                int(its_session) == session or mark in (folder / "environ").read_bytes()
            ):
                found.append(int(folder.name))
    return found


def renderers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Chromium's processes that hold pages."""
    folder = Path("/proc")
    return [
        pid
        for pid in processes_of(process.pid, Path("/nowhere"))
        if b"--type=renderer" in (folder / str(pid) / "cmdline").read_bytes()
    ]


class Driver:
    """Chromium's DevTools protocol, over the pipes that ``--remote-debugging-pipe`` reads.

    It opens a page again in the same tab, which no command line can.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process, self._last = process, 0
        targets = self._ask("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._tab = self._ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]

    def open(self, address: str) -> None:
        """Open a page in the tab."""
        self._ask("Page.navigate", tab=True, url=address)

    def reload(self) -> None:
        """Load the page again, as a person does whose page has crashed."""
        self._ask("Page.reload", tab=True)

    def text(self, selector: str) -> str:
        """The text that a person reads in an element."""
        expression = f"document.querySelector({json.dumps(selector)}).innerText"
        found = self._ask("Runtime.evaluate", tab=True, expression=expression)
        return str(found["result"].get("value", ""))

    def _ask(self, method: str, tab: bool = False, **parameters: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if tab:
            message["sessionId"] = self._tab
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        while True:  # events come in between
            answer = json.loads(self._read())
            if answer.get("id") == self._last:
                return dict(answer["result"])

    def _read(self) -> bytes:
        assert self._process.stdout is not None
        found = b""
        while (byte := self._process.stdout.read(1)) != b"\0":
            assert byte, "the browser has ended"
            found += byte
        return found


@contextlib.contextmanager
def driven_chromium() -> Iterator[tuple[subprocess.Popen[bytes], Driver]]:
    """Chromium with one empty tab, and its driver."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    flags = ("--remote-debugging-pipe",)
    with opened(CHROMIUM, "about:blank", flags, pipes=pipes) as process:
        yield process, Driver(process)
