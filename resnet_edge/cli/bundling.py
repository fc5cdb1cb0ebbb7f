"""The command that packs for a device: bundle."""

from __future__ import annotations

import shlex
from pathlib import Path

from resnet_edge import units
from resnet_edge.cli import on_device
from resnet_edge.cli import parameters as p
from resnet_edge.cli.console import Terminal, print_json, print_rows
from resnet_edge.cli.settings import parse_size, present_formats
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.options import BundleOptions, Options

_GATES, _BUNDLE = Gates(), BundleOptions()
BUILD = Path("build")


def bundle(
    out: p.Out = BUILD,
    formats: p.Formats = "",
    images: on_device.Images = _BUNDLE.images,
    max_bytes: on_device.MaxBytes = "100MB",
    fp32_agreement: p.Fp32Agreement = _GATES.fp32_agreement,
    fp32_max_logit: p.Fp32MaxLogit = _GATES.fp32_max_logit,
    fp16_agreement: p.Fp16Agreement = _GATES.fp16_agreement,
    int8_accuracy: p.Int8Accuracy = _GATES.int8_accuracy,
    confidence: p.Confidence = _GATES.confidence,
    max_p90_ms: p.MaxP90Ms = None,
    max_latency_ratio: p.MaxLatencyRatio = None,
    as_json: p.Json = False,
) -> None:
    """Pack artifacts, runner and test pictures for a device: OUT/resnet-edge-device.pyz."""
    from resnet_edge.steps.bundle import bundle as pack

    options = Options(
        out=out,
        formats=present_formats(out, formats),
        gates=Gates(
            fp32_agreement,
            fp32_max_logit,
            fp16_agreement,
            int8_accuracy,
            confidence,
            max_p90_ms,
            max_latency_ratio,
        ),
        bundle=BundleOptions(images, parse_size(max_bytes)),
    )
    made = pack(options, Terminal(quiet=as_json))
    if as_json:
        print_json(made)
        return
    there = "" if out == BUILD else f" --out {shlex.quote(str(out))}"
    print_rows(
        [
            (str(made.path), f"{units.size(made.bytes)}, sha256 {made.sha256}"),
            ("artifacts", ", ".join(made.artifacts)),
            ("pictures", str(made.images)),
            ("on the device", f"python3 {made.path.name} run --out result.json"),
            ("back here", f"resnet-edge report --device result.json{there}"),
        ]
    )
