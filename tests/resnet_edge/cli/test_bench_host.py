"""``bench --host``: a device that is a folder, and a bundle that is a real one."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from resnet_edge.ondevice.command.device_result import read_device_result
from resnet_edge.ondevice.files import hash_path

SSH = """
import os, signal, subprocess, sys, time
home, words = os.environ["FAKE_HOME"], sys.argv[1:]
if os.path.exists(os.path.join(home, "deaf")):
    sys.stderr.write("ssh: connect to host device port 22: Connection timed out\\r\\n")
    sys.exit(255)
there = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
process = subprocess.Popen(
    ["sh", "-c", " ".join(words[words.index("--") + 2 :])],
    stdout=subprocess.PIPE, cwd=home, env={**there, "HOME": home},
)
for line in process.stdout:
    for word in ("drop", "interrupt"):
        path = os.path.join(home, word)
        if os.path.exists(path) and b"answering" in line:
            os.remove(path)
            if word == "interrupt":
                os.kill(os.getppid(), signal.SIGINT)
                time.sleep(60)
            process.stdout.close()
            sys.stderr.write("Connection to device closed by remote host.\\r\\n")
            sys.exit(255)
    sys.stdout.buffer.write(line)
    sys.stdout.flush()
sys.exit(process.wait())
"""

SCP = """
import os, shutil, sys
def place(word):
    home = os.environ["FAKE_HOME"]
    return word if word.startswith("/") else os.path.join(home, word.partition(":")[2])
with open(os.path.join(os.environ["FAKE_HOME"], "copied"), "a") as log:
    print(*sys.argv[-2:], file=log)
shutil.copyfile(*map(place, sys.argv[-2:]))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    programs, folder = tmp_path / "bin", tmp_path / "home"
    programs.mkdir()
    folder.mkdir()
    for name, source in (("ssh", SSH), ("scp", SCP)):
        (programs / name).write_text(f"#!{sys.executable}\n{source}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("FAKE_HOME", str(folder))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return folder


def words_of(build: Path) -> tuple[str | Path, ...]:
    return (
        *("bench", "--host", "device", "--python", sys.executable, "--out", build),
        *("--formats", "int8.tflite", "--threads", "1", "--min-seconds", "0.02"),
        *("--min-queries", "4", "--allow-inconclusive"),
    )


def test_a_lost_connection_then_the_result(home: Path, build: Path, cli):
    words = words_of(build)
    (home / "drop").touch()
    lost = cli(*words)
    assert lost.code == 1
    assert lost.err.splitlines()[-1] == (
        "error: connection to device lost (Connection to device closed by remote host.); the "
        "measurement goes on there; run the same command again to collect it"
    )
    assert not list((build / "results").glob("device-*.json"))
    ran = cli(*words)
    assert ran.code == 0, ran.err
    (path,) = (build / "results").glob("device-*.json")
    result = read_device_result(path)
    assert [a.name for a in result.parity.artifacts] == ["int8.tflite"]
    assert result.bundle_sha256 == hash_path(build / "resnet-edge-device.pyz")
    assert "device: int8.tflite: answering " in ran.err
    assert ran.out.splitlines()[-1] == f"result: {path}"
    assert len((home / "copied").read_text().splitlines()) == 2  # the bundle once, the result
    assert list((home / ".cache").iterdir()) == []


def test_json_alone(home: Path, build: Path, cli):
    ran = cli(*words_of(build), "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["parity"]["artifacts"][0]["name"] == "int8.tflite"
    assert ran.err == ""


def test_ctrl_c_stops_it_there(request, home: Path, build: Path, cli):
    # A shell without a terminal lets what it starts in the background ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    (home / "interrupt").touch()
    ran = cli(*words_of(build))
    assert ran.code == 130
    assert "stopping the measurement on device" in ran.err
    assert "device: stopped, nothing is left there" in ran.err
    assert list((home / ".cache").iterdir()) == []


def test_a_device_that_does_not_answer(home: Path, build: Path, cli):
    (home / "deaf").touch()
    ran = cli(*words_of(build))
    assert ran.code == 1
    assert ran.err.splitlines()[-1] == (
        "error: device cannot be reached: ssh: connect to host device port 22: Connection timed out"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--install",), "--install is about a device; name it with --host"),
        (("--python", "python3"), "--python is about a device; name it with --host"),
        (("--host", "pi", "--profile"), "--profile times operators on this machine; leave it out"),
        (("--host=-oProxyCommand=x",), "--host: got '-oProxyCommand=x'; expected device or user@"),
        (("--host", "pi", "--python=-c"), "--python: got '-c'; expected a command or a path on"),
    ],
)
def test_options_that_do_not_go_together(edge_build: Path, cli, words, message):
    ran = cli("bench", "--out", edge_build, *words)
    assert ran.code == 2
    assert message in ran.err
