from __future__ import annotations

from pathlib import Path

import pytest

from resnet_edge.device.emulation import looks_emulated

X86 = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n"


@pytest.mark.parametrize(
    ("architecture", "cpuinfo", "emulated"),
    [
        ("x86_64", X86, False),
        ("i686", X86, False),
        ("aarch64", ARM, False),
        ("armv7l", ARM, False),
        ("aarch64", X86, True),
        ("armv7l", X86, True),
    ],
)
def test_another_processor_than_the_kernels(tmp_path: Path, architecture, cpuinfo, emulated):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert looks_emulated(architecture, tmp_path / "cpuinfo") is emulated


def test_without_a_description_nothing_is_claimed(tmp_path: Path):
    assert not looks_emulated("aarch64", tmp_path / "gone")
