"""The protocol, on a device that is a folder."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_edge.devices.ssh.scripts import HOME
from resnet_edge.devices.ssh.session import missing_packages
from resnet_edge.errors import ConnectionLostError, RemoteError, UsageError
from resnet_edge.ondevice.command.device_info import DeviceInfo, Failure, FormatRuntimes
from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.json_records import to_json

HOSTILE = ("--labels", 'it\'s; $(touch gone) "x" `y` *\\', "", "-n")


def folder_of(home: Path, session) -> Path:
    return home / HOME / session.key


def group_of(home: Path, session) -> int:
    """The run's process group, once the bundle itself has begun."""
    run, deadline = folder_of(home, session) / "run", time.monotonic() + 30
    while not (run / "log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int((run / "pid").read_text().split()[0])


def test_from_nothing_to_nothing(home: Path, session, recorder, tmp_path: Path):
    whole = session(*HOSTILE)
    assert whole.look().word == "empty"
    whole.copy()
    assert whole.look().word == "ready"
    whole.start()
    assert whole.look().word in ("running", "done")
    whole.follow()
    assert whole.look().word == "done"
    whole.collect(tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text()) == {"measured": True}
    assert recorder.said == [
        f"me@device: words {json.dumps(list(HOSTILE))}",
        "me@device: measuring",
        "me@device: last",
    ]
    whole.remove()
    assert list((home / ".cache").iterdir()) == []
    assert not list(home.parent.rglob("gone"))


def test_a_lost_connection_does_not_end_the_run(home: Path, session, tmp_path: Path):
    first = session()
    first.look()
    first.copy()
    first.start()
    (home / "drop").write_text("measuring")
    with pytest.raises(ConnectionLostError):
        first.follow()
    (home / "drop").unlink()
    second = session()
    assert second.look().word in ("running", "done")
    second.follow()
    second.collect(tmp_path / "result.json")
    assert (tmp_path / "result.json").exists()


def test_other_options_do_not_collect_it(home: Path, session):
    first = session("--long")
    first.look()
    first.copy()
    first.start()
    try:
        with pytest.raises(UsageError, match=r"^me@device measures this bundle with other options"):
            session("--threads", "1").look()
    finally:
        first.remove()


def test_one_measurement_at_a_time(home: Path, session, small_bundle: Path):
    first = session("--long")
    first.look()
    first.copy()
    first.start()
    try:
        with pytest.raises(RemoteError, match=r"is measuring another bundle, process \d+; two at"):
            replace(first, sha256="0" * 64).look()
    finally:
        first.remove()


def test_stopping_ends_the_process(home: Path, session):
    first = session("--long")
    first.look()
    first.copy()
    first.start()
    pid = group_of(home, first)
    first.remove()
    assert not (home / HOME).exists()
    status = Path(f"/proc/{pid}/stat")
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_run_that_is_gone_is_seen(home: Path, session):
    first = session("--long")
    first.look()
    first.copy()
    first.start()
    pid = group_of(home, first)
    os.killpg(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while first.look().word != "ended":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(RemoteError, match=r"^me@device: the run ended and left no result: words"):
        first.follow()
    assert first.look().word == "ready"


def test_a_restart_makes_the_process_number_another_s(home: Path, session):
    first = session("--long")
    first.look()
    first.copy()
    first.start()
    pid = group_of(home, first)
    file = folder_of(home, first) / "run" / "pid"
    file.write_text(f"{pid} another-start\n")
    try:
        assert first.look().word == "ended"
        first.forget()
        os.kill(pid, 0)  # it is left alone
    finally:
        os.killpg(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("word", "kind", "message"),
    [
        (
            "--fail",
            RemoteError,
            "me@device: numpy is not installed; expected 1.21 or later; run `pip install numpy`; "
            "or pass --install",
        ),
        ("--usage", UsageError, "me@device: --threads: got '0'"),
        (
            "--crash",
            RemoteError,
            "me@device: the run ended with exit code 137 and left no result: ",  # Killed
        ),
    ],
)
def test_the_runner_s_own_message(home: Path, session, word: str, kind, message: str):
    failing = session(word)
    failing.look()
    failing.copy()
    failing.start()
    with pytest.raises(kind, match=r"^" + re.escape(message)):
        failing.follow()
    assert failing.look().word == "ready"  # the bundle need not be copied again


def test_a_damaged_copy_is_refused(home: Path, session, small_bundle: Path):
    damaged = session()
    damaged.look()
    small_bundle.write_bytes(small_bundle.read_bytes() + b"x")
    with pytest.raises(RemoteError, match=r"^me@device: the bundle arrived damaged; run the same"):
        damaged.copy()
    assert damaged.look().word == "empty"


def test_no_python(home: Path, session):
    with pytest.raises(RemoteError, match=r"^me@device: /no/python'; x: not found; expected Pytho"):
        session(python="/no/python'; x").look()


def test_a_python_with_a_name_for_quotes(home: Path, session, tmp_path: Path):
    import sys

    odd = tmp_path / 'py\'; $(touch gone) "x"'
    odd.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    odd.chmod(0o755)
    odd_one = session("--a", python=str(odd))
    odd_one.look()
    odd_one.copy()
    odd_one.start()
    odd_one.follow()
    assert odd_one.look().word == "done"
    assert not list(home.parent.rglob("gone"))


@pytest.mark.parametrize("python", ["", "-c", "a\nb"])
def test_no_such_python_can_be(session, python: str):
    with pytest.raises(UsageError, match=r"^--python: got "):
        session(python=python)


def test_install_runs_pip_with_the_words_of_info(home: Path, session, recorder, tmp_path: Path):
    import sys

    pip = tmp_path / "python"  # answers `-m pip` itself
    pip.write_text(
        f'#!/bin/sh\n[ "$1 $2" = "-m pip" ] && {{ echo "pip $*"; exit; }}\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    pip.chmod(0o755)
    bare = session(python=str(pip))
    bare.look()
    bare.copy()
    bare.install(frozenset([Format.TFLITE]))
    assert recorder.said == []
    bare.install(frozenset([Format.ONNX]))
    assert recorder.said[0] == "me@device: pip install onnxruntime"
    assert re.fullmatch("me@device: pip -m pip install (--user )?onnxruntime", recorder.said[1])


def test_what_info_says_is_missing(device_info: DeviceInfo):
    old = FormatRuntimes(Format.TFLITE, (), "no runtime here", "tflite-runtime 'numpy<2'")
    info = replace(device_info, formats=(old, FormatRuntimes(Format.ONNX, ("x 1",), "", "")))
    lines = ("a greeting", json.dumps(to_json(info)))
    tflite, onnx = frozenset([Format.TFLITE]), frozenset([Format.ONNX])
    assert missing_packages(lines, tflite) == "tflite-runtime 'numpy<2'"
    assert missing_packages(lines, onnx) is None
    assert missing_packages(lines, tflite, {"tflite-runtime 'numpy<2'"}) is None
    failure = Failure("numpy is not installed; run `pip install numpy`", 1, "numpy")
    assert missing_packages((json.dumps(to_json(failure)),), frozenset()) == "numpy"
    assert missing_packages((json.dumps(to_json(replace(failure, install=""))),), tflite) is None
    assert missing_packages((f"error: {failure.error}",), onnx) is None
    assert missing_packages((), tflite) is None
