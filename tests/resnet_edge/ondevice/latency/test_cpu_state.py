"""Measuring conditions, read from trees such as /sys that are made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from resnet_edge.ondevice.latency import cpu_state as conditions
from resnet_edge.ondevice.latency.cpu_state import (
    CoreClock,
    MeasuringConditions,
    SystemFiles,
    Temperature,
    conditions_between,
    take_snapshot,
)


@dataclass
class FakeMachine:
    """Two cores; what is not written cannot be read."""

    root: Path
    now_s: float = 100.0
    own_s: float = 5.0
    said: str = ""
    """By the firmware's command."""
    files: SystemFiles = field(init=False)

    def __post_init__(self) -> None:
        self.files = SystemFiles(
            cpus=self.root / "cpu",
            thermal=self.root / "thermal",
            throttled=self.root / "get_throttled",
            ask_firmware=lambda: self.said,
            stat=self.root / "stat",
            cores=lambda: (0, 1),
            clock=lambda: self.now_s,
            own_time=lambda: self.own_s,
        )

    def write(self, name: str, text: object) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def write_clock(self, core: int, khz: int, governor: str = "ondemand") -> None:
        folder = f"cpu/cpu{core}/cpufreq"
        self.write(f"{folder}/scaling_cur_freq", khz)
        self.write(f"{folder}/scaling_max_freq", 1_800_000)
        self.write(f"{folder}/scaling_governor", governor)

    def measure(self, seconds: float, meanwhile: Callable[[], None]) -> MeasuringConditions:
        before = take_snapshot(self.files)
        meanwhile()
        self.now_s += seconds
        return conditions_between(before, take_snapshot(self.files))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch) -> FakeMachine:
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    return FakeMachine(tmp_path)


def test_a_machine_that_tells_nothing(machine):
    assert machine.measure(10, lambda: None) == MeasuringConditions(seconds=10, cores=(0, 1))


def test_clocks_and_governors_before_and_after(machine):
    machine.write_clock(0, 600_000)
    machine.write_clock(1, 600_000, "performance")
    machine.write_clock(2, 600_000)  # not one of its cores
    found = machine.measure(1, lambda: machine.write_clock(0, 1_800_000))
    assert found.clocks == (
        CoreClock(0, "ondemand", 600_000_000, 1_800_000_000, 1_800_000_000),
        CoreClock(1, "performance", 600_000_000, 600_000_000, 1_800_000_000),
    )


def test_temperatures(machine):
    machine.write("thermal/thermal_zone0/type", "cpu-thermal")
    machine.write("thermal/thermal_zone0/temp", 48312)
    machine.write("thermal/thermal_zone1/temp", "N/A")
    found = machine.measure(1, lambda: machine.write("thermal/thermal_zone0/temp", 61000))
    assert found.temperatures == (Temperature("cpu-thermal 0", 48.312, 61.0),)


@pytest.mark.parametrize(
    ("before", "after", "throttled"),
    [
        ("0", "0", ()),
        ("throttled=0x0", "throttled=0x0", ()),
        # Bits 0 and 2: under-voltage and throttled now; 16 and 18: since the start
        ("0", "50005", ("under-voltage", "throttled")),
        ("50000", "50000", ()),  # long ago
        ("0", "80000", ("soft temperature limit",)),  # came and went
        ("20002", "20000", ("frequency capped",)),
        ("nonsense", "nonsense", None),
    ],
)
def test_a_raspberry_pi_says_whether_it_was_throttled(machine, before, after, throttled):
    machine.write("get_throttled", before)
    found = machine.measure(1, lambda: machine.write("get_throttled", after))
    assert found.throttled == throttled


def test_the_firmware_is_asked_where_there_is_no_file(machine):
    machine.said = "throttled=0x50005\n"
    assert machine.measure(1, lambda: None).throttled == ("under-voltage", "throttled")


@pytest.mark.parametrize(("count", "throttled"), [(7, ()), (8, ("too hot",))])
def test_x86_counts_how_often_it_was_throttled(machine, count, throttled):
    name = "cpu/cpu1/thermal_throttle/core_throttle_count"
    machine.write(name, 7)
    assert machine.measure(1, lambda: machine.write(name, count)).throttled == throttled


STAT = """cpu  0 0 0 0 0 0 0 0 0 0
cpu0 {} 0 0 500 0 0 0 {} 0 0
cpu1 100 10 20 500 30 4 6 0 50 0
cpu2 0 0 0 0 0 0 0 0 0 0
intr 1
"""


def test_load_of_others_is_what_this_process_did_not_do(machine):
    machine.write("stat", STAT.format(1000, 0))

    def compute() -> None:
        machine.own_s += 10
        machine.write("stat", STAT.format(1000 + 1200, 100))

    found = machine.measure(10, compute)
    # 12 s busy, 10 s of them this process, in 10 s; 1 s was stolen
    assert found.other_load == pytest.approx(0.2)
    assert found.stolen_load == pytest.approx(0.1)


def test_a_clock_tick_too_many_is_no_negative_load(machine):
    machine.write("stat", STAT.format(1000, 0))

    def compute() -> None:
        machine.own_s += 10
        machine.write("stat", STAT.format(1000 + 999, 0))

    assert machine.measure(10, compute).other_load == 0


@pytest.mark.parametrize(("seconds", "ticks"), [(10, 0), (0.4, 40)])
def test_no_load_is_said_where_nothing_counts_or_the_time_is_too_short(machine, seconds, ticks):
    machine.write("stat", STAT.format(1000, 0))
    found = machine.measure(seconds, lambda: machine.write("stat", STAT.format(1000 + ticks, 0)))
    assert (found.other_load, found.stolen_load) == (None, None)


def test_a_core_that_is_missing_from_the_count(machine):
    files = replace(machine.files, cores=lambda: (0, 7))
    machine.write("stat", STAT.format(1000, 0))
    before = take_snapshot(files)
    machine.write("stat", STAT.format(2000, 0))
    machine.now_s += 10
    assert conditions_between(before, take_snapshot(files)).other_load is None


def test_this_machine_can_be_read():
    found = conditions_between(take_snapshot(), take_snapshot())
    assert found.seconds >= 0
    assert found.cores


def test_a_firmware_command_that_hangs_or_fails_says_nothing(monkeypatch, tmp_path):
    command = tmp_path / "vcgencmd"
    command.write_text("#!/bin/sh\nexec sleep 60\n")
    command.chmod(0o755)
    monkeypatch.setattr(conditions.shutil, "which", lambda _: str(command))
    monkeypatch.setattr(conditions, "COMMAND_LIMIT_S", 0.1)
    assert conditions.ask_firmware() == ""
    command.write_text("#!/bin/sh\necho throttled=0x0\n")
    monkeypatch.setattr(conditions, "COMMAND_LIMIT_S", 60)
    assert conditions.ask_firmware() == "throttled=0x0\n"
    command.unlink()
    assert conditions.ask_firmware() == ""
