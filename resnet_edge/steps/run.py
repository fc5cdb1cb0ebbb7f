"""All steps in order: what ``resnet-edge run`` and ``make export`` do."""

from __future__ import annotations

from dataclasses import dataclass, replace

from resnet_edge.display import Display, Silent
from resnet_edge.options import Options
from resnet_edge.steps.bench import bench
from resnet_edge.steps.bundle import bundle, bundle_formats
from resnet_edge.steps.export import export
from resnet_edge.steps.parity import parity
from resnet_edge.steps.report import Reported, report
from resnet_edge.steps.step_worker import run_apart


@dataclass(frozen=True)
class RunResult:
    """What a run left behind."""

    report: Reported
    rebuilt: tuple[str, ...]
    """Names of the steps that had something to do; empty where nothing had changed."""


def run(options: Options, display: Display | None = None) -> RunResult:
    """Photos to proven files: finetune, export, reference, parity, bench, report, bundle.

    Args:
        options: Everything there is to tell.
        display: Where progress is shown.

    Raises:
        ResnetEdgeError: A step failed; what was finished before it stays and is not done again.
    """
    display = display or Silent()
    options = replace(options, formats=options.formats_to_make)
    done = {
        "finetune": run_apart("finetune", options, display),
        "export": bool(export(options, None, display).rebuilt),
        "reference": run_apart("reference", options, display),
        "parity": parity(options, display).rebuilt,
        "bench": bench(options, display).rebuilt,
    }
    reported = report(options, display)
    if names := bundle_formats(options.formats_to_make):
        done["bundle"] = bundle(replace(options, formats=names), display).rebuilt
    else:
        display.say("no bundle: saved_model alone was made, which devices do not run")
    rebuilt = tuple(step for step, was in done.items() if was)
    if not rebuilt:
        display.say("nothing has changed: nothing was rebuilt")
    return RunResult(reported, rebuilt)
