"""Describes the machine that a measurement was made on, so that two can be compared."""

from __future__ import annotations

import contextlib
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.cpu_features import CPU_FEATURES
from resnet_edge.ondevice.measurements import Machine

CPUINFO = Path("/proc/cpuinfo")
MEMINFO = Path("/proc/meminfo")
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
MEMORY_USED = Path("/sys/fs/cgroup/memory.current")

# Linux gives Arm cores by number only: Arm's "Main ID Register", implementer 0x41.
_ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78",
    "0xd42": "Cortex-A78AE",
    "0xd44": "Cortex-X1",
    "0xd49": "Neoverse-N2",
    "0xd4f": "Neoverse-V2",
}


def describe_machine(runtimes: Mapping[str, str], cpuinfo: Path = CPUINFO) -> Machine:
    """Describe this machine.

    Args:
        runtimes: Name and version of every runtime that was used.
        cpuinfo: Linux' description of the processor. Where there is none, the processor is what
            Python's ``platform`` knows, and no feature is listed.

    Returns:
        Host, system, processor, the processor's features as far as they matter for inference, cores
        that this process may use, and versions.
    """
    cores = _read_cores(cpuinfo)
    return Machine(
        host=platform.node() or "unknown",
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_processor(cores) or platform.processor() or platform.machine() or "unknown",
        cpu_features=_features(cores),
        cores=available_cores(),
        python=platform.python_version(),
        runtimes=dict(sorted(runtimes.items())),
    )


def host_file_name(host: str) -> str:
    """Return a machine's name as part of a file name; other characters become ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", host)[:64].strip("-.") or "unknown"


def available_memory_bytes(
    meminfo: Path = MEMINFO, limit: Path = MEMORY_LIMIT, used: Path = MEMORY_USED
) -> int | None:
    """Return the bytes that programs may take now: the machine's, or a container's lower limit.

    Args:
        meminfo: Linux' account of the memory.
        limit: The control group's limit, in bytes.
        used: The bytes that the control group takes of it.

    Returns:
        None if the system does not tell.
    """
    try:
        lines = meminfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    with contextlib.suppress(OSError, ValueError):  # no limit, which the file calls "max"
        free.append(int(limit.read_text()) - int(used.read_text()))
    return min(free, default=None)


def peak_memory_bytes(status: Path = Path("/proc/self/status")) -> int:
    """Return the peak resident memory of this process.

    Linux' own high-water mark comes first: ``getrusage`` there counts what the parent held when it
    started this process, which after a training is gigabytes.

    Returns:
        Bytes; 0 where the system does not tell (Windows).
    """
    try:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _read_cores(cpuinfo: Path) -> list[dict[str, str]]:
    """Return one mapping per block of ``cpuinfo``: x86 and 64-bit Arm have a block per core."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    blocks = []
    for block in text.split("\n\n"):
        pairs = [line.partition(":") for line in block.splitlines() if ":" in line]
        if pairs:
            blocks.append({key.strip(): value.strip() for key, _, value in pairs})
    return blocks


def _processor(cores: list[dict[str, str]]) -> str:
    # On Arm, 32-bit programs and QEMU get a "model name" that names none: "ARMv8 Processor rev 3"
    names = [_arm_name(core) or core.get("model name") for core in cores]
    return ", ".join(dict.fromkeys(name for name in names if name))


def _arm_name(core: dict[str, str]) -> str:
    part = core.get("CPU part", "")
    if core.get("CPU implementer") == "0x41" and part in _ARM_PARTS:
        return f"Arm {_ARM_PARTS[part]}"
    return f"Arm implementer {core.get('CPU implementer', '?')} part {part}" if part else ""


def _features(cores: list[dict[str, str]]) -> tuple[str, ...]:
    """Return the features that all cores have: a thread may run on any of them."""
    flags = [set((core.get("flags") or core.get("Features") or "").split()) for core in cores]
    flags = [own for own in flags if own]
    shared = set.intersection(*flags) if flags else set()
    return tuple(feature for feature in CPU_FEATURES if feature in shared)
