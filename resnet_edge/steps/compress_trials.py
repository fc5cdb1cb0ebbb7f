"""The rows of a search: networks fitted, trained, exported, compared and timed."""

from __future__ import annotations

import itertools
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from converters.compression.flat_graph import FlatGraph, read_flat_graph
from converters.compression.latency_model import work_of
from converters.compression.slimming import slim
from converters.compression.widths import Widths
from converters.multiply_adds import count_multiply_adds
from converters.quantization.settings import Level
from resnet_edge.compression.front import Rules
from resnet_edge.compression.limits import Limits
from resnet_edge.compression.networks import Networks, Size, size_of
from resnet_edge.compression.trials import MODEL, Stage, Trial, TrialFile, TrialLog
from resnet_edge.compression.words import size_words
from resnet_edge.data.manifest import copy_manifest
from resnet_edge.display import Display, Silent
from resnet_edge.exporting.failures import one_error
from resnet_edge.layout import Layout
from resnet_edge.model.model_file import ModelInfo, write_model
from resnet_edge.ondevice.files import hash_path, write_bytes
from resnet_edge.ondevice.formats.sidecar import Artifact, load_artifacts
from resnet_edge.ondevice.latency.bench import bench_artifacts
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.measurements import ArtifactBench, ArtifactParity
from resnet_edge.ondevice.parity.answers import count_only
from resnet_edge.ondevice.parity.metrics import topk_hits
from resnet_edge.ondevice.reference_file import Reference
from resnet_edge.options import ModelOptions, Options
from resnet_edge.steps.evaluation import compare_all
from resnet_edge.steps.export import export

QUICK = LatencySpec(min_seconds=1.0, min_queries=30, max_warmup_s=2.0)
"""Long enough to tell which files come near a limit."""

NEAR = 1.25
"""Files up to so many times the limit in a quick measurement are measured in full."""


@dataclass(frozen=True)
class Bench:
    """All that the rows of a search have in common."""

    options: Options
    info: ModelInfo
    source: Path
    """The model as the user gave it."""
    networks: Networks
    reference: Reference
    limits: Limits
    log: TrialLog
    folder: Path
    """``OUT/compressed``."""
    names: tuple[str, ...]
    """Files to make of every network."""
    display: Display

    @property
    def on_devices(self) -> bool:
        """True if the latency counts on devices."""
        return bool(self.options.compression.on_device)

    @property
    def rules(self) -> Rules:
        """What files are judged by."""
        answers = self.reference.probabilities
        hits = int(topk_hits(answers, self.reference.classes, 1).sum())
        return Rules(self.limits, self.options.gates, hits, len(answers))


def describe(bench: Bench, name: str, stage: Stage, model: keras.Model, sha256: str) -> Trial:
    """Return the row of a network without what was measured of it."""
    size = size_of(model)
    graph: FlatGraph = read_flat_graph(model)
    networks = bench.networks
    full = networks.model if size == networks.own else networks.at(size).graph.model
    own = count_multiply_adds(model)
    return Trial(
        key=bench.log.key,
        name=name,
        stage=stage,
        size=size,
        multiply_adds=own,
        parameters=model.count_params(),
        share=own / count_multiply_adds(full),
        work=tuple(work_of(graph).tolist()),
        model_sha256=sha256,
        seconds=0.0,
    )


def measure_model(bench: Bench) -> Trial:
    """Export, compare and time the model itself, unless that was done before."""
    if (found := bench.log.find(MODEL, Stage.MEASURED)) is not None:
        return _timed_in_full(bench, found)
    bench.display.say(f"{MODEL}: exporting and measuring it as it is")
    started = time.monotonic()
    model = bench.networks.model
    row = describe(bench, MODEL, Stage.MEASURED, model, hash_path(bench.source))
    write_model(bench.folder / MODEL / "model.keras", model, bench.info)
    return _measured(bench, replace(row, change=0.0, agreement=1.0), started)


