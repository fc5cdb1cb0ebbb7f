"""Whether a processor is emulated. Standard library only."""

from __future__ import annotations

import platform
from pathlib import Path

from resnet_edge.machine import CPUINFO


def looks_emulated(architecture: str | None = None, cpuinfo: Path = CPUINFO) -> bool:
    """Whether Python runs on another processor than the kernel's, as in user-mode emulation.

    QEMU's user mode says ``aarch64`` of itself and shows the x86 host's ``/proc/cpuinfo``. What
    emulates a whole machine cannot be told from one.

    Args:
        architecture: As ``platform.machine()`` gives it; None asks.
        cpuinfo: Linux' description of the processor.
    """
    architecture = architecture or platform.machine()
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    of_x86 = "vendor_id" in text and "flags" in text
    is_x86 = architecture.lower() in ("x86_64", "amd64", "i386", "i486", "i586", "i686")
    return of_x86 and not is_x86
