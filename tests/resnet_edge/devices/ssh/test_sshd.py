"""Against a real sshd on the loopback address, with host key checking on."""

from __future__ import annotations

import getpass
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_edge.errors import ConnectionLostError, RemoteError

SFTP = shutil.which("sftp-server", path="/usr/lib/openssh:/usr/libexec/openssh:/usr/lib/ssh")
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(None in (SSHD, SFTP), reason="sshd is absent: install openssh-server"),
]


@pytest.fixture(params=["sftp", "no sftp"])
def device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """An sshd, and an ssh on the PATH whose configuration knows it as ``device``; its home."""
    base, programs = tmp_path / "sshd", tmp_path / "bin"
    home = tmp_path / "ho me"
    for folder in (base, programs, home):
        folder.mkdir(mode=0o700)
    for key in ("host", "user"):
        make = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(base / key))
        subprocess.run(make, check=True)
    shutil.copy(base / "user.pub", base / "authorized_keys")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # What is here forced takes the words as the user's shell does, in a home of its own.
    start = f'export HOME={shlex.quote(str(home))}; cd; exec sh -c "$SSH_ORIGINAL_COMMAND"'
    (base / "start").write_text(start)
    (base / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {base / 'host'}\nPidFile none\n"
        f"AuthorizedKeysFile {base / 'authorized_keys'}\nStrictModes no\nUsePAM no\n"
        f"PasswordAuthentication no\nForceCommand sh {base / 'start'}\n"
    )
    if request.param == "sftp":
        with (base / "config").open("a") as config:
            config.write(f"Subsystem sftp {SFTP}\n")
    (base / "known_hosts").write_text(
        f"[127.0.0.1]:{port} {' '.join((base / 'host.pub').read_text().split()[:2])}\n"
    )
    (base / "client").write_text(
        f"Host device stranger\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n"
        f" IdentityFile {base / 'user'}\n IdentitiesOnly yes\n StrictHostKeyChecking yes\n"
        f"Host device\n UserKnownHostsFile {base / 'known_hosts'}\n"
        f"Host stranger\n UserKnownHostsFile {base / 'nobody'}\n"
        "Host nobody-there\n HostName 127.0.0.1\n Port 1\n"
    )
    for name in ("ssh", "scp"):
        real = shutil.which(name)
        client = shlex.quote(str(base / "client"))
        (programs / name).write_text(f'#!/bin/sh\nexec {real} -F {client} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    Path("/run/sshd").mkdir(exist_ok=True)
    log = (base / "log").open("w")
    server = subprocess.Popen([str(SSHD), "-D", "-e", "-f", base / "config"], stderr=log)
    try:
        _wait_for(port)
        yield home
    finally:
        server.terminate()
        server.wait()
        log.close()


def _wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("sshd did not start")


def test_a_whole_run(device: Path, session, recorder, tmp_path: Path):
    whole = session("--words", "it's; $(touch gone)", host="device")
    assert whole.look().word == "empty"
    whole.copy()
    assert whole.look().word == "ready"
    whole.start()
    whole.follow()
    whole.collect(tmp_path / "result.json")
    whole.remove()
    assert (tmp_path / "result.json").read_text() == '{"measured": true}'
    assert "device: measuring" in recorder.said
    assert list((device / ".cache").iterdir()) == []
    assert not list(tmp_path.rglob("gone"))


def test_an_unknown_host_key_is_refused(device: Path, session):
    with pytest.raises(RemoteError, match=r"^stranger cannot be reached: Host key verification"):
        session(host="stranger").look()
    assert list(device.iterdir()) == []


def test_nobody_there(device: Path, session):
    with pytest.raises(RemoteError, match=r"^nobody-there cannot be reached: .*refused"):
        session(host="nobody-there").look()


def test_a_killed_client_and_the_next_call(
    device: Path, session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = session("--wait", host="device")
    first.look()
    first.copy()
    first.start()
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def watched(*words, **options):
        started.append(real(*words, **options))
        return started[-1]

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", watched)
        timer = threading.Timer(0.7, lambda: started[0].send_signal(signal.SIGKILL))
        timer.start()
        with pytest.raises(ConnectionLostError, match="SIGKILL"):
            first.follow()
        timer.join()
    second = session("--wait", host="device")
    assert second.look().word == "running"
    second.follow()
    second.collect(tmp_path / "result.json")
    second.remove()
    assert (tmp_path / "result.json").read_text() == '{"measured": true}'
    assert sys.executable in second.asked
