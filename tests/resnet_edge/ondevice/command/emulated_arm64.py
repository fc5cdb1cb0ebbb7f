"""An arm64 Python on an x86 machine: QEMU's user mode over unpacked Debian packages.

Everything lands in one folder: apt works with lists, cache and state of its own, no package is
installed, no right beyond writing there is needed. QEMU comes from Debian 13, since version 7 of
Debian 12 crashes in today's runtimes; the root from Debian 12, whose Python 3.11 is the last one
that tflite-runtime has wheels for.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ROOT_SUITE, QEMU_SUITE = "bookworm", "trixie"
PYTHON = "3.11"

ROOT_PACKAGES = (
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libssl3", "libffi8"),
    *("libbz2-1.0", "liblzma5", "libsqlite3-0", "libuuid1", "libcrypt1"),
    *(f"python{PYTHON}-minimal", f"libpython{PYTHON}-minimal", f"libpython{PYTHON}-stdlib"),
)
"""The system libraries that Python and the runtimes load."""

WHEEL_PLATFORMS = tuple(f"manylinux_2_{minor}_aarch64" for minor in (17, 27, 28, 34))
"""Up to the root's glibc 2.36."""


class AbsentError(Exception):
    """The emulated Python cannot be had here; the message says why."""


class Arm64:
    """An unpacked root and QEMU.

    Args:
        folder: An empty one that is kept as long as the emulated Python is used.

    Raises:
        AbsentError: This is no x86 Debian-like machine, or the packages cannot be had.
    """

    def __init__(self, folder: Path) -> None:
        if platform.machine() != "x86_64":
            raise AbsentError(f"this is {platform.machine()}; the emulator comes for x86_64")
        for tool in ("apt-get", "apt-config", "dpkg"):
            if shutil.which(tool) is None:
                raise AbsentError(f"there is no {tool} here")
        if not KEYRING.exists():
            raise AbsentError(f"there is no {KEYRING}; install debian-archive-keyring")
        self._folder = folder
        self._root, tools = folder / "root", folder / "tools"
        self._environment = _private_apt(folder / "apt")
        self._apt("update")
        self._unpack(self._root, *(f"{name}:arm64/{ROOT_SUITE}" for name in ROOT_PACKAGES))
        self._unpack(tools, f"qemu-user:amd64/{QEMU_SUITE}")
        self._qemu = tools / "usr" / "bin" / "qemu-aarch64"

    def python(self, cpu: str, *packages: str) -> Path:
        """Return a command that behaves as an arm64 interpreter with these packages.

        QEMU tells Python the command's own name (``-0``), so that ``sys.executable`` is the command
        and child processes, too, run emulated without the kernel's help (binfmt_misc).

        Args:
            cpu: QEMU's name of the processor.
            packages: As pip takes them.

        Raises:
            AbsentError: There are no such wheels.
        """
        name = "-".join("".join(c for c in p if c.isalnum() or c in "._") for p in packages)
        site, command = self._folder / f"site-{name}", self._folder / f"python-{cpu}-{name}"
        if not site.exists():
            platforms = [word for tag in WHEEL_PLATFORMS for word in ("--platform", tag)]
            _run(
                *(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site)),
                *("--only-binary", ":all:", "--python-version", PYTHON, *platforms, *packages),
            )
        interpreter = self._root / "usr" / "bin" / f"python{PYTHON}"
        command.write_text(
            "#!/bin/sh\n"
            f'export PYTHONHOME="{self._root}/usr"\n'
            f'export PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{site}"\n'
            f'exec "{self._qemu}" -0 "$0" -cpu {cpu} -L "{self._root}" "{interpreter}" "$@"\n'
        )
        command.chmod(0o755)
        return command

    def _apt(self, *words: str) -> None:
        _run("apt-get", "--quiet", *words, cwd=self._folder, environment=self._environment)

    def _unpack(self, target: Path, *packages: str) -> None:
        self._apt("download", *packages)
        for archive in self._folder.glob("*.deb"):
            _run("dpkg", "-x", str(archive), str(target))
            archive.unlink()


def _private_apt(folder: Path) -> dict[str, str]:
    """Configure apt for two architectures and two suites; this machine's keeps its own.

    Its ways to the network are taken over, its hooks are not.
    """
    for path in ("state/lists/partial", "cache/archives/partial"):
        (folder / path).mkdir(parents=True)
    (folder / "state" / "status").touch()
    (folder / "sources.list").write_text(
        "".join(
            f"deb [signed-by={KEYRING}] {MIRROR} {suite} main\n"
            for suite in (ROOT_SUITE, QEMU_SUITE)
        )
    )
    dump = _run("apt-config", "dump")
    ways = [line for line in dump.splitlines() if line.lower().startswith("acquire::http")]
    (folder / "apt.conf").write_text(
        "\n".join(
            [
                'Dir::Etc::Parts "/dev/null";',
                'Dir::Etc::Main "/dev/null";',
                'Dir::Etc::SourceParts "/dev/null";',
                f'Dir::Etc::SourceList "{folder}/sources.list";',
                f'Dir::State "{folder}/state";',
                f'Dir::State::status "{folder}/state/status";',
                f'Dir::Cache "{folder}/cache";',
                'APT::Architecture "amd64";',
                'APT::Architectures { "amd64"; "arm64"; };',
                'APT::Sandbox::User "root";',
                *ways,
            ]
        )
        + "\n"
    )
    return {"APT_CONFIG": str(folder / "apt.conf")}


def _run(*command: str, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        check=False,
    )
    if done.returncode:
        why = (done.stderr or done.stdout).strip()[-300:]
        raise AbsentError(f"{' '.join(command[:3])} failed: {why}")
    return done.stdout
