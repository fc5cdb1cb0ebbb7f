"""Recommends an artifact for this machine; needs neither TensorFlow nor photos."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from resnet_edge.display import Display, Silent
from resnet_edge.errors import ArtifactError, InferenceError
from resnet_edge.ondevice.formats.sidecar import Artifact, load_artifacts
from resnet_edge.ondevice.json_records import read_record
from resnet_edge.ondevice.latency.noise import best_latency
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    ArtifactParity,
    BenchResult,
    ParityResult,
    Verdict,
)
from resnet_edge.ondevice.parity.gates import judge_latency
from resnet_edge.ondevice.runtimes.installed import install_line, installed_runtimes
from resnet_edge.options import Options
from resnet_edge.recommendation import Candidate, LeftOut, Recommendation, choose
from resnet_edge.steps.bench import complete_latency
from resnet_edge.steps.corrupted_sections import Corrupted, read_corrupted
from resnet_edge.steps.one_writer import sole_writer


@sole_writer
def recommend(
    options: Options, display: Display | None = None, *, allow_inconclusive: bool = False
) -> Recommendation:
    """Choose among the artifacts whose gates hold, by latency here, size and closeness.

    Latencies are those of ``bench``, matched by the files' hashes; what is missing is measured and
    written where ``bench`` writes it. Nothing else is written.

    Args:
        options: The build, the artifacts, thread counts, the duration of measurements that are
            missing, and latency gates.
        display: Shows the progress.
        allow_inconclusive: True to admit artifacts whose accuracy gate could not be decided.

    Returns:
        The choice with its reasons; false, with what was left out, if nothing can be
        recommended.

    Raises:
        ResnetEdgeError: Nothing was compared with the reference, or see the subclass.
    """
    display = display or Silent()
    layout = options.layout
    artifacts = load_artifacts(layout.artifacts, options.formats)
    if not layout.parity.exists():
        raise ArtifactError(
            f"{layout.parity}: no such file, so nothing is known of the answers; run "
            "`resnet-edge reference` and `resnet-edge parity`, then this again"
        )
    record = read_record(ParityResult, layout.parity, InferenceError)
    corrupted = read_corrupted(layout, artifacts, record)
    proofs = {
        a.name: _refuse_falling(a.name, corrupted) or _prove(a, record, allow_inconclusive)
        for a in artifacts
    }
    proven = [artifact for artifact in artifacts if proofs[artifact.name].held]
    bench = complete_latency(options, artifacts, proven, display).result
    benches = {a.name: _with_threads(a, options.bench.threads) for a in bench.artifacts}
    measured = [b for b in benches.values() if b.name in proofs and b.latencies]
    left_out: list[LeftOut] = []
    candidates: list[Candidate] = []
    for name, proof in proofs.items():
        left_out += proof.refused
        if proof.held:
            left_out += _untimed(name, proof, bench)
            timed = _in_runtimes(benches[name], proof.held)
            if not timed.latencies:
                continue
            within, reason = _within_limits(timed, options, bench, allow_inconclusive)
            if reason:
                left_out.append(LeftOut(name, reason))
            else:
                runtime = best_latency(within.latencies).runtime
                candidates.append(Candidate(proof.held[runtime], within))
    return choose(candidates, measured, left_out, bench.machine)


@dataclass(frozen=True)
class _Proof:
    """The runtimes on this machine in which an artifact's answers pass."""

    held: dict[str, ArtifactParity]
    """The answers, by the runtime's name."""
    refused: tuple[LeftOut, ...]


def _untimed(name: str, proof: _Proof, record: BenchResult) -> Iterator[LeftOut]:
    """Name the runtimes whose answers pass, but that crashed while they were timed."""
    for gone in record.refused:
        if gone.name == name and gone.runtime in proof.held:
            yield LeftOut(gone.where, gone.reason)


