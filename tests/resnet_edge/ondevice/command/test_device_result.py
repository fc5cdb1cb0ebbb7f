from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_edge.errors import ArtifactError
from resnet_edge.ondevice.command.device_result import device_path, read_device_result
from resnet_edge.ondevice.json_records import write_record

WRITES = "expected what `python3 resnet-edge-device.pyz run --out FILE` writes"


def test_what_is_written_can_be_read(result_path: Path, tmp_path: Path):
    result = read_device_result(result_path)
    write_record(tmp_path / "again.json", result)
    assert read_device_result(tmp_path / "again.json") == result
    assert json.loads(result_path.read_text())["schema"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "r.json: not JSON ("),
        ("[]", f"r.json: not a device's result; {WRITES}"),
        ('{"schema": 1, "machine": {}}', f"r.json: not a device's result; {WRITES}"),
        (
            '{"schema": 2, "bundle_sha256": "ab"}',
            "r.json: schema 2; this resnet-edge reads 1; make the bundle with this resnet-edge",
        ),
        ('{"schema": 1, "bundle_sha256": "ab"}', "r.json: key 'pictures' is missing"),
    ],
)
def test_what_is_no_result(tmp_path: Path, text, message):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ArtifactError) as caught:
        read_device_result(tmp_path / "r.json")
    assert message in str(caught.value)


def test_no_file(tmp_path: Path):
    with pytest.raises(ArtifactError, match=r"r.json: cannot be read \(No such file or directory"):
        read_device_result(tmp_path / "r.json")


def test_devices_of_one_name_have_files_of_their_own(result_path: Path, tmp_path: Path):
    result = read_device_result(result_path)

    def path(**changes: object) -> Path:
        machine = replace(result.machine, host="living room/pi", **changes)
        return device_path(tmp_path, replace(result, bench=replace(result.bench, machine=machine)))

    assert path().name.startswith("device-living-room-pi-")
    assert path(python="3.9.2", system="Linux 6") == path()  # the same device later
    others = (path(cores=4), path(processor="Arm Cortex-A76"), path(runtimes={"LiteRT": "2"}))
    assert len({path(), *others}) == 4


@pytest.mark.parametrize("host", ["../../etc/passwd", "/root/.ssh/x", "..", "a\\..\\b", "x" * 300])
def test_a_host_name_does_not_leave_the_folder(result_path: Path, tmp_path: Path, host: str):
    result = read_device_result(result_path)
    machine = replace(result.machine, host=host)
    path = device_path(tmp_path, replace(result, bench=replace(result.bench, machine=machine)))
    assert path.resolve().parent == tmp_path.resolve()
    assert path.name.startswith("device-")
    assert len(path.name) < 100
