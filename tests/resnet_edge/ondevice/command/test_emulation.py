from __future__ import annotations

from pathlib import Path

import pytest

from resnet_edge.ondevice.command.emulation import looks_emulated

X86 = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n"


def ask(folder: Path, architecture: str, **files: str) -> bool:
    """Of a system with these files alone."""
    for name, text in files.items():
        (folder / name).write_text(text)
    names = ("cpuinfo", "kernel_arch", "modalias")
    return looks_emulated(architecture, *(folder / name for name in names))


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
    assert ask(tmp_path, architecture, cpuinfo=cpuinfo) is emulated


@pytest.mark.parametrize(
    ("architecture", "kernel_arch", "modalias", "emulated"),
    [
        ("aarch64", "x86_64\n", "", True),
        ("armv7l", "", "cpu:type:x86,ven0002fam0019mod0011:feature:,0000\n", True),
        ("aarch64", "aarch64\n", "cpu:type:aarch64:feature:,0000\n", False),
        ("armv7l", "aarch64\n", "cpu:type:aarch64:feature:,0000\n", False),
        ("i686", "x86_64\n", "cpu:type:x86,ven0002fam0019mod0011:feature:,0000\n", False),
    ],
)
def test_a_made_up_processor_before_the_kernels_words(
    tmp_path: Path, architecture, kernel_arch, modalias, emulated
):
    """As QEMU 10 shows it; and 32-bit programs on 64-bit kernels, which are not emulated."""
    files = {"cpuinfo": ARM, "kernel_arch": kernel_arch, "modalias": modalias}
    assert ask(tmp_path, architecture, **files) is emulated


def test_without_a_description_nothing_is_claimed(tmp_path: Path):
    assert not ask(tmp_path, "aarch64")
