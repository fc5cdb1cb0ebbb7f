"""The state of the machine while it measures: clocks, temperatures, throttling and other load.

A value that a machine does not report is left empty, never guessed. Times are seconds, frequencies
hertz, temperatures degrees Celsius.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resnet_edge.ondevice.cores import usable_cores

COMMAND_LIMIT_S = 5.0
"""The time limit of ``vcgencmd``."""

SHORTEST_S = 0.5
"""The kernel counts busy time in hundredths of a second; over less than this it is too coarse."""

_PI_FLAGS = (
    "under-voltage",
    "frequency capped",
    "throttled",
    "soft temperature limit",
)
"""Bits 0 to 3 of Raspberry Pi's get_throttled: now; the same from bit 16: since the start."""
_PI_SINCE_START = 16

_NOT_BUSY = (3, 4, 7, 8, 9)
"""Columns of /proc/stat: idle, waiting for disks, stolen; guests are part of user and nice."""
_STOLEN = 7


@dataclass(frozen=True)
class CoreClock:
    """A core's frequency and its governor, by Linux' cpufreq."""

    core: int
    governor: str
    before_hz: int
    after_hz: int
    limit_hz: int
    """The highest frequency that is allowed now."""


@dataclass(frozen=True)
class Temperature:
    """One of the system's thermal zones."""

    zone: str
    before_c: float
    after_c: float


@dataclass(frozen=True)
class MeasuringConditions:
    """The conditions under which a machine measured; empty or None where not reported."""

    seconds: float
    """The time from the first query to the last sample, with the warm-up."""
    cores: tuple[int, ...]
    """The cores that the process may use."""
    clocks: tuple[CoreClock, ...] = ()
    """The clocks of these cores."""
    temperatures: tuple[Temperature, ...] = ()
    throttled: tuple[str, ...] | None = None
    """The causes that slowed the processor down, in words; empty where there were none."""
    other_load: float | None = None
    """The average number of these cores that other programs kept busy."""
    stolen_load: float | None = None
    """The average number of these cores that the host of a virtual machine kept for others."""