def probe(bench: Bench, size: Size, share: float) -> Trial:
    """Time a network at a size and a share, with weights that nothing was fitted to."""
    name = f"probe-{size[0]}-{share:.2f}"
    if (found := bench.log.find(name, Stage.PROBE)) is not None:
        return found
    started = time.monotonic()
    at = bench.networks.at(size)
    removed = at.widths(share).removed if share < 1 else ()
    model = slim(at.graph, at.channels, removed).model
    folder = bench.folder / name
    write_model(folder / "model.keras", model, bench.info)
    row = describe(bench, name, Stage.PROBE, model, hash_path(folder / "model.keras"))
    artifacts = _export(bench, folder, size, Level.FAST, Silent())
    timed = bench_artifacts(
        artifacts, QUICK, bench.options.gates, threads=bench.options.bench.threads
    )
    files = tuple(TrialFile(a.name, a.sha256, a.bytes, a.latencies) for a in timed.artifacts)
    shutil.rmtree(folder)
    seconds = time.monotonic() - started
    return bench.log.add(replace(row, files=files, seconds=seconds))


def fit(bench: Bench, size: Size, widths: Widths, aim: str) -> Trial:
    """Slim the model, fit it and judge it by the validation pictures, unless that was done.

    Args:
        bench: The search.
        size: Of the input.
        widths: Of the groups of channels.
        aim: What it is fitted for, in words.
    """
    started = time.monotonic()
    name, known = _name(bench, size, widths)
    if known is not None:
        # The next call foretells latency by more rows, and would fit another network for this aim.
        return bench.log.add(replace(known, aim=aim, seconds=0.0))
    model = bench.networks.fitted(size, widths)
    path = bench.folder / name / FITTED
    write_model(path, model, _slimmed_info(bench, name))
    row = describe(bench, name, Stage.FITTED, model, hash_path(path))
    judged = bench.networks.judge(model)
    row = replace(
        row,
        change=judged.change,
        agreement=judged.agreement,
        aim=aim,
        learned="fitted in closed form" if widths.removed else "",
        seconds=time.monotonic() - started,
    )
    bench.display.say(f"{name}: {_judged_words(row)}")
    return bench.log.add(row)


def _name(bench: Bench, size: Size, widths: Widths) -> tuple[str, Trial | None]:
    """Return the name of a network and its folder, and its row where it was fitted before.

    The name is its size and its share of the multiply-adds, for instance ``64px-0.50``. Another
    network of the same share gets a number behind it.
    """
    at = bench.networks.at(size)
    slimmed = slim(at.graph, at.channels, widths.removed).model
    share = count_multiply_adds(slimmed) / count_multiply_adds(at.graph.model)
    first = f"{size_words(size).replace(' ', '')}-{share:.2f}"
    for number in itertools.count(1):
        name = first if number == 1 else f"{first}-{number}"
        known = bench.log.find(name, Stage.FITTED)
        if known is None or known.parameters == slimmed.count_params():
            break
    return name, known


def _slimmed_info(bench: Bench, name: str) -> ModelInfo:
    return replace(bench.info, weights=f"{bench.info.weights}; slimmed to {name}")


FITTED = "fitted.keras"
"""A network before it is trained, in its folder."""


def _judged_words(trial: Trial) -> str:
    change, agreement = trial.change or 0.0, trial.agreement or 0.0
    return (
        f"top-1 {100 * change:+.2f} points, {agreement:.1%} of the answers as the model's, on "
        f"validation pictures ({trial.seconds:.0f} s)"
    )


def measure(bench: Bench, fitted: Trial, seconds: float) -> Trial:
    """Train a fitted network, export it, compare its files with the model, and time them.

    Args:
        bench: The search.
        fitted: The network's row.
        seconds: About as long as the training may take.
    """
    if (found := bench.log.find(fitted.name, Stage.MEASURED)) is not None:
        return _timed_in_full(bench, found)
    started = time.monotonic()
    folder = bench.folder / fitted.name
    path = folder / "model.keras"
    learned = fitted.learned
    if not path.exists():  # else it was trained, and interrupted later
        model = keras.saving.load_model(folder / FITTED, compile=False)
        steps = bench.options.compression.steps
        words = bench.networks.learn(model, steps, seconds, folder / "distilling")
        if words:
            bench.display.say(f"{fitted.name}: {words}")
        write_model(path, model, _slimmed_info(bench, fitted.name))
        write_bytes(folder / LEARNED, words.encode())
    else:
        model = keras.saving.load_model(path, compile=False)
        words = (folder / LEARNED).read_text() if (folder / LEARNED).exists() else ""
    learned = "; ".join(filter(None, (learned, words)))
    judged = bench.networks.judge(model)
    row = replace(
        describe(bench, fitted.name, Stage.MEASURED, model, hash_path(path)),
        change=judged.change,
        agreement=judged.agreement,
        learned=learned,
    )
    return _measured(bench, row, started)


