"""The commands that prove things: reference, parity, bench, report.

Each turns its options into records, calls one step and prints the result.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from resnet_edge import units
from resnet_edge.cli import again, on_device
from resnet_edge.cli import parameters as p
from resnet_edge.cli.console import Terminal, print_json, print_rows, print_summary
from resnet_edge.cli.hosts import bench_there, chosen_host
from resnet_edge.cli.latencies import print_bench
from resnet_edge.cli.profiles import print_profiles
from resnet_edge.cli.settings import present_formats
from resnet_edge.errors import UsageError
from resnet_edge.full_precision.throughput import parse_batches
from resnet_edge.ondevice.latency.measure import MLPERF, LatencySpec
from resnet_edge.ondevice.latency.threads import parse_threads
from resnet_edge.ondevice.measurements import Verdict, worst_verdict
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.parity.judging import GateChanges
from resnet_edge.ondevice.pictures import Fit
from resnet_edge.options import BenchOptions, DataOptions, ModelOptions, Options

if TYPE_CHECKING:
    from resnet_edge.steps.reference_elsewhere import Packed

_GATES, _LATENCY = Gates(), LatencySpec()
BUILD = Path("build")


def reference(
    model: p.ModelArgument = None,
    out: p.Out = BUILD,
    test: p.Test = None,
    skip_unreadable: p.SkipUnreadable = False,
    labels: p.Labels = None,
    preprocessing: p.PreprocessingOption = None,
    fit: p.FitOption = Fit.CROP,
    min_seconds: p.MinSeconds = _LATENCY.min_seconds,
    min_queries: p.MinQueries = _LATENCY.min_queries,
    batches: p.Batches = None,
    pack: p.Pack = False,
    from_: p.From = None,
    as_json: p.Json = False,
) -> None:
    """The full-precision model's answers on this machine's best device: OUT/reference.npz.

    Where the GPU is in another machine: --pack here, run the file there, --from here.
    """
    from resnet_edge.steps.reference import reference as answer
    from resnet_edge.steps.reference_elsewhere import adopt_reference, pack_reference

    if pack and from_ is not None:
        raise UsageError(
            "--pack and --from: got both; expected one, since each is a step of its own"
        )
    sizes = None if batches is None else parse_batches(batches)
    options = Options(
        out=out,
        data=DataOptions(test=test, fit=fit, skip_unreadable=skip_unreadable),
        model=ModelOptions(preprocessing=preprocessing, labels=labels),
        bench=BenchOptions(LatencySpec(min_seconds, min_queries), batches=sizes),
    )
    display = Terminal(quiet=as_json)
    if pack:
        print_packed(pack_reference(options, model, display), as_json)
        return
    if from_ is not None:
        info = adopt_reference(options, from_, model, display).info
    else:
        info = answer(options, model, display).reference.info
    if as_json:
        print_json(info)
    else:
        print(
            f"{options.layout.reference}: {units.plural(len(info.hashes), 'picture')}, "
            f"{info.device}, {info.backend}, p50 {units.milliseconds(info.latency.p50_s)} ms"
        )


def print_packed(packed: Packed, as_json: bool) -> None:
    """Say what was packed and what to do with it."""
    if as_json:
        print_json(packed)
        return
    name = packed.path.name
    print(
        f"{packed.path}: {units.size(packed.bytes)}, {units.plural(packed.pictures, 'picture')}, "
        f"sha256 {packed.sha256}\n"
        f"on the other machine: KERAS_BACKEND=torch python {name} --out reference.npz\n"
        "then here: the same command with --from reference.npz in place of --pack"
    )


def parity(
    out: p.Out = BUILD,
    formats: p.Formats = "",
    fp32_agreement: p.Fp32Agreement = _GATES.fp32_agreement,
    fp32_max_logit: p.Fp32MaxLogit = _GATES.fp32_max_logit,
    fp16_agreement: p.Fp16Agreement = _GATES.fp16_agreement,
    int8_accuracy: p.Int8Accuracy = _GATES.int8_accuracy,
    confidence: p.Confidence = _GATES.confidence,
    allow_inconclusive: p.AllowInconclusive = False,
    as_json: p.Json = False,
) -> None:
    """Hold every artifact against the reference, in its real runtime: OUT/results/parity.json."""
    from resnet_edge.steps.parity import parity as check

    gates = Gates(fp32_agreement, fp32_max_logit, fp16_agreement, int8_accuracy, confidence)
    options = Options(out=out, formats=present_formats(out, formats), gates=gates)
    result = check(options, Terminal(quiet=as_json)).result
    if as_json:
        print_json(result)
    else:
        rows = [(a.name, a) for a in result.artifacts]
        rows += [(f"{a.name} in {a.runtime}", a) for a in result.elsewhere]
        print_rows([(name, f"{a.gate.verdict.value}: {a.gate.reason}") for name, a in rows])
    exit_with(worst_verdict(a.gate.verdict for a in result.artifacts), allow_inconclusive)


def bench(
    out: p.Out = BUILD,
    formats: p.Formats = "",
    min_seconds: p.MinSeconds = _LATENCY.min_seconds,
    min_queries: p.MinQueries = _LATENCY.min_queries,
    threads: p.Threads = None,
    max_p90_ms: p.MaxP90Ms = None,
    max_latency_ratio: p.MaxLatencyRatio = None,
    profile: p.Profile = False,
    mlperf: p.Mlperf = False,
    host: on_device.Host = None,
    python: on_device.Python = None,
    install: on_device.Install = False,
    allow_inconclusive: p.AllowInconclusive = False,
    as_json: p.Json = False,
) -> None:
    """Measure every artifact's latency: OUT/results/bench-HOST.json. On a device: --host."""
    from resnet_edge.steps.bench import bench as measure
    from resnet_edge.steps.profile import profile_operators

    there = chosen_host(host, python, install, profile)
    spec = LatencySpec(min_seconds, min_queries)
    options = Options(
        out=out,
        formats=present_formats(out, formats),
        gates=Gates(max_p90_ms=max_p90_ms, max_latency_ratio=max_latency_ratio),
        bench=BenchOptions(spec.at_least(MLPERF) if mlperf else spec, parse_threads(threads)),
    )
    if there is not None:
        bench_there(options, there, formats, allow_inconclusive, as_json)
        return
    benched = measure(options, Terminal(quiet=as_json))
    profiled = profile_operators(options, Terminal(quiet=as_json)) if profile else None
    if as_json:
        both = {"bench": benched.result, "profile": profiled.result} if profiled else None
        print_json(both or benched.result)
    else:
        print_bench(benched.result)
        if profiled:
            print_profiles(profiled.result)
            print(f"operators: {profiled.path}")
    gates = [a.gate.verdict for a in benched.result.artifacts]
    verdict = worst_verdict(v for v in gates if v is not Verdict.NOT_CHECKED)
    exit_with(verdict, allow_inconclusive, "the queries that their reasons name")