def ask_firmware() -> str:
    """Return the output of ``vcgencmd get_throttled`` on a Raspberry Pi; empty on others."""
    command = shutil.which("vcgencmd")
    if command is None:
        return ""
    try:
        return subprocess.run(
            [command, "get_throttled"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=COMMAND_LIMIT_S,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


@dataclass(frozen=True)
class SystemFiles:
    """The files in which Linux reports its state, and the clocks to read with them."""

    cpus: Path = Path("/sys/devices/system/cpu")
    thermal: Path = Path("/sys/class/thermal")
    throttled: Path = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
    ask_firmware: Callable[[], str] = ask_firmware
    """Asked where that file does not exist."""
    stat: Path = Path("/proc/stat")
    cores: Callable[[], tuple[int, ...]] = usable_cores
    clock: Callable[[], float] = time.perf_counter
    own_time: Callable[[], float] = time.process_time
    """Returns the seconds that all threads of this process have computed."""


@dataclass(frozen=True)
class CoreReading:
    """One core's frequency at one moment."""

    governor: str
    hz: int
    limit_hz: int


@dataclass(frozen=True)
class CpuSnapshot:
    """The state of the machine at one moment."""

    time_s: float
    own_s: float
    cores: tuple[int, ...]
    clocks: Mapping[int, CoreReading] = field(default_factory=dict)
    temperatures: Mapping[str, float] = field(default_factory=dict)
    firmware: int | None = None
    throttle_counts: Mapping[str, int] = field(default_factory=dict)
    busy_s: Mapping[int, float] = field(default_factory=dict)
    stolen_s: Mapping[int, float] = field(default_factory=dict)


def take_snapshot(files: SystemFiles | None = None) -> CpuSnapshot:
    """Read the state of the machine. Clocks are read first: they fall once nothing is computed.

    Args:
        files: The files with the state; None takes this machine's.
    """
    files = files or SystemFiles()
    cores = files.cores()
    clocks = {core: clock for core in cores if (clock := _clock(files.cpus, core)) is not None}
    busy, stolen = _busy(_read(files.stat), cores)
    return CpuSnapshot(
        time_s=files.clock(),
        own_s=files.own_time(),
        cores=cores,
        clocks=clocks,
        temperatures=_temperatures(files.thermal),
        firmware=_firmware(_read(files.throttled) or files.ask_firmware()),
        throttle_counts=_throttle_counts(files.cpus),
        busy_s=busy,
        stolen_s=stolen,
    )


def conditions_between(before: CpuSnapshot, after: CpuSnapshot) -> MeasuringConditions:
    """Return the conditions between two moments of one process."""
    seconds = after.time_s - before.time_s
    busy = _difference(before.busy_s, after.busy_s, after.cores)
    stolen = _difference(before.stolen_s, after.stolen_s, after.cores)
    other = None
    # Some containers count no busy time at all: they are not idle, since this process was busy.
    if busy and seconds >= SHORTEST_S:
        other = max(0.0, busy - (after.own_s - before.own_s)) / seconds
    return MeasuringConditions(
        seconds=seconds,
        cores=after.cores,
        clocks=tuple(
            CoreClock(core, now.governor, before.clocks[core].hz, now.hz, now.limit_hz)
            for core, now in after.clocks.items()
            if core in before.clocks
        ),
        temperatures=tuple(
            Temperature(zone, before.temperatures[zone], now)
            for zone, now in after.temperatures.items()
            if zone in before.temperatures
        ),
        throttled=_throttled(before, after),
        other_load=other,
        stolen_load=None if other is None or stolen is None else max(0.0, stolen) / seconds,
    )


def _difference(
    before: Mapping[int, float], after: Mapping[int, float], cores: tuple[int, ...]
) -> float | None:
    if not all(core in before and core in after for core in cores):
        return None
    return sum(after[core] - before[core] for core in cores)


def _throttled(before: CpuSnapshot, after: CpuSnapshot) -> tuple[str, ...] | None:
    words = []
    if before.firmware is not None and after.firmware is not None:
        now = before.firmware | after.firmware
        since = after.firmware & ~before.firmware
        seen = now | since >> _PI_SINCE_START
        words += [flag for bit, flag in enumerate(_PI_FLAGS) if seen >> bit & 1]
    elif not after.throttle_counts:
        return None
    more = sum(
        after.throttle_counts[name] > before.throttle_counts.get(name, 0)
        for name in after.throttle_counts
    )
    return (*words, "too hot") if more else tuple(words)


def _clock(cpus: Path, core: int) -> CoreReading | None:
    folder = cpus / f"cpu{core}" / "cpufreq"
    khz = _number(folder / "scaling_cur_freq") or _number(folder / "cpuinfo_cur_freq")
    if khz is None:
        return None
    limit = _number(folder / "scaling_max_freq") or _number(folder / "cpuinfo_max_freq") or 0
    return CoreReading(_read(folder / "scaling_governor").strip(), khz * 1000, limit * 1000)


def _temperatures(thermal: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for folder in sorted(thermal.glob("thermal_zone*")):
        millidegrees = _number(folder / "temp")
        if millidegrees is not None:
            kind = _read(folder / "type").strip()
            number = folder.name[len("thermal_zone") :]
            found[f"{kind} {number}".strip()] = millidegrees / 1000
    return found


def _firmware(text: str) -> int | None:
    """Parse ``throttled=0x50005``, or the number alone."""
    found = re.fullmatch(r"\s*(?:throttled=)?(?:0x)?([0-9a-fA-F]+)\s*", text)
    return int(found[1], 16) if found else None


def _throttle_counts(cpus: Path) -> dict[str, int]:
    counts = {}
    for path in sorted(cpus.glob("cpu[0-9]*/thermal_throttle/*_count")):
        count = _number(path)
        if count is not None:
            counts[str(path.relative_to(cpus))] = count
    return counts


def _busy(stat: str, cores: tuple[int, ...]) -> tuple[dict[int, float], dict[int, float]]:
    """Return the seconds since the start that each core was busy, and those its host took."""
    ticks = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
    busy, stolen = {}, {}
    for name, text in re.findall(r"^cpu(\d+) (.+)$", stat, re.MULTILINE):
        spent = [int(part) / ticks for part in text.split() if part.isdigit()]
        if int(name) in cores:
            busy[int(name)] = sum(s for column, s in enumerate(spent) if column not in _NOT_BUSY)
            stolen[int(name)] = spent[_STOLEN] if len(spent) > _STOLEN else 0.0
    return busy, stolen


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):  # some sensors answer with an error until they are ready
        return ""