def _refuse_falling(name: str, corrupted: Corrupted) -> _Proof | None:
    """Refuse an artifact that fails under a corruption; None where it does not."""
    falls = [each for each in corrupted.of(name) if each.gate.verdict is Verdict.FAIL]
    if not falls:
        return None
    reasons = [f"fail under {each.corruption.value}: {each.gate.reason}" for each in falls]
    return _Proof({}, (LeftOut(name, "; ".join(reasons)),))


def _prove(artifact: Artifact, record: ParityResult, inconclusive: bool) -> _Proof:
    main = next((a for a in record.artifacts if a.name == artifact.name), None)
    installed = installed_runtimes(artifact.sidecar.format)
    if main is None or not main.images or not installed:
        reason = _refusal(artifact, main, inconclusive)
        kind = artifact.sidecar.format
        reason = reason or f"no runtime for it is installed here; run `{install_line(kind)}`"
        return _Proof({}, (LeftOut(artifact.name, reason),))
    others = [a for a in record.elsewhere if a.name == artifact.name]
    answers = {parity.runtime_name: parity for parity in (main, *others)}
    # If the runtime that answered is no longer installed, its answers stand for the one that is.
    answers.setdefault(installed[0].name, main)
    failures = {gone.runtime: gone for gone in record.refused if gone.name == artifact.name}
    held, refused = {}, []
    for runtime in installed:
        parity = answers.get(runtime.name)
        if parity is None and (gone := failures.get(runtime.name)) is not None:
            refused.append(LeftOut(gone.where, gone.reason))
        elif reason := _refusal(artifact, parity, inconclusive):
            alone = len(installed) == 1
            title = artifact.name if alone else f"{artifact.name} in {runtime.name}"
            refused.append(LeftOut(title, reason))
        elif parity is not None:
            held[runtime.name] = parity
    return _Proof(held, tuple(refused))


def _in_runtimes(bench: ArtifactBench, names: Collection[str]) -> ArtifactBench:
    latencies = tuple(latency for latency in bench.latencies if latency.runtime in names)
    return replace(bench, latencies=latencies)


def _refusal(artifact: Artifact, parity: ArtifactParity | None, inconclusive: bool) -> str | None:
    """Return the reason not to recommend an artifact; None if it may be recommended."""
    if parity is None:
        return "not compared with the reference; run `resnet-edge parity` on it"
    if parity.sha256 != artifact.sidecar.sha256:
        return (
            f"the file that was compared with the reference had sha256 {parity.sha256[:16]}…, this "
            f"one has {artifact.sidecar.sha256[:16]}…; run `resnet-edge parity` again"
        )
    gate = parity.answers_gate
    match gate.verdict:
        case Verdict.FAIL:
            return f"fail: {gate.reason}"
        case Verdict.NOT_CHECKED:
            return gate.reason
        case Verdict.INCONCLUSIVE if not inconclusive:
            return f"inconclusive: {gate.reason}; add test pictures, or pass --allow-inconclusive"
    return None


def _with_threads(bench: ArtifactBench, threads: tuple[int, ...] | None) -> ArtifactBench:
    if threads is None:
        return bench
    asked = tuple(latency for latency in bench.latencies if latency.threads in threads)
    return replace(bench, latencies=asked)


def _within_limits(
    bench: ArtifactBench, options: Options, record: BenchResult, inconclusive: bool
) -> tuple[ArtifactBench, str]:
    """Keep the latencies that hold the user's limits; if none does, return the reasons too.

    One that could not be decided is kept only if ``inconclusive`` admits it.
    """
    held, reasons = [], []
    for latency in bench.latencies:
        gate = judge_latency([latency], record.reference_p50_s, options.gates)
        undecided = gate.verdict is Verdict.INCONCLUSIVE and not inconclusive
        if gate.verdict is Verdict.FAIL or undecided:
            several = len({each.runtime for each in bench.latencies}) > 1
            where = f" in {latency.runtime}" if several else ""
            reasons.append(f"{gate.verdict.value}{where}: {gate.reason}")
        else:
            held.append(latency)
    return replace(bench, latencies=tuple(held)), "" if held else "; ".join(reasons)