LEARNED = "learned.txt"
"""What was learned, in words, while the row is not written yet."""


def _measured(bench: Bench, row: Trial, started: float) -> Trial:
    artifacts = _export(bench, bench.folder / row.name, row.size, None, bench.display)
    compared = compare_all(bench.options, bench.reference, artifacts, bench.display)
    with bench.display.bar("latency") as advance:
        quick = bench_artifacts(
            *(artifacts, QUICK, bench.options.gates),
            threads=bench.options.bench.threads,
            progress=lambda done, total, title: advance(done, total, title),
        )
    pairs = zip(compared.artifacts, quick.artifacts, strict=True)
    files = tuple(_file(parity, timed) for parity, timed in pairs)
    row = bench.log.add(replace(row, files=files, seconds=time.monotonic() - started))
    return _timed_in_full(bench, row)


def _file(parity: ArtifactParity, timed: ArtifactBench) -> TrialFile:
    answers, gained, lost = parity.answers, 0, 0
    collapse = parity.collapse or (None if answers else "no answers were compared")
    if answers is not None:
        gained = count_only(answers.right, answers.reference_right)
        lost = count_only(answers.reference_right, answers.right)
    return TrialFile(
        name=timed.name,
        sha256=timed.sha256,
        bytes=timed.bytes,
        latencies=timed.latencies,
        top1=parity.top1,
        agreement=parity.agreement,
        images=parity.images,
        gained=gained,
        lost=lost,
        collapse=collapse,
    )


def _timed_in_full(bench: Bench, row: Trial) -> Trial:
    """Time the files near a limit as long as asked, else the fastest one; return the new row."""
    if bench.on_devices:
        return row
    spec, limit_s = bench.options.bench.spec, bench.limits.p90_s
    best = {f.name: min(f.latencies, key=lambda one: one.p90_s) for f in row.files if f.latencies}
    near = [n for n, one in best.items() if limit_s and one.p90_s <= NEAR * limit_s]
    near = near or [min(best, key=lambda name: best[name].p90_s)]
    wanted = [name for name in near if not spec.is_met_by(best[name].samples_s)]
    if not wanted:
        return row
    files = {file.name: file for file in row.files}
    for artifact in load_artifacts(bench.folder / row.name / "artifacts", tuple(wanted)):
        threads = (best[artifact.name].threads,)
        with bench.display.bar(f"latency of {artifact.name}"):
            full = bench_artifacts((artifact,), spec, bench.options.gates, threads=threads)
        new = full.artifacts[0].latencies
        old = files[artifact.name]
        kept = [one for one in old.latencies if one.threads not in threads]
        files[artifact.name] = replace(old, latencies=(*new, *kept))
    # Another file may be the fastest now, which is timed in full as well.
    return _timed_in_full(bench, bench.log.add(replace(row, files=tuple(files.values()))))


def _export(
    bench: Bench, folder: Path, size: Size, level: Level | None, display: Display
) -> tuple[Artifact, ...]:
    """Export a network of its own folder, which is a build of its own."""
    layout, own = bench.options.layout, Layout(folder)
    copy_manifest(layout.dataset, own.dataset, size)
    for path, there in ((layout.calibration, own.calibration), (layout.training, own.training)):
        if path.exists():
            write_bytes(there, path.read_bytes())
    quantization = bench.options.quantization
    options = replace(
        bench.options,
        out=folder,
        formats=bench.names,
        model=ModelOptions(),
        data=replace(bench.options.data, image_size=None, fit=None),
        quantization=quantization if level is None else replace(quantization, level=level),
    )
    made = export(options, None, display, partial=True)
    if made.lost and folder.name == MODEL:  # the others of the search lack them too
        display.warn(f"{one_error(made.lost)}\nthe search goes on with the others")
    for decoded in own.cache.glob("decoded-*.npy"):  # large, and soon made again
        decoded.unlink()
    return made.artifacts
