"""Every artifact of a bundle on this device: its answers against the reference's, its latency.

One artifact after another, in one runtime after another, each in processes of its own. What crashes
is named and the others go on.
"""

from __future__ import annotations

import shutil
import tempfile

from resnet_edge.errors import OutputError, ResnetEdgeError, StoppedError, UsageError
from resnet_edge.ondevice.command.bundle_file import ARTIFACTS, NO_ROOM, PICTURES, REFERENCE, Bundle
from resnet_edge.ondevice.command.device_result import DeviceResult
from resnet_edge.ondevice.command.session import DeviceOptions, MeasuredArtifact, Say, Session
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.measurements import BenchResult, Unmeasured
from resnet_edge.ondevice.runtimes.installed import (
    installed_runtime,
    missing_error,
    missing_runtime,
)
from resnet_edge.ondevice.scratch import scratch_folder

MARGIN_BYTES = 16 << 20
"""Free space beside the unpacked files: answers, logs, and what others write meanwhile."""


def measure_device(bundle: Bundle, options: DeviceOptions, say: Say) -> DeviceResult:
    """Let every artifact answer the sample, judge the answers, and time it.

    Args:
        bundle: The bundle with the artifacts; all of it is compared with its hashes first.
        options: Artifacts, gates, length of the measurements.
        say: Shows a line of progress.

    Returns:
        All that was found out, also where some artifacts failed.

    Raises:
        ArtifactError: The bundle is damaged.
        RuntimeMissingError: No artifact has a runtime here.
        OutputError: There is no room for the unpacked files.
        UsageError: The bundle does not carry an artifact that was asked for.
    """
    names, left_out = _choose(bundle, options)
    for gone in left_out:
        say(f"{gone.name}: left out: {gone.reason}")
    say(f"checking {bundle.archive.name}")
    bundle.check()
    _check_room(bundle, names)
    measured: list[MeasuredArtifact] = []
    failed: list[Unmeasured] = []
    with scratch_folder() as temporary:
        session = Session(bundle, options, temporary, say)
        for name in names:
            try:
                measured.append(session.measure(bundle.extract_artifact(name, session.folder)))
                failed += measured[-1].failed
            except StoppedError:
                raise
            except ResnetEdgeError as problem:
                say(f"{name}: failed: {problem}")
                failed.append(Unmeasured(name, str(problem)))
            finally:  # the next one needs the room
                for path in session.folder.glob(f"{name}*"):
                    path.unlink()
    runtimes: dict[str, str] = {}
    for each in measured:
        runtimes.update(each.runtimes)
    return DeviceResult(
        bundle_sha256=hash_path(bundle.archive),
        pictures=session.reference.info.hashes,
        parity=session.parity_result(
            tuple(parity for each in measured for parity in each.answers[:1]),
            tuple(parity for each in measured for parity in each.answers[1:]),
        ),
        bench=BenchResult(
            describe_machine(runtimes),
            tuple(each.bench for each in measured if each.bench is not None),
            session.reference.info.latency.p50_s,
        ),
        left_out=left_out,
        failed=tuple(failed),
        emulated=options.emulated,
    )


def _choose(
    bundle: Bundle, options: DeviceOptions
) -> tuple[tuple[str, ...], tuple[Unmeasured, ...]]:
    """Return the names with a runtime here, and the others with the reason."""
    carried = bundle.manifest.artifacts
    if unknown := sorted(set(options.artifacts or ()) - set(carried)):
        raise UsageError(
            f"--artifacts: {unknown[0]} is not in this bundle; "
            f"expected some of {', '.join(carried)}"
        )
    wanted = [name for name in carried if name in (options.artifacts or carried)]
    missing = {}
    for name in wanted:
        kind = artifact_kind(name).format
        if installed_runtime(kind) is None:
            missing[name] = missing_runtime(kind)
    if len(missing) == len(wanted):
        raise missing_error(missing.values(), "nothing in this bundle can run here: ")
    names = tuple(name for name in wanted if name not in missing)
    return names, tuple(Unmeasured(name, lack.reason) for name, lack in missing.items())


def _check_room(bundle: Bundle, names: tuple[str, ...]) -> None:
    """One artifact is unpacked at a time, beside the sample."""
    members = bundle.manifest.members
    largest = max(members[f"{ARTIFACTS}/{name}"].bytes for name in names)
    needed = largest + members[PICTURES].bytes + members[REFERENCE].bytes + MARGIN_BYTES
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"{folder}: {free / 1e6:.0f} MB free; expected {needed / 1e6:.0f} MB to unpack one "
            f"artifact and the pictures; {NO_ROOM}"
        )
