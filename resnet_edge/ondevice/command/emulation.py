"""Recognises an emulated processor."""

from __future__ import annotations

import platform
from pathlib import Path

from resnet_edge.ondevice.machine import CPUINFO

KERNEL_ARCH = Path("/proc/sys/kernel/arch")
"""Since Linux 6.1, e.g. ``x86_64``."""

CPU_MODALIAS = Path("/sys/devices/system/cpu/modalias")
"""On older kernels, e.g. ``cpu:type:x86,ven0002...``."""


def looks_emulated(
    architecture: str | None = None,
    cpuinfo: Path = CPUINFO,
    kernel_arch: Path = KERNEL_ARCH,
    modalias: Path = CPU_MODALIAS,
) -> bool:
    """Return True if Python runs on another processor than the kernel's: user-mode emulation.

    QEMU's user mode calls itself ``aarch64``. Up to version 7 it shows the x86 host's
    ``/proc/cpuinfo``. Version 10 makes up an Arm one, but passes on the kernel's own description of
    its processor. Emulation of a whole machine is not recognised.

    Args:
        architecture: The result of ``platform.machine()``; None asks for it.
        cpuinfo: Linux' description of the processor.
        kernel_arch: The kernel's name of its architecture.
        modalias: The processor's name for kernel modules.
    """
    architecture = architecture or platform.machine()
    if architecture.lower() in ("x86_64", "amd64", "i386", "i486", "i586", "i686"):
        return False
    described = _read(cpuinfo)
    return (
        ("vendor_id" in described and "flags" in described)
        or _read(kernel_arch).strip() in ("x86_64", "i686")
        or _read(modalias).startswith("cpu:type:x86,")
    )


def _read(path: Path) -> str:
    """Empty where the system does not tell."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