def report(
    out: p.Out = BUILD,
    formats: p.Formats = "",
    device: on_device.DeviceFile = None,
    fp32_agreement: again.Fp32Agreement = None,
    fp32_max_logit: again.Fp32MaxLogit = None,
    fp16_agreement: again.Fp16Agreement = None,
    int8_accuracy: again.Int8Accuracy = None,
    confidence: again.Confidence = None,
    max_p90_ms: again.MaxP90Ms = None,
    max_latency_ratio: again.MaxLatencyRatio = None,
    allow_inconclusive: p.AllowInconclusive = False,
    as_json: p.Json = False,
) -> None:
    """Merge all results, also those of devices: OUT/report.html, report.md, report.json."""
    from resnet_edge.devices.device_results import keep_device_result
    from resnet_edge.reporting.report_json import report_json
    from resnet_edge.reporting.tables import headline
    from resnet_edge.steps.report import report as write

    changes = GateChanges(
        *(fp32_agreement, fp32_max_logit, fp16_agreement, int8_accuracy, confidence),
        *(max_p90_ms, max_latency_ratio),
    )
    options = Options(out=out, formats=present_formats(out, formats))
    if device is not None:
        keep_device_result(options.layout, device, Terminal(quiet=as_json))
    written = write(options, Terminal(quiet=as_json), changes)
    if as_json:
        print_json(report_json(written.content))
    else:
        print_summary(written.content)
        if written.content.verdict is not Verdict.PASS:
            print(headline(written.content))
        print(f"report: {written.html}")
    exit_with(written.content.verdict, allow_inconclusive)


def exit_with(verdict: Verdict, allowed: bool, missing: str = "test pictures") -> None:
    """Exit 1 where a gate fell, or could not be decided and that was not allowed."""
    if verdict is Verdict.FAIL:
        raise typer.Exit(1)
    if verdict is Verdict.INCONCLUSIVE and not allowed:
        Terminal(quiet=False).warn(
            f"some gates are inconclusive: add {missing}, or pass --allow-inconclusive"
        )
        raise typer.Exit(1)
