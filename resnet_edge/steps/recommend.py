"""Recommends an artifact for this machine, or by the result of a device.

Needs neither TensorFlow nor photos.
"""

from __future__ import annotations

from pathlib import Path

from resnet_edge.devices.device_results import EXPORTED_ANEW, exported_anew, read_own_result
from resnet_edge.display import Display, Silent
from resnet_edge.errors import ArtifactError, InferenceError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.command.device_result import check_given, check_timed
from resnet_edge.ondevice.files import StrPath
from resnet_edge.ondevice.formats.sidecar import Artifact, load_artifacts
from resnet_edge.ondevice.json_records import read_record
from resnet_edge.ondevice.measurements import ArtifactParity, ParityResult, Verdict
from resnet_edge.ondevice.runtimes.installed import install_line, installed_runtimes
from resnet_edge.options import Options
from resnet_edge.recommendation import LeftOut, Recommendation
from resnet_edge.recommendation.device_proof import prove_on_device, untimed_on_device, without
from resnet_edge.recommendation.proof import MORE_PICTURES, Held, Proof, refusal
from resnet_edge.recommendation.weighing import Terms, weigh
from resnet_edge.steps.bench import complete_latency
from resnet_edge.steps.corrupted_sections import Corrupted, read_corrupted
from resnet_edge.steps.one_writer import sole_writer


@sole_writer
def recommend(
    options: Options,
    display: Display | None = None,
    *,
    allow_inconclusive: bool = False,
    on_device: StrPath | None = None,
) -> Recommendation:
    """Choose among the artifacts whose gates hold, by latency, size and closeness.

    Latencies are those of ``bench``, matched by the files' hashes; what is missing is measured and
    written where ``bench`` writes it. Nothing else is written. By the result of a device nothing is
    measured or written.

    Args:
        options: The build, the artifacts, thread counts, the duration of measurements that are
            missing, and latency gates.
        display: Shows the progress.
        allow_inconclusive: True to admit artifacts whose accuracy gate could not be decided.
        on_device: The result of a device or a browser, which the choice is for; None chooses for
            this machine.

    Returns:
        The choice with its reasons; false, with what was left out, if nothing can be
        recommended.

    Raises:
        UsageError: There is no such result.
        ArtifactError: The result is of an emulated device, or of another model.
        ReferenceFileError: The result is of another reference, or of other pictures.
        ResnetEdgeError: Nothing was compared with the reference, or see the subclass.
    """
    if on_device is not None:
        check_given(Path(on_device))
    artifacts = load_artifacts(options.layout.artifacts, options.formats)
    terms = Terms(options.gates, options.bench.threads, allow_inconclusive)
    if on_device is not None:
        return _for_device(Path(on_device), options.layout, artifacts, terms)
    return _for_this_machine(options, artifacts, terms, display or Silent())


def _for_this_machine(
    options: Options, artifacts: tuple[Artifact, ...], terms: Terms, display: Display
) -> Recommendation:
    layout = options.layout
    if not layout.parity.exists():
        raise ArtifactError(
            f"{layout.parity}: no such file, so nothing is known of the answers; run "
            "`resnet-edge reference` and `resnet-edge parity`, then this again"
        )
    record = read_record(ParityResult, layout.parity, InferenceError)
    corrupted = read_corrupted(layout, artifacts, record)
    proofs = [
        _refuse_falling(artifact.name, corrupted)
        or _prove(artifact, record, terms.allow_inconclusive)
        for artifact in artifacts
    ]
    proven = [artifact for artifact, proof in zip(artifacts, proofs, strict=True) if proof.held]
    bench = complete_latency(options, artifacts, proven, display).result
    return weigh(proofs, bench, bench.refused, terms)


def _for_device(
    path: Path, layout: Layout, artifacts: tuple[Artifact, ...], terms: Terms
) -> Recommendation:
    result = read_own_result(layout, path, artifacts[0].sidecar.model_sha256)
    check_timed(result)
    changed = exported_anew(result, artifacts)
    clean = layout.parity
    record = read_record(ParityResult, clean, InferenceError) if clean.exists() else None
    corrupted = read_corrupted(layout, artifacts, record)
    proofs = []
    for name in (artifact.name for artifact in artifacts):
        if name in changed:
            proofs.append(Proof(name, refused=(LeftOut(name, EXPORTED_ANEW),)))
        else:
            falls = _refuse_falling(name, corrupted)
            proofs.append(falls or prove_on_device(name, result, terms.allow_inconclusive))
    latencies = without(result, changed).bench
    return weigh(proofs, latencies, untimed_on_device(result), terms, result.browser)


def _refuse_falling(name: str, corrupted: Corrupted) -> Proof | None:
    """Refuse an artifact that fails under a corruption; None where it does not."""
    falls = [each for each in corrupted.of(name) if each.gate.verdict is Verdict.FAIL]
    if not falls:
        return None
    reasons = [f"fail under {each.corruption.value}: {each.gate.reason}" for each in falls]
    return Proof(name, refused=(LeftOut(name, "; ".join(reasons)),))


def _prove(artifact: Artifact, record: ParityResult, inconclusive: bool) -> Proof:
    name = artifact.name
    main = next((a for a in record.artifacts if a.name == name), None)
    installed = installed_runtimes(artifact.sidecar.format)
    if main is None or not main.images or not installed:
        reason = _refusal(artifact, main, inconclusive)
        kind = artifact.sidecar.format
        reason = reason or f"no runtime for it is installed here; run `{install_line(kind)}`"
        return Proof(name, refused=(LeftOut(name, reason),))
    others = [a for a in record.elsewhere if a.name == name]
    answers = {parity.runtime_name: parity for parity in (main, *others)}
    # If the runtime that answered is no longer installed, its answers stand for the one that is.
    answers.setdefault(installed[0].name, main)
    failures = {gone.runtime: gone for gone in record.refused if gone.name == name}
    proof = Proof(name, alone=len(installed) == 1)
    held, refused = [], []
    for runtime in (each.name for each in installed):
        parity = answers.get(runtime)
        if parity is None and (gone := failures.get(runtime)) is not None:
            refused.append(LeftOut(gone.where, gone.reason))
        elif reason := _refusal(artifact, parity, inconclusive):
            refused.append(LeftOut(proof.where(runtime), reason))
        elif parity is not None:
            held.append(Held(runtime, parity))
    return Proof(name, tuple(held), tuple(refused), proof.alone)


def _refusal(artifact: Artifact, parity: ArtifactParity | None, inconclusive: bool) -> str | None:
    """Return the reason not to recommend an artifact; None if it may be recommended."""
    if parity is None:
        return "not compared with the reference; run `resnet-edge parity` on it"
    if parity.sha256 != artifact.sidecar.sha256:
        return (
            f"the file that was compared with the reference had sha256 {parity.sha256[:16]}…, this "
            f"one has {artifact.sidecar.sha256[:16]}…; run `resnet-edge parity` again"
        )
    return refusal(parity, inconclusive, MORE_PICTURES)
