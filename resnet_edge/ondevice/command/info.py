"""What the device has, and what the bundle carries, as rows for people."""

from __future__ import annotations

import os
import shutil
import tempfile

import numpy as np

from resnet_edge.ondevice.command.bundle_file import ARTIFACTS, PICTURES, Bundle
from resnet_edge.ondevice.command.classify import pillow_problem
from resnet_edge.ondevice.command.emulation import looks_emulated
from resnet_edge.ondevice.formats.kinds import FORMATS, Format
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.runtimes.installed import installed_runtimes, missing_runtime


def info_rows(bundle: Bundle) -> list[tuple[str, str]]:
    """Return label and text, in reading order: the device, its packages, the bundle."""
    machine, manifest = describe_machine({}), bundle.manifest
    emulated = "; emulated: latencies say nothing" if looks_emulated() else ""
    sizes = (
        f"{name} ({manifest.members[f'{ARTIFACTS}/{name}'].bytes / 1e6:.1f} MB)"
        for name in manifest.artifacts
    )
    return [
        ("host", machine.host),
        ("system", machine.system),
        ("processor", f"{machine.processor}{emulated}"),
        ("CPU features", ", ".join(machine.cpu_features) or "not known here"),
        ("cores", str(machine.cores)),
        ("memory", _memory()),
        ("free disk", _free_disk()),
        ("Python", machine.python),
        ("numpy", np.__version__),
        ("Pillow", pillow_problem() or "here; decodes pictures for `classify`"),
        *((traits.title, _runtimes(f)) for f, traits in FORMATS.items() if traits.on_devices),
        ("model", f"{manifest.model_name}, sha256 {manifest.model_sha256[:16]}…"),
        ("artifacts", ", ".join(sizes)),
        ("pictures", f"{manifest.members[PICTURES].bytes / 1e6:.1f} MB of the test split"),
        ("made by", manifest.made_by),
    ]


def _runtimes(format_: Format) -> str:
    found = installed_runtimes(format_)
    words = ", ".join(f"{runtime.name} {runtime.version}".strip() for runtime in found)
    return words or missing_runtime(format_).reason


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB"
    except (AttributeError, ValueError, OSError):  # Windows, or a system that does not tell
        return "not known here"


def _free_disk() -> str:
    folder = tempfile.gettempdir()
    return (
        f"{shutil.disk_usage(folder).free / 1e9:.1f} GB in {folder}, where artifacts are unpacked"
    )
