"""A diagnosis as rows of a table for people."""

from __future__ import annotations

from resnet_edge.diagnosis.diagnosis import Diagnosis
from resnet_edge.diagnosis.packages import Package


def diagnosis_rows(diagnosis: Diagnosis) -> tuple[tuple[str, str], ...]:
    """Return a diagnosis as (label, text), in reading order, problems last."""
    memory, disk = diagnosis.memory_bytes, diagnosis.disk_free_bytes
    free = "not known" if disk is None else f"{disk / 1e9:.1f} GB"
    packages = ((package.name, _package_text(package)) for package in diagnosis.packages)
    problems = ((f"Problem {i}", text) for i, text in enumerate(diagnosis.problems, start=1))
    return (
        ("System", diagnosis.system),
        ("Python", diagnosis.python),
        ("Processor", diagnosis.processor),
        ("CPU features", ", ".join(diagnosis.cpu_features) or "not known here"),
        *(("Meaning", sentence) for sentence in diagnosis.cpu_meaning),
        ("Cores", str(diagnosis.cores)),
        ("Memory", "not known here" if memory is None else f"{memory / 1e9:.1f} GB"),
        ("Free disk", f"{free} in {diagnosis.folder}"),
        ("GPU", diagnosis.gpu.summary),
        ("oneDNN", diagnosis.onednn.reason),
        *packages,
        *(problems if diagnosis.problems else (("Problems", "none"),)),
    )


def _package_text(package: Package) -> str:
    if package.version is not None:
        return package.version
    state = "missing" if package.required else "not installed, optional"
    return f"{state}: {package.use}; run `{package.install}`"
