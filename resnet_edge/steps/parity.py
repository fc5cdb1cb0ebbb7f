"""Every artifact in its real runtime against the reference: ``results/parity.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from resnet_edge.display import Display, Silent
from resnet_edge.errors import InferenceError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.files import digest, hash_path
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES
from resnet_edge.ondevice.formats.sidecar import (
    Artifact,
    exported_names,
    load_artifacts,
    recorded_hashes,
    sidecar_path,
)
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.measurements import ParityResult
from resnet_edge.ondevice.parity.evaluation import evaluation_set, parity_result
from resnet_edge.ondevice.parity.judging import (
    is_complete,
    judge_again,
    missing_words,
)
from resnet_edge.ondevice.reference_file import Reference, read_reference
from resnet_edge.ondevice.runtimes.installed import all_installed, check_asked
from resnet_edge.ondevice.versions import version_of
from resnet_edge.options import Options
from resnet_edge.robustness.record import CorruptionResult
from resnet_edge.steps.corruptions import compare_under_corruptions, judge_saved_corruptions
from resnet_edge.steps.evaluation import check_reference, compare_all, warn_refused
from resnet_edge.steps.one_writer import sole_writer
from resnet_edge.steps.up_to_date import is_current, write_stamp


@dataclass(frozen=True)
class Compared:
    """The record of the comparison."""

    result: ParityResult
    rebuilt: bool
    """True if artifacts were asked; False if saved answers were judged."""
    corruptions: CorruptionResult | None = None
    """The comparison on corrupted pictures; None where none was asked for."""


@sole_writer
def parity(options: Options, display: Display | None = None) -> Compared:
    """Let every artifact answer the whole test split and judge it, corrupted too if asked for.

    Answers do not depend on the gates. If nothing but the gates has changed, the saved answers are
    judged again and nothing is run. So are those of a build whose artifacts are gone, unless
    ``options`` names some.

    Args:
        options: The build, the artifacts, and the gates.
        display: Shows the progress.

    Raises:
        ResnetEdgeError: See the subclass for what was wrong.
    """
    display = display or Silent()
    layout, names = options.layout, options.formats
    if names is None:
        if _only_saved_answers(layout):
            return judge_saved(options, display)
        names = exported_names(layout.artifacts)
    compared, reference, artifacts = _compare_clean(options, names, display)
    if not options.robustness.chosen or not len(reference.classes):
        judge_saved_corruptions(layout, options.gates)
        return compared
    under = compare_under_corruptions(options, reference, artifacts, display)
    return Compared(compared.result, compared.rebuilt or under.rebuilt, under.result)


def _compare_clean(
    options: Options, names: tuple[str, ...], display: Display
) -> tuple[Compared, Reference, tuple[Artifact, ...]]:
    layout = options.layout
    check_asked(options.also_in)
    reference = read_reference(layout.reference)
    artifacts = load_artifacts(layout.artifacts, names)
    check_reference(artifacts, reference)
    inputs = {
        "reference": hash_path(layout.reference),
        "artifacts": digest([(a.name, a.sidecar.sha256) for a in artifacts]),
        "versions": digest(
            all_installed((a.sidecar.format for a in artifacts), options.also_in),
            [version_of(package) for package in ("numpy", "pillow", "resnet-edge")],
        ),
    }
    if is_current(options.out, "parity", inputs):
        found = read_record(ParityResult, layout.parity, InferenceError)
        judged = judge_again(found, options.gates)
        if judged is not None and is_complete(judged):
            display.say(f"{layout.parity} is up to date")
            warn_refused(_only(judged, names).refused, display)
            if judged != found:
                _write(options, judged, inputs)
            return Compared(_only(judged, names), rebuilt=False), reference, artifacts
    compared = compare_all(options, reference, artifacts, display)
    result = parity_result(
        evaluation_set(reference),
        reference.info.model_sha256,
        inputs["reference"],
        options.gates,
        compared.artifacts,
        compared.elsewhere,
        compared.refused,
    )
    _write(options, _with_others(result, options), inputs)
    return Compared(result, rebuilt=True), reference, artifacts


def _only(result: ParityResult, names: Sequence[str]) -> ParityResult:
    return replace(
        result,
        artifacts=tuple(a for a in result.artifacts if a.name in names),
        elsewhere=tuple(a for a in result.elsewhere if a.name in names),
        refused=tuple(gone for gone in result.refused if gone.name in names),
    )


def _with_others(result: ParityResult, options: Options) -> ParityResult:
    """Add the recorded results of the build's other artifacts, judged by the present gates.

    A result counts if its file is unchanged and it was compared with the same reference.
    """
    layout = options.layout
    if not layout.parity.exists():
        return result
    found = read_record(ParityResult, layout.parity, InferenceError)
    if found.reference_sha256 != result.reference_sha256:
        return result
    hashes = recorded_hashes(layout.artifacts)
    same = [a.name for a in found.artifacts if hashes.get(a.name) == a.sha256]
    kept = [name for name in same if name not in {a.name for a in result.artifacts}]
    others = judge_again(_only(found, kept), options.gates)
    if others is None:
        return result
    by_name = {a.name: a for a in (*others.artifacts, *result.artifacts)}
    return replace(
        result,
        artifacts=tuple(by_name[name] for name in ARTIFACT_NAMES if name in by_name),
        elsewhere=(*others.elsewhere, *result.elsewhere),
        refused=(*others.refused, *result.refused),
    )


def _only_saved_answers(layout: Layout) -> bool:
    present = any(sidecar_path(layout.artifacts / name).exists() for name in ARTIFACT_NAMES)
    return layout.parity.exists() and not present


@sole_writer
def judge_saved(options: Options, display: Display | None = None) -> Compared:
    """Judge the record of ``parity`` by other gates; neither artifacts nor runtimes are needed.

    Args:
        options: The build and the gates.
        display: Shows the progress.

    Raises:
        InferenceError: There is no record, or it does not have the answers of each picture.
    """
    display = display or Silent()
    layout = options.layout
    found = read_record(ParityResult, layout.parity, InferenceError)
    judged = judge_again(found, options.gates)
    if judged is None:
        raise InferenceError(
            f"{layout.parity}: an earlier version wrote it, without "
            f"{missing_words(found, options.gates)}, and there are no artifacts to ask again; put "
            "them back or export them"
        )
    if options.robustness.chosen:
        raise InferenceError(
            f"--corruptions: no artifacts in {layout.artifacts} to ask; put them back or export "
            "them again"
        )
    judge_saved_corruptions(layout, options.gates)
    display.say(f"no artifacts in {layout.artifacts}: the saved answers are judged again")
    if judged != found:
        write_record(layout.parity, judged)
    return Compared(judged, rebuilt=False)


def _write(options: Options, result: ParityResult, inputs: dict[str, str]) -> None:
    write_record(options.layout.parity, result)
    write_stamp(options.out, "parity", inputs, (options.layout.parity,))
