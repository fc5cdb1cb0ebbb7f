"""Moves tried artifacts from the staging folder to their place, and removes what failed."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from resnet_edge.errors import FREE_SPACE, OutputError
from resnet_edge.exporting.job import ExportInputs
from resnet_edge.exporting.trial import try_artifact
from resnet_edge.ondevice.formats.sidecar import sidecar_path
from resnet_edge.ondevice.workers.process import Crew


def publish(inputs: ExportInputs, name: str, crew: Crew | None = None) -> None:
    """Try a staged artifact and move it, then its sidecar, to its place.

    An artifact without its sidecar counts as missing, so a crash leaves the old artifact, the new
    one, or none.

    Raises:
        InferenceError: The artifact cannot be run; see ``try_artifact``.
        OutputError: It cannot be moved.
    """
    try_artifact(inputs, name, crew)
    staged, target = inputs.staging / name, inputs.artifacts / name
    try:
        remove_artifact(target)
        staged.rename(target)
        sidecar_path(staged).rename(sidecar_path(target))
    except OSError as problem:
        raise OutputError(
            f"{target}: cannot be written ({problem.strerror or problem}); {FREE_SPACE}"
        ) from problem


def remove_artifact(path: Path) -> None:
    """Remove an artifact and its sidecar, the sidecar first."""
    sidecar_path(path).unlink(missing_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_parts(artifacts: Path) -> None:
    """Remove what killed processes, of this run or an earlier one, had begun to write."""
    for path in artifacts.glob(".*.part"):
        with contextlib.suppress(OSError):  # it does no harm where nothing may be removed
            shutil.rmtree(path) if path.is_dir() else path.unlink()
