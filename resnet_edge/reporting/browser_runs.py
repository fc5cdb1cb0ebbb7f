"""What the browsers among the devices tell of their runs: the rows of one table for each."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge import units
from resnet_edge.ondevice.measurements import Browser, BrowserRun
from resnet_edge.reporting.content import ReportContent
from resnet_edge.reporting.device_table import device_names

HEADINGS = ("file and runtime", "threads", "ran there", "wasm memory", "remarks")

LEAD = (
    "What the runtimes told beside the answers: the threads that they have (read back, not as "
    "asked), whether every operator ran where it was asked to (on wasm: in XNNPACK), and the "
    "WebAssembly memory at the end, to which a GPU's comes. An int8 file runs in part: XNNPACK "
    "leaves the conversion of its pixels to other kernels."
)


@dataclass(frozen=True)
class BrowserRuns:
    """One browser."""

    device: str
    facts: str
    """What it is and what it gives a page, in one sentence."""
    rows: tuple[tuple[str, ...], ...]
    """In the order of ``HEADINGS``."""


def build_browsers(content: ReportContent) -> tuple[BrowserRuns, ...]:
    """Return every browser among the devices."""
    named = zip(content.devices, device_names(content), strict=True)
    return tuple(
        BrowserRuns(name, _facts(device.browser), tuple(map(_row, device.browser.runs)))
        for device, name in named
        if device.browser is not None
    )


def _facts(browser: Browser) -> str:
    given = {
        "isolated": browser.isolated,
        "shared memory": browser.shared_memory,
        "relaxed SIMD": browser.relaxed_simd,
    }
    words = [f"{browser.name} {browser.version} on {browser.platform}"]
    words += [name if has else f"no {name}" for name, has in given.items()]
    words.append(f"WebGPU: {browser.gpu}" if browser.gpu else "no WebGPU")
    words.append(f"the clock steps by {units.significant(browser.clock_step_s * 1e6)} µs")
    return ", ".join(words).replace("no isolated", "not isolated")


def _row(run: BrowserRun) -> tuple[str, ...]:
    threads = str(run.threads)
    if run.threads != run.threads_asked:
        threads += f" ({run.threads_asked} asked)"
    accelerated = {None: "not told", True: "all of it", False: "in part"}[run.fully_accelerated]
    memory = units.NOTHING if run.wasm_memory_bytes is None else units.size(run.wasm_memory_bytes)
    remarks = [f"not timed: {run.not_timed}"] if run.not_timed else []
    remarks += run.warnings[:1]
    return (
        f"{run.artifact} in {run.runtime}",
        threads,
        f"{accelerated} ({run.provider})",
        memory,
        "; ".join(remarks) or units.NOTHING,
    )
