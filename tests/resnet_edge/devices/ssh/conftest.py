"""A device that is a folder: ``ssh`` and ``scp`` on the PATH that run everything here."""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_edge.devices.ssh.connection import Ssh
from resnet_edge.devices.ssh.session import Session
from resnet_edge.ondevice.command.device_info import DeviceInfo, FormatRuntimes
from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.json_records import to_json

# As sshd does: the words behind the host, joined by spaces, go to the user's shell. The file `drop`
# in the home cuts the connection at the first line that contains its text.
SSH = """
import os, subprocess, sys
home, words = os.environ["FAKE_HOME"], sys.argv[1:]
with open(os.environ["FAKE_LOG"], "a") as log:
    print("ssh", *words[: words.index("--") + 2], file=log)
there = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
process = subprocess.Popen(
    ["sh", "-c", " ".join(words[words.index("--") + 2 :])],
    stdout=subprocess.PIPE, cwd=home, env={**there, "HOME": home},
)
drop = os.path.join(home, "drop")
print("a start-up file says hello", flush=True)
for line in process.stdout:
    if os.path.exists(drop) and open(drop).read() in line.decode():
        process.stdout.close()
        sys.stderr.write("client_loop: send disconnect: Broken pipe\\r\\n")
        sys.exit(255)
    sys.stdout.buffer.write(line)
    sys.stdout.flush()
sys.exit(process.wait())
"""

SCP = """
import os, shutil, sys
home, words = os.environ["FAKE_HOME"], sys.argv[1:]
with open(os.environ["FAKE_LOG"], "a") as log:
    print("scp", *words, file=log)
def place(word):
    return word if word.startswith("/") else os.path.join(home, word.partition(":")[2])
try:
    shutil.copyfile(*map(place, words[-2:]))
except OSError as problem:
    sys.exit(f"scp: {problem.strerror}")
"""

INFO = DeviceInfo(
    host="device",
    system="Linux",
    processor="Cortex-A72",
    emulated=False,
    cpu_features=("asimd",),
    cores=4,
    memory_bytes=None,
    free_bytes=10**9,
    folder="/tmp",
    python="3.9.2",
    numpy="1.26.4",
    pillow_problem="Pillow is not installed; run `pip install pillow`",
    formats=(
        FormatRuntimes(Format.TFLITE, ("LiteRT 2.3.0",), "", ""),
        FormatRuntimes(Format.ONNX, (), "no runtime for onnx files is here", "onnxruntime"),
    ),
    model_name="m",
    model_sha256="ab" * 32,
    artifacts={"fp32.onnx": 1},
    pictures_bytes=1,
    made_by="resnet-edge",
)
"""The output of `info --json` there."""

RUNNER = """
import json, sys, time
words = sys.argv[1:]
if words[0] == "info":
    assert words[1:] == ["--json"]
    print(INFO)
    sys.exit()
assert words[3] == "--json"
print("words", json.dumps(words[4:]), file=sys.stderr, flush=True)
if "--fail" in words:
    message = "numpy is not installed; expected 1.21 or later; run `pip install numpy`"
    print(json.dumps({"error": message, "exit_code": 1, "install": "numpy"}))
    sys.exit(f"error: {message}")
print("{}")
if "--usage" in words:
    print("error: --threads: got '0'", file=sys.stderr)
    sys.exit(2)
if "--crash" in words:
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
if "--long" in words:
    time.sleep(600)
print("measuring", file=sys.stderr, flush=True)
time.sleep(4 if "--wait" in words else 0.5)
with open(words[2], "w") as out:
    out.write('{"measured": true}')
print("last", end="", file=sys.stderr, flush=True)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The device's home, with a name that a shell would take apart."""
    programs, folder = tmp_path / "bin", tmp_path / "ho me';$(touch gone)\" &"
    programs.mkdir()
    folder.mkdir()
    for name, source in (("ssh", SSH), ("scp", SCP)):
        (programs / name).write_text(f"#!{sys.executable}\n{source}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("FAKE_HOME", str(folder))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    return folder


@pytest.fixture
def calls(home: Path) -> Callable[[], list[str]]:
    """The programs' command lines so far."""
    return lambda: (home.parent / "log").read_text().splitlines()


@pytest.fixture
def small_bundle(tmp_path: Path) -> Path:
    """An archive that behaves as a bundle does, in half a second and without NumPy."""
    path = tmp_path / "resnet-edge-device.pyz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__main__.py", f"INFO = {json.dumps(to_json(INFO))!r}\n{RUNNER}")
    return path


@pytest.fixture
def device_info() -> DeviceInfo:
    """A device without a runtime for ONNX files."""
    return INFO


@pytest.fixture
def session(small_bundle: Path, recorder) -> Callable[..., Session]:
    """A session with these options of ``run``."""
    sha256 = hashlib.sha256(small_bundle.read_bytes()).hexdigest()

    def make(*words: str, python: str = sys.executable, host: str = "me@device") -> Session:
        return Session(Ssh(host), small_bundle, sha256, python, words, recorder)

    return make
