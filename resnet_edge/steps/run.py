"""``resnet-edge run``, which ``make export`` calls: all steps in order."""

from __future__ import annotations

from dataclasses import dataclass, replace

from resnet_edge import units
from resnet_edge.display import Display, Silent
from resnet_edge.exporting.failures import one_error
from resnet_edge.options import Options
from resnet_edge.steps.bench import bench
from resnet_edge.steps.bundle import bundle, bundle_formats
from resnet_edge.steps.export import export
from resnet_edge.steps.one_writer import sole_writer
from resnet_edge.steps.parity import parity
from resnet_edge.steps.progress_plan import PlannedStep, ProgressPlan
from resnet_edge.steps.report import Reported, report
from resnet_edge.steps.step_estimates import estimate_steps
from resnet_edge.steps.step_worker import run_apart


@dataclass(frozen=True)
class RunResult:
    """The results of a run."""

    report: Reported
    rebuilt: tuple[str, ...]
    """Names of the steps that had something to do; empty where nothing had changed."""


@sole_writer
def run(options: Options, display: Display | None = None) -> RunResult:
    """Photos to proven files: finetune, export, reference, parity, bench, report, bundle.

    Args:
        options: Everything that the steps are told.
        display: Shows the progress; None shows nothing.

    An artifact that cannot be made fails the report's verdict; the run goes on with the others.

    Raises:
        ResnetEdgeError: A step failed; what was finished before it stays and is not done again.
    """
    shown = display or Silent()
    options = replace(options, formats=options.formats_to_make)
    for_devices = bundle_formats(options.formats_to_make)
    plan = ProgressPlan(
        display=shown,
        steps=plan_steps(options, bundled=bool(for_devices)),
        times=options.layout.cache / "step-times.json",
        estimate=lambda: estimate_steps(options),
        made_before=options.layout.artifacts.exists(),
    )
    done: dict[str, bool] = {}
    with plan.step("finetune"):
        done["finetune"] = run_apart("finetune", options, plan)
    with plan.step("export"):
        exported = export(options, None, plan, partial=True)
        done["export"] = bool(exported.rebuilt)
    if not exported:
        plan.warn(f"{one_error(exported.lost)}\nthe run goes on with the others")
    made = replace(options, formats=tuple(artifact.name for artifact in exported.artifacts))
    with plan.step("reference"):
        done["reference"] = run_apart("reference", options, plan)
    with plan.step("parity"):
        done["parity"] = parity(made, plan).rebuilt
    with plan.step("bench"):
        done["bench"] = bench(made, plan).rebuilt
    with plan.step("report"):
        reported = report(options, plan)
    if carried := bundle_formats(made.formats or ()):
        with plan.step("bundle"):
            done["bundle"] = bundle(replace(options, formats=carried), plan).rebuilt
    elif not for_devices:
        shown.say("no bundle: saved_model alone was made, which devices do not run")
    rebuilt = tuple(step for step, was in done.items() if was)
    plan.remember((*rebuilt, "report"))
    if not rebuilt:
        shown.say("nothing has changed: nothing was rebuilt")
    shown.say(plan.summary())
    return RunResult(reported, rebuilt)


def plan_steps(options: Options, *, bundled: bool) -> tuple[PlannedStep, ...]:
    """Name the steps of a run in order, each with what it does.

    Args:
        options: Everything that the run was told.
        bundled: True if files are made that devices run.
    """
    files = units.plural(len(options.formats_to_make), "file")
    steps = (
        PlannedStep("finetune", "train the network"),
        PlannedStep("export", files),
        PlannedStep("reference", "full-precision answers and latency"),
        PlannedStep("parity", f"{files} against the reference"),
        PlannedStep("bench", f"latency of {files}"),
        PlannedStep("report", "the measurements on one page"),
        PlannedStep("bundle", "one file for a device"),
    )
    return steps if bundled else steps[:-1]
