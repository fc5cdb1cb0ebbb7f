"""Processor features that decide how fast inference is, by the names of Linux' /proc/cpuinfo."""

from __future__ import annotations

from collections.abc import Iterable

DOT_PRODUCTS_X86 = ("avx_vnni", "avx512_vnni", "amx_int8")
DOT_PRODUCTS_ARM = ("asimddp", "i8mm")

CPU_FEATURES = (
    *("avx", "avx2", "fma", "f16c", "avx512f", "avx512bw"),
    *DOT_PRODUCTS_X86,
    *("avx512_bf16", "avx512_fp16", "amx_bf16"),
    *("neon", "asimd", "asimdhp"),
    *DOT_PRODUCTS_ARM,
    *("bf16", "sve", "sve2", "sme"),
)
"""Every feature that a description of a machine names."""


def dot_products(features: Iterable[str]) -> tuple[str, ...]:
    """Return the features that are dot or matrix products of int8.

    Int8 kernels are faster than float32 ones with them; without them they need not be.

    Args:
        features: The processor's.

    Returns:
        Empty where the processor has no such instructions.
    """
    there = set(features)
    return tuple(name for name in (*DOT_PRODUCTS_X86, *DOT_PRODUCTS_ARM) if name in there)


def missing_dot_products(features: Iterable[str]) -> str:
    """Name the lack of int8 dot products: ``AVX2 without VNNI``, ``no asimddp``, or nothing."""
    there = set(features)
    if dot_products(there):
        return ""
    if "avx2" in there:
        return "AVX2 without VNNI"
    return "no asimddp" if "asimd" in there else ""
