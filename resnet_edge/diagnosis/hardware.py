"""Processor, memory and disk, and their consequences for the artifacts."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from resnet_edge.diagnosis.sources import MachineSources
from resnet_edge.ondevice.cpu_features import dot_products


def explain_cpu(features: frozenset[str], architecture: str) -> tuple[str, ...]:
    """Explain the consequences of a processor's features for the speed of the artifacts.

    Args:
        features: Names of ``resnet_edge.ondevice.cpu_features.CPU_FEATURES``.
        architecture: The result of ``platform.machine()``.
    """
    if not features:
        return ("features not known here; `resnet-edge bench` measures what is fastest",)
    if architecture.lower() in ("x86_64", "amd64", "i386", "i686"):
        return tuple(_explain_x86(features))
    return tuple(_explain_arm(features))


def _explain_x86(features: frozenset[str]) -> Iterator[str]:
    if vnni := sorted(dot_products(features)):
        yield (
            f"VNNI ({', '.join(vnni)}): int8 dot products in hardware; "
            "int8 is faster than float32 in LiteRT and onnxruntime"
        )
    elif "avx2" in features:
        yield (
            "AVX2 without VNNI: int8 is not faster than float32 in LiteRT here, only smaller; in "
            "onnxruntime it is, with weights that cannot saturate, as int8.onnx has them"
        )
    elif "avx" in features:
        yield "AVX without AVX2: all artifacts are slow; `resnet-edge bench` measures which least"
    else:
        yield "no AVX: TensorFlow's wheels do not start here; train and export on another machine"
    if "avx512_fp16" not in features:
        yield "no float16 arithmetic: float16 files are half the size of float32, and not faster"


def _explain_arm(features: frozenset[str]) -> Iterator[str]:
    if dot_products(features):
        products = "dot and matrix products (i8mm)" if "i8mm" in features else "dot products"
        yield f"int8 {products} in hardware: int8 is faster than float32"
    elif "asimd" in features:
        yield (
            "no dot product (asimddp): int8 gains less than on newer cores; "
            "`resnet-edge bench` measures how much"
        )
    else:
        yield "32-bit Arm: of the runtimes only tflite-runtime has wheels"
    if "asimdhp" in features:
        yield (
            "float16 arithmetic in hardware (asimdhp); LiteRT still computes fp16.tflite in "
            "float32 unless its XNNPACK delegate is told to force float16"
        )
    else:
        yield "no float16 arithmetic: float16 files are half the size of float32, and not faster"


def usable_memory(sources: MachineSources) -> int | None:
    """Return the bytes of memory: the machine's, or a container's lower limit; None if unknown."""
    text = _read(sources.meminfo)
    found = re.search(r"^MemTotal:\s*(\d+) kB", text, re.MULTILINE)
    sizes = [int(found[1]) * 1024] if found else []
    limit = _read(sources.memory_limit).strip()
    if limit.isdecimal():
        sizes.append(int(limit))
    return min(sizes, default=None)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def free_disk(folder: Path) -> int | None:
    """Return the bytes free for a folder that need not exist yet; None if unknown."""
    existing = folder.absolute()
    try:
        while not existing.exists():
            existing = existing.parent
        return shutil.disk_usage(existing).free
    except OSError:
        return None
