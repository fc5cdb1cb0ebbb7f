"""The network that fits a budget: found, trained, exported, proven and measured."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_edge.compression.front import Front, build_front
from resnet_edge.compression.limits import Limits
from resnet_edge.compression.trials import Trial, TrialLog
from resnet_edge.display import Display, Silent
from resnet_edge.errors import UsageError
from resnet_edge.full_precision.backend import keras_backend, set_environment
from resnet_edge.layout import Layout
from resnet_edge.model.model_file import ModelInfo
from resnet_edge.ondevice.files import digest, hash_path
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.runtimes.installed import all_installed
from resnet_edge.ondevice.versions import version_of
from resnet_edge.options import Options, StrPath
from resnet_edge.reporting.write_front import write_front
from resnet_edge.steps.compress_pictures import Learning, decoded_at, find_learning
from resnet_edge.steps.known_model import describe_for_export
from resnet_edge.steps.one_writer import sole_writer
from resnet_edge.steps.reference import reference

if TYPE_CHECKING:
    from resnet_edge.steps.compress_trials import Bench

NAMES = ("fp16.tflite", "dynamic.tflite", "int8.tflite", "fp32.onnx", "int8.onnx")
"""Files that are made of every network where none are asked for: of those with the same latency
and answers the smallest."""

LAYOUT = 1
"""Number of the layout of a search's rows; other fields need another number."""


@dataclass(frozen=True)
class Compressed:
    """What a search found."""

    front: Front
    trials: tuple[Trial, ...]
    folder: Path
    """``OUT/compressed``, with a build for each network."""
    page: Path
    """The front as a page with table and plot."""
    is_over: bool
    """False if the minutes ended before everything promising was measured."""

    @property
    def path(self) -> Path | None:
        """The file to take; None if none holds the limits."""
        chosen = self.front.chosen
        if chosen is None:
            return None
        return self.folder / chosen.network / "artifacts" / chosen.file


@sole_writer
def compress(
    options: Options, model: StrPath | None = None, display: Display | None = None
) -> Compressed:
    """Search input size, width, precision, runtime and threads for a file within limits.

    Every trial is a row in ``OUT/compressed/trials.jsonl``. A search that was interrupted, or ran
    out of minutes, goes on when it is called again.

    Args:
        options: The limits (``gates.max_p90_ms`` and ``compression``), the build or ``--test`` and
            ``--calibration``, files, quantization, and the measuring of latency.
        model: Any ``.keras`` classifier; None takes the build folder's own.
        display: Shows the progress.

    Raises:
        UsageError: No limit is given, or one that contradicts another or cannot be.
        ResnetEdgeError: See the subclass for what else was wrong.
    """
    display = display or Silent()
    limits = limits_of(options)
    names = _names(options)
    if (backend := keras_backend()) != "tensorflow":
        raise UsageError(
            f"KERAS_BACKEND: got {backend}; expected tensorflow, which compress needs; unset it"
        )
    set_environment()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # many networks are no mistake
    from resnet_edge.steps.compress_search import Search

    until = time.monotonic() + 60 * options.compression.budget_minutes
    bench, learning = _prepare(options, Path(model or options.layout.model), names, limits, display)
    search = Search(bench, until)
    over = search.run()
    trials = tuple(bench.log)
    front = build_front(trials, search.devices, bench.rules)
    page = write_front(bench.folder, front, trials, learning.source)
    return Compressed(front, trials, bench.folder, page, over)


def limits_of(options: Options) -> Limits:
    """Return the limits that a search was given.

    Raises:
        UsageError: There is none.
    """
    p90_ms, asked = options.gates.max_p90_ms, options.compression
    if p90_ms is None and asked.max_bytes is None and asked.max_loss is None:
        raise UsageError(
            "compress: no limit is given; expected at least one of --max-p90-ms, --max-bytes and "
            "--max-loss, for instance --max-p90-ms 20"
        )
    return Limits(None if p90_ms is None else p90_ms / 1e3, asked.max_bytes, asked.max_loss)


def _names(options: Options) -> tuple[str, ...]:
    names = NAMES if options.formats is None else options.formats
    for name in names:
        if not artifact_kind(name).format.traits.on_devices:
            raise UsageError(
                f"--formats: got {name}; expected .tflite or .onnx files, which devices run"
            )
    return names


def _prepare(
    options: Options, source: Path, names: tuple[str, ...], limits: Limits, display: Display
) -> tuple[Bench, Learning]:
    """Read model and pictures, answer the test pictures, and open the rows."""
    from converters.preprocessing import PREPROCESSINGS
    from resnet_edge.compression.networks import Networks
    from resnet_edge.model.classifiers import read_classifier
    from resnet_edge.steps.compress_trials import Bench
    from resnet_edge.steps.known_model import size_for_reference

    info = describe_for_export(options, source, display)
    if "; slimmed to " in info.weights:
        display.warn(
            f"{source.name} was slimmed before ({info.weights.rpartition('; ')[2]}): limits and "
            "losses count from it; to count from the first model, compress that one again"
        )
    answered = reference(options, source, display).reference
    if not len(answered.classes):
        raise UsageError(
            "compress: no test pictures, so no loss can be measured; pass --test DIR, a folder per "
            "class, with pictures that the model was not trained on"
        )
    folder = options.layout.compressed
    learning = find_learning(options, info.labels, Layout(folder), display)
    size = size_for_reference(options, source)
    classifier = read_classifier(source, size)
    for note in classifier.notes:
        display.say(f"{source.name}: {note}")
    pictures = _pictures_key(source, info, learning)
    networks = Networks(
        classifier.model,
        PREPROCESSINGS[info.preprocessing],
        decoded_at(learning, info, options.layout, display),
        display,
        augment=learning.augment,
        kept=options.layout.cache / f"channels-{pictures}.npz",
    )
    log = TrialLog(folder / "trials.jsonl", _key(options, pictures, names))
    bench = Bench(
        options=options,
        info=info,
        source=source,
        networks=networks,
        reference=answered,
        limits=limits,
        log=log,
        folder=folder,
        names=names,
        display=display,
    )
    return bench, learning


def _pictures_key(source: Path, info: ModelInfo, learning: Learning) -> str:
    """Return a hash of the model and of the pictures that it is fitted with."""
    pictures = [(p.sha256, p.label) for p in (*learning.lessons, *learning.validation)]
    return digest(LAYOUT, hash_path(source), info.preprocessing, info.fit, pictures)[:16]


def _key(options: Options, pictures: str, names: tuple[str, ...]) -> str:
    """Return a hash of all that rows depend on. Limits decide only which rows there are.

    Args:
        options: The search's.
        pictures: See ``_pictures_key``.
        names: Files to make.
    """
    return digest(
        pictures,
        hash_path(options.layout.dataset),
        names,
        options.rewrites,
        options.quantization,
        options.bench.threads,
        all_installed({artifact_kind(name).format for name in names}),
        [version_of(package) for package in ("keras", "tensorflow", "resnet-edge")],
    )[:16]
