"""``model.keras`` to artifacts, each with its sidecar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resnet_edge.display import Display, Silent
from resnet_edge.errors import ResnetEdgeError
from resnet_edge.exporting.failures import keep_failures, list_failures, one_error
from resnet_edge.exporting.inputs import (
    calibration_pixels,
    decode_calibration,
    decode_lessons,
    describe_inputs,
)
from resnet_edge.exporting.processes import convert
from resnet_edge.exporting.publishing import remove_parts
from resnet_edge.exporting.stale import stale_jobs
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.formats.sidecar import Artifact, load_artifact
from resnet_edge.options import Options, StrPath
from resnet_edge.steps.choose_lessons import choose_lessons
from resnet_edge.steps.choose_pictures import check_calibration, find_calibration, one_class
from resnet_edge.steps.known_model import describe_for_export
from resnet_edge.steps.model_check import check_model, is_foreign
from resnet_edge.steps.one_writer import sole_writer


@dataclass(frozen=True)
class Exported:
    """The artifacts of the build; false if some could not be made."""

    artifacts: tuple[Artifact, ...]
    rebuilt: tuple[str, ...]
    """Names of those that were made anew; the others were up to date."""
    lost: Mapping[str, ResnetEdgeError] = field(default_factory=dict)
    """The reasons why artifacts could not be made, by their names."""

    def __bool__(self) -> bool:
        return not self.lost


@sole_writer
def export(
    options: Options,
    model: StrPath | None = None,
    display: Display | None = None,
    *,
    partial: bool = False,
) -> Exported:
    """Convert a model into every format of ``options.formats_to_make``.

    Args:
        options: Formats, calibration, and what the model expects where its file does not say.
        model: Any ``.keras`` classifier; None takes the build folder's own.
        display: Shows the progress.
        partial: True to return what was made where some artifacts cannot be made.

    Raises:
        ResnetEdgeError: An artifact could not be made, with ``partial`` none could; all others
            were. Or see the subclass for what else was wrong.
    """
    display = display or Silent()
    source, formats = Path(model or options.layout.model), options.formats_to_make
    info = describe_for_export(options, source, display)
    calibration = lessons = None
    if any(artifact_kind(name).calibrated for name in formats):
        calibration = find_calibration(options, info.labels, display)
        lessons = choose_lessons(options, calibration)
    inputs = describe_inputs(options, source, info, calibration, lessons)
    remove_parts(inputs.artifacts)
    jobs = stale_jobs(formats, inputs)
    if not jobs:
        display.say(f"all {len(formats)} artifacts are up to date")
    elif calibration is not None and any(job.calibrated for job in jobs):
        check_calibration(calibration, options.quantization)
        if warning := one_class(calibration):
            display.warn(warning)
        decode_calibration(options, inputs, calibration, display)
        if lessons is not None:
            decode_lessons(options, inputs, lessons, display)
    if jobs and is_foreign(options, source):
        check_model(source, info, inputs.size, calibration_pixels(inputs), display)
    lost = convert(jobs, display) if jobs else {}
    keep_failures(options.layout.failures, inputs.model_sha256, formats, list_failures(lost))
    made = [name for name in formats if name not in lost]
    if lost and not (partial and made):
        raise one_error(lost)
    artifacts = tuple(load_artifact(inputs.artifacts / name) for name in made)
    rebuilt = tuple(name for job in jobs for name in job.names if name not in lost)
    return Exported(artifacts, rebuilt, lost)
