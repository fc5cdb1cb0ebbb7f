from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest

from resnet_edge.exporting.memory import return_freed_memory
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.machine import available_memory_bytes, describe_machine

EPYC = """processor\t: 0
model name\t: AMD EPYC 7B13
flags\t\t: fpu sse4_2 avx avx2 fma f16c

processor\t: 1
model name\t: AMD EPYC 7B13
flags\t\t: fpu sse4_2 avx avx2 fma f16c

"""

BIG_LITTLE = """processor\t: 0
Features\t: fp asimd asimdhp asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd05

processor\t: 1
Features\t: fp asimd asimdhp asimddp i8mm
CPU implementer\t: 0x41
CPU part\t: 0xd0b

Hardware\t: Some board
"""

APPLE_IN_A_VM = """processor\t: 0
Features\t: asimd i8mm
CPU implementer\t: 0x61
CPU part\t: 0x000
"""


NAMELESS_MODEL_NAME = """processor\t: 0
model name\t: ARMv8 Processor rev 3 (v8l)
Features\t: fp asimd crc32
CPU implementer\t: 0x41
CPU part\t: 0xd08
"""


@pytest.mark.parametrize(
    ("text", "processor", "features"),
    [
        (EPYC, "AMD EPYC 7B13", ("avx", "avx2", "fma", "f16c")),
        (BIG_LITTLE, "Arm Cortex-A55, Arm Cortex-A76", ("asimd", "asimdhp", "asimddp")),
        (NAMELESS_MODEL_NAME, "Arm Cortex-A72", ("asimd",)),
        (APPLE_IN_A_VM, "Arm implementer 0x61 part 0x000", ("asimd", "i8mm")),
    ],
)
def test_cpuinfo_is_understood(tmp_path: Path, text, processor, features):
    (tmp_path / "cpuinfo").write_text(text)
    machine = describe_machine({}, tmp_path / "cpuinfo")
    assert machine.processor == processor
    assert machine.cpu_features == features


@pytest.mark.parametrize("text", [None, "", "nothing known\n", "flags\n\n:\n"])
def test_other_systems_say_what_python_knows(tmp_path: Path, monkeypatch, text):
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    machine = describe_machine({}, tmp_path / "cpuinfo")
    assert (machine.processor, machine.cpu_features) == ("riscv64", ())


def test_this_machine():
    machine = describe_machine({"onnxruntime": "1.32", "LiteRT": "2.3"})
    assert machine.host == (platform.node() or "unknown")
    assert machine.system.split()[0] == platform.system()
    assert machine.processor
    assert machine.python == platform.python_version()
    assert list(machine.runtimes.items()) == [("LiteRT", "2.3"), ("onnxruntime", "1.32")]


def test_cores_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert available_cores() == 2
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert available_cores() == 1


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [(None, None, 3 << 20), ("max", "0", 3 << 20), ("4000000", "1000000", 3_000_000)],
)
def test_available_memory(tmp_path: Path, limit, used, expected):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 4096 kB\nMemAvailable:    3072 kB\n")
    paths = []
    for name, text in (("limit", limit), ("used", used)):
        paths.append(tmp_path / name)
        if text is not None:
            paths[-1].write_text(f"{text}\n")
    assert available_memory_bytes(meminfo, *paths) == expected
    assert available_memory_bytes(tmp_path / "none", *paths) is None


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_is_returned():
    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    kept = [b"x" * 100_000 for _ in range(2_000)]  # too small to be mapped one by one
    pin = b"x" * 100_000  # above them, so that the heap cannot shrink by itself
    before = resident()
    del kept
    return_freed_memory()
    assert before - resident() > 100_000_000
    assert len(pin) == 100_000


def test_without_glibc_nothing_happens(monkeypatch):
    import ctypes

    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    return_freed_memory()
