"""The device, its packages and the bundle on it, as a record and as rows for people."""

from __future__ import annotations

import os
import shutil
import tempfile

import numpy as np

from resnet_edge.ondevice.command.bundle_file import ARTIFACTS, PICTURES, Bundle
from resnet_edge.ondevice.command.classify import pillow_problem
from resnet_edge.ondevice.command.device_info import DeviceInfo, FormatRuntimes
from resnet_edge.ondevice.command.emulation import looks_emulated
from resnet_edge.ondevice.formats.kinds import FORMATS, Format
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.runtimes.installed import installed_runtimes, missing_runtime


def describe_device(bundle: Bundle) -> DeviceInfo:
    """Describe this device and a bundle on it."""
    machine, manifest = describe_machine({}), bundle.manifest
    folder = tempfile.gettempdir()
    return DeviceInfo(
        host=machine.host,
        system=machine.system,
        processor=machine.processor,
        emulated=looks_emulated(),
        cpu_features=machine.cpu_features,
        cores=machine.cores,
        memory_bytes=_memory_bytes(),
        free_bytes=shutil.disk_usage(folder).free,
        folder=folder,
        python=machine.python,
        numpy=np.__version__,
        pillow_problem=pillow_problem() or "",
        formats=tuple(_runtimes(f) for f, traits in FORMATS.items() if traits.on_devices),
        model_name=manifest.model_name,
        model_sha256=manifest.model_sha256,
        artifacts={
            name: manifest.members[f"{ARTIFACTS}/{name}"].bytes for name in manifest.artifacts
        },
        pictures_bytes=manifest.members[PICTURES].bytes,
        made_by=manifest.made_by,
    )


def info_rows(info: DeviceInfo) -> list[tuple[str, str]]:
    """Return label and text, in reading order: the device, its packages, the bundle."""
    emulated = "; emulated: latencies say nothing" if info.emulated else ""
    memory = info.memory_bytes
    sizes = (f"{name} ({size / 1e6:.1f} MB)" for name, size in info.artifacts.items())
    return [
        ("host", info.host),
        ("system", info.system),
        ("processor", f"{info.processor}{emulated}"),
        ("CPU features", ", ".join(info.cpu_features) or "not known here"),
        ("cores", str(info.cores)),
        ("memory", "not known here" if memory is None else f"{memory / 1e9:.1f} GB"),
        (
            "free disk",
            f"{info.free_bytes / 1e9:.1f} GB in {info.folder}, where artifacts are unpacked",
        ),
        ("Python", info.python),
        ("numpy", info.numpy),
        ("Pillow", info.pillow_problem or "here; decodes pictures for `classify`"),
        *((each.format.traits.title, _runtime_words(each)) for each in info.formats),
        ("model", f"{info.model_name}, sha256 {info.model_sha256[:16]}…"),
        ("artifacts", ", ".join(sizes)),
        ("pictures", f"{info.pictures_bytes / 1e6:.1f} MB of the test split"),
        ("made by", info.made_by),
    ]


def _runtimes(format_: Format) -> FormatRuntimes:
    found = installed_runtimes(format_)
    if not found:
        missing = missing_runtime(format_)
        return FormatRuntimes(format_, (), missing.reason, missing.install)
    titles = tuple(f"{runtime.name} {runtime.version}".strip() for runtime in found)
    return FormatRuntimes(format_, titles, "", "")


def _runtime_words(runtimes: FormatRuntimes) -> str:
    return ", ".join(runtimes.runtimes) or runtimes.problem


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows, or a system that does not tell
        return None
