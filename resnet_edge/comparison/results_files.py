"""The results of a build folder, or one file of results, read for a comparison."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from resnet_edge.errors import ArtifactError, InferenceError, UsageError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.command.device_result import read_device_result
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES
from resnet_edge.ondevice.formats.sidecar import Sidecar, sidecar_path
from resnet_edge.ondevice.json_records import from_json, read_json, read_record
from resnet_edge.ondevice.measurements import BenchResult, Machine, ParityResult
from resnet_edge.ondevice.reading import parse_json, refusing

EXPECTED = "expected a build folder, or its bench-HOST.json, parity.json or device-HOST.json"


class ResultsKind(enum.Enum):
    """The content of a file of results; the value names it for a person."""

    ANSWERS = "answers"
    LATENCY = "latencies"
    DEVICE = "a device's answers and latencies"


@dataclass(frozen=True)
class ResultsFile:
    """One file of results."""

    path: Path
    kind: ResultsKind
    parity: ParityResult | None = None
    bench: BenchResult | None = None
    emulated: bool = False
    """True if the processor was emulated: its latencies are not those of a real one."""

    @property
    def machine(self) -> Machine | None:
        """The machine that measured; None for answers, which do not record it."""
        return self.bench.machine if self.bench else None

    @property
    def timed(self) -> BenchResult | None:
        """The latencies, unless the processor was emulated."""
        return None if self.emulated else self.bench

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its artifacts."""
        parts = [*(self.parity.artifacts if self.parity else ())]
        timed = [*(self.bench.artifacts if self.bench else ())]
        return tuple(dict.fromkeys([*(p.name for p in parts), *(b.name for b in timed)]))


@dataclass(frozen=True)
class Side:
    """One of the two builds that are compared, A or B."""

    path: Path
    sources: tuple[ResultsFile, ...]
    sizes: dict[str, int]
    """Bytes, by the artifact's name."""
    is_file: bool = False
    options: dict[str, dict[str, str]] = field(default_factory=dict)
    """Options of the exports as the sidecars record them, by the artifact's name."""
    notes: tuple[str, ...] = field(default=())
    """Sentences about what was left out, with the reasons."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all artifacts, in the order of the tables."""
        found = {name for source in self.sources for name in source.names} | set(self.sizes)
        return tuple(name for name in ARTIFACT_NAMES if name in found)

    def holds(self) -> str:
        """Return the content in words."""
        files = ", ".join(f"{source.path.name} ({source.kind.value})" for source in self.sources)
        return f"{files} of {', '.join(self.names) or 'no artifact'}"


def read_side(path: Path) -> Side:
    """Read a build folder's results, or one file of results.

    Args:
        path: A build folder, its ``results`` folder, or a file of results.

    Returns:
        All results; of a build that has its artifacts, only the results of these files.

    Raises:
        UsageError: There is nothing at ``path`` that can be compared.
        ResnetEdgeError: A file is damaged or was written by another version.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; {EXPECTED}")
    if path.is_file():
        _check_json(path)
        source = _read_results_file(path)
        return Side(path, (source,), _sizes((source,), {}), is_file=True)
    layout = Layout(path)
    folder = layout.results if layout.results.is_dir() else path
    found = [
        file
        for pattern in ("parity.json", "bench-*.json", "device-*.json")
        for file in sorted(folder.glob(pattern))
    ]
    if not found:
        raise UsageError(
            f"{path}: no results here; {EXPECTED}; `resnet-edge parity` and `resnet-edge bench` "
            "write them"
        )
    sidecars = _read_sidecars(layout.artifacts)
    sources, notes = [], []
    for file in found:
        source, stale = _of_these_files(_read_results_file(file), sidecars)
        sources.append(source)
        if stale:
            notes.append(
                f"{file}: {', '.join(stale)} left out: measured of other bytes than the files in "
                f"{layout.artifacts}; measure again"
            )
    sizes = _sizes(sources, {name: sidecar.bytes for name, sidecar in sidecars.items()})
    options = {name: sidecar.options for name, sidecar in sidecars.items()}
    return Side(path, tuple(sources), sizes, options=options, notes=tuple(notes))


def _check_json(path: Path) -> None:
    """Refuse a file that is no JSON, such as an artifact."""
    refused = UsageError(f"{path}: not JSON, so not a file of results; {EXPECTED}")
    with refusing(lambda _: refused):
        parse_json(path.read_bytes())


def _read_results_file(path: Path) -> ResultsFile:
    """Read a file of results; its keys tell its kind, not its name."""
    data = read_json(path, InferenceError)
    keys: set[str] = set(data) if isinstance(data, dict) else set()
    where = str(path)
    if "reference_top1" in keys:
        answers = from_json(ParityResult, data, where, InferenceError)
        return ResultsFile(path, ResultsKind.ANSWERS, parity=answers)
    if "reference_p50_s" in keys:
        bench = from_json(BenchResult, data, where, InferenceError)
        return ResultsFile(path, ResultsKind.LATENCY, bench=bench)
    if "bundle_sha256" in keys:
        result = read_device_result(path)
        return ResultsFile(
            path, ResultsKind.DEVICE, result.parity, result.bench, emulated=result.emulated
        )
    if {"made_by", "verdict"} <= keys:
        raise UsageError(
            f"{path}: a report, without the samples that intervals come from; {EXPECTED}"
        )
    raise UsageError(f"{path}: not a result that can be compared; {EXPECTED}")


def _read_sidecars(artifacts: Path) -> dict[str, Sidecar]:
    paths = {name: sidecar_path(artifacts / name) for name in ARTIFACT_NAMES}
    return {
        name: read_record(Sidecar, path, ArtifactError)
        for name, path in paths.items()
        if path.exists()
    }


def _of_these_files(
    source: ResultsFile, sidecars: dict[str, Sidecar]
) -> tuple[ResultsFile, tuple[str, ...]]:
    """Leave out measurements of files that have been exported again since."""
    stale: set[str] = set()

    def holds(name: str, sha256: str) -> bool:
        same = name not in sidecars or sidecars[name].sha256 == sha256
        if not same:
            stale.add(name)
        return same

    parity, bench = source.parity, source.bench
    if parity is not None:
        kept = tuple(each for each in parity.artifacts if holds(each.name, each.sha256))
        parity = replace(parity, artifacts=kept)
    if bench is not None:
        timed = tuple(each for each in bench.artifacts if holds(each.name, each.sha256))
        bench = replace(bench, artifacts=timed)
    names = tuple(name for name in ARTIFACT_NAMES if name in stale)
    return replace(source, parity=parity, bench=bench), names


def _sizes(sources: Iterable[ResultsFile], known: dict[str, int]) -> dict[str, int]:
    """Return the bytes of each artifact, from its sidecar or else from its measurement."""
    benches = (source.bench.artifacts for source in sources if source.bench is not None)
    measured = {each.name: each.bytes for bench in benches for each in bench}
    return {**measured, **known}
