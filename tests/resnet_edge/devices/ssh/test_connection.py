"""The two commands, with programs in their place that run everything here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_edge.devices.ssh.connection import (
    BEGIN,
    Ssh,
    printable,
    remote_command,
)
from resnet_edge.errors import ConnectionLostError, RemoteError, UsageError

ECHO = f"echo '{BEGIN}'\nfor word in \"$@\"; do printf '%s\\n' \"$word\"; done\n"
words = st.lists(
    st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20),
    max_size=4,
)


@given(words)
def test_every_word_arrives_as_it_is(texts: list[str]):
    script = b'for word in "$@"; do printf \'%s\\0\' "$word"; done'
    command = ["sh", "-c", remote_command(tuple(texts))]
    done = subprocess.run(command, input=script, capture_output=True, check=True)
    assert done.stdout.decode() == "".join(f"{text}\0" for text in texts)
    assert done.stderr == b""


@pytest.mark.parametrize(
    "host",
    [
        *("", "-oProxyCommand=touch gone", "me@-device", "-me@device", "a b", "a;b", "$(x)"),
        *("a:b", "ssh://device", "[::1]", "a@b@c", "device\n", "`x`", "a'b", "é"),
    ],
)
def test_no_host_that_ssh_or_a_shell_could_read_otherwise(host: str):
    with pytest.raises(UsageError, match=r"^--host: got .*; expected device or user@device"):
        Ssh(host)


@pytest.mark.parametrize("host", ["pi", "me@pi.local", "first.last@10.0.0.7", "a_b-c"])
def test_hosts(host: str):
    assert Ssh(host).host == host


def test_lines_come_one_by_one_without_what_start_up_files_say(home: Path):
    told: list[str] = []
    answer = Ssh("device").run(ECHO, ("a b", "\x1b[2Jit's", "$HOME"), told.append)
    assert (answer.code, answer.lines) == (0, ("a b", "\x1b[2Jit's", "$HOME"))
    assert told == ["a b", " [2Jit's", "$HOME"]


def test_the_exit_code_is_the_scripts(home: Path):
    assert Ssh("device").run(f"echo '{BEGIN}'; exit 7\n", ()).code == 7


def test_only_what_is_needed_is_decided(home: Path, calls):
    Ssh("me@device").run(ECHO, ())
    (line,) = calls()
    assert line == (
        "ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15 "
        "-o ServerAliveCountMax=4 -T -- me@device"
    )


def test_a_lost_connection_is_ssh_s_last_line(home: Path):
    (home / "drop").write_text("two")
    with pytest.raises(ConnectionLostError, match=r"^client_loop: send disconnect: Broken pipe$"):
        Ssh("device").run(ECHO, ("one", "two"))


def test_without_the_first_line_nothing_was_run(home: Path):
    with pytest.raises(ConnectionLostError, match="exit code 0, and no word why"):
        Ssh("device").run("exit 0\n", ())


def test_no_ssh_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RemoteError, match=r"^ssh: not found; expected OpenSSH's client; install"):
        Ssh("device").run(ECHO, ())


def test_copies(home: Path, tmp_path: Path):
    (tmp_path / "here").write_text("text")
    Ssh("device").send(tmp_path / "here", "there")
    assert (home / "there").read_text() == "text"
    Ssh("device").fetch("there", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "text"
    with pytest.raises(ConnectionLostError, match=r"^scp: No such file or directory$"):
        Ssh("device").fetch("nothing", tmp_path / "back")


def test_printable():
    assert printable("a\x1b]0;x\x07b\t\n") == "a ]0;x b"
