"""What a network that was not measured would take: here, and on devices that measured others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.compression.latency_model import LatencyModel, fit_latency
from resnet_edge.compression.front import HERE
from resnet_edge.compression.trials import Trial
from resnet_edge.errors import ArtifactError
from resnet_edge.ondevice.command.device_result import DeviceResult, check_timed
from resnet_edge.ondevice.formats.kinds import Precision, Quantization, artifact_kind


@dataclass(frozen=True, order=True)
class Way:
    """A kind of file, a runtime for it, and a number of threads."""

    artifact: str
    runtime: str
    threads: int


@dataclass(frozen=True)
class Machine:
    """A machine whose latency counts."""

    name: str
    ways: Mapping[Way, LatencyModel]
    """Models of the 90th percentile, in seconds."""
    measured: Mapping[tuple[str, Way], float]
    """90th percentiles that it measured itself, by the network's hash and the way."""

    def p90_s(self, network: Trial, way: Way) -> float:
        """Return the 90th percentile of a network: measured there, or foretold."""
        known = self.measured.get((network.model_sha256, way))
        return self.ways[way].predict(np.array(network.work)) if known is None else known

    def of(self, artifact: str) -> tuple[Way, ...]:
        """Return the ways in which it can run a kind of file."""
        return tuple(way for way in sorted(self.ways) if way.artifact == artifact)

    def fastest(self, artifact: str, work: np.ndarray) -> Way | None:
        """Return the way that would be the fastest for some work; None if it has none."""
        return min(self.of(artifact), key=lambda way: self.ways[way].predict(work), default=None)


def this_machine(trials: Iterable[Trial]) -> Machine:
    """Fit models to everything that was measured here.

    Args:
        trials: Of them those with files count.
    """
    rows: dict[Way, dict[str, tuple[tuple[float, ...], float]]] = {}
    measured = {}
    for trial in trials:
        for file in trial.files:
            for latency in file.latencies:
                way = Way(file.name, latency.runtime, latency.threads)
                rows.setdefault(way, {})[trial.model_sha256] = (trial.work, latency.p90_s)
                measured[trial.model_sha256, way] = latency.p90_s
    ways = {
        way: fit_latency(np.array([work for work, _ in own.values()]), [t for _, t in own.values()])
        for way, own in rows.items()
    }
    return Machine(HERE, ways, measured)


def on_device(result: DeviceResult, here: Machine, networks: Sequence[Trial]) -> Machine:
    """Scale the models of this machine to a device, by what it measured.

    A way that was not measured here, say with four threads, takes the model of the same kind of
    file.

    Args:
        result: What the device measured.
        here: This machine.
        networks: The model and networks that were found; the result is of one of them.

    Raises:
        ArtifactError: See ``check_result``; or it is without latencies.
    """
    sha256, name = result.parity.model_sha256, result.machine.host
    check_result(result, [trial.model_sha256 for trial in networks])
    network = next(trial for trial in networks if trial.model_sha256 == sha256)
    work = np.array(network.work)
    ways, measured = {}, {}
    for bench in result.bench.artifacts:
        for latency in bench.latencies:
            way = Way(bench.name, latency.runtime, latency.threads)
            own = here.ways.get(way) or _alike(here, way)
            if own is not None and latency.queries_per_sample == 1:  # else p90 is none
                ways[way] = own.scaled(latency.p90_s / own.predict(work))
                measured[sha256, way] = latency.p90_s
    if not ways:
        raise ArtifactError(
            f"--on-device: the result of {name} has no latency of single queries of a file that is "
            "looked for; "
            "expected some of .tflite or .onnx files; run the bundle there again"
        )
    return Machine(name, ways, measured)


def check_result(result: DeviceResult, known: Sequence[str]) -> None:
    """Refuse a device's result that says nothing of the networks of a search.

    Args:
        result: The device's.
        known: Hashes of the model and of the networks that were found, the model's first.

    Raises:
        ArtifactError: It is of none of them, or of an emulated device.
    """
    sha256, name = result.parity.model_sha256, result.machine.host
    if sha256 not in known:
        raise ArtifactError(
            f"--on-device: the result of {name} is of another model ({sha256[:16]}…); expected one "
            f"of the model that is compressed ({known[0][:16]}…) or of a network that was found "
            "before; make a bundle of it with `resnet-edge bundle`, and run it there"
        )
    check_timed(result)


def _alike(here: Machine, way: Way) -> LatencyModel | None:
    """Return a model of the same kind of file, of the nearest number of threads."""
    ways = here.of(way.artifact)
    nearest = min(ways, key=lambda other: abs(other.threads - way.threads), default=None)
    return None if nearest is None else here.ways[nearest]


def merged(machines: Sequence[Machine]) -> tuple[Machine, ...]:
    """Put results of the same machine together; a later one's models count."""
    found: dict[str, Machine] = {}
    for machine in machines:
        old = found.get(machine.name)
        found[machine.name] = (
            machine
            if old is None
            else Machine(
                machine.name,
                {**old.ways, **machine.ways},
                {**old.measured, **machine.measured},
            )
        )
    return tuple(found.values())


def bytes_per_parameter(artifact: str) -> float:
    """Return the bytes that a weight takes in a kind of file."""
    kind = artifact_kind(artifact)
    if kind.precision is Precision.FLOAT16 or kind.quantization is Quantization.FLOAT16_WEIGHTS:
        return 2.0
    return 4.0 if kind.precision is Precision.FLOAT32 else 1.0


def affordable_parameters(artifact: str, known: Iterable[Trial], limit: int) -> float:
    """Return how many parameters a network may have so that its file is no larger than a limit.

    Args:
        artifact: The kind of file.
        known: Networks with files; the one whose file is nearest to the limit counts.
        limit: In bytes.

    Returns:
        NaN where no such file is known; below 0 where even a file without parameters is larger.
    """
    sizes = [
        (abs(file.bytes - limit), trial.parameters, file.bytes)
        for trial in known
        for file in trial.files
        if file.name == artifact
    ]
    if not sizes:
        return math.nan
    _, parameters, count = min(sizes)
    return parameters - (count - limit) / bytes_per_parameter(artifact)
