"""What the result of a device proves of an artifact, and what it could not measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from resnet_edge.ondevice.command.device_result import DeviceResult
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.measurements import Unmeasured
from resnet_edge.recommendation.choice import LeftOut
from resnet_edge.recommendation.proof import Held, Proof, refusal


def prove_on_device(name: str, result: DeviceResult, allow_inconclusive: bool) -> Proof:
    """Find the runtimes of a device in which an artifact's answers pass.

    A runtime that answered and then crashed while it was timed did not come through.

    Args:
        name: The artifact's, of the file that the device had.
        result: The device's.
        allow_inconclusive: True to admit what could not be decided.
    """
    failed = [gone for gone in result.failed if gone.name == name]
    gone = [*failed, *(gone for gone in result.left_out if gone.name == name)]
    refused = [LeftOut(each.where, each.reason) for each in gone]
    parities = (*result.parity.artifacts, *result.parity.elsewhere)
    own = [parity for parity in parities if parity.name == name]
    if not own and not refused:
        refused.append(LeftOut(name, _never_measured(name, result)))
    held = []
    for parity in own:
        runtime = parity.runtime_name
        if any(each.runtime in (None, runtime) for each in failed):
            continue
        if reason := refusal(parity, allow_inconclusive, _more_pictures(result)):
            refused.append(LeftOut(f"{name} in {runtime}" if parity.images else name, reason))
        else:
            held.append(Held(runtime, parity))
    return Proof(name, tuple(held), tuple(dict.fromkeys(refused)))


def _never_measured(name: str, result: DeviceResult) -> str:
    format_ = artifact_kind(name).format.traits
    if not format_.on_devices:
        return f"no device runs {format_.files}"
    if result.browser is None:
        return "not measured there; run `resnet-edge bundle` with it, and the bundle on the device"
    return "not measured there; run `resnet-edge browser` with it"


def _more_pictures(result: DeviceResult) -> str:
    if result.browser is None:
        return "run a bundle there with more pictures (`resnet-edge bundle --images N`)"
    return "measure there with more pictures (`resnet-edge browser --images N`)"


def untimed_on_device(result: DeviceResult) -> tuple[Unmeasured, ...]:
    """Return what a browser answered but could not time, with the reasons."""
    return tuple(_untimed(result))


def _untimed(result: DeviceResult) -> Iterator[Unmeasured]:
    for run in result.browser.runs if result.browser else ():
        if run.not_timed:
            yield Unmeasured(run.artifact, f"not timed: {run.not_timed}", run.runtime)


def without(result: DeviceResult, names: Sequence[str]) -> DeviceResult:
    """Return a device's result without the latencies of some artifacts."""
    kept = tuple(bench for bench in result.bench.artifacts if bench.name not in names)
    return replace(result, bench=replace(result.bench, artifacts=kept))
