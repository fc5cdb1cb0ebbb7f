"""Which artifact to take on this machine. Needs no TensorFlow, and no photos."""

from __future__ import annotations

from dataclasses import replace

from resnet_edge.artifacts import Artifact, load_artifacts
from resnet_edge.display import Display, Silent
from resnet_edge.errors import ArtifactError, InferenceError
from resnet_edge.options import Options
from resnet_edge.parity.gates import judge_latency
from resnet_edge.recommendation import Candidate, LeftOut, Recommendation, choose
from resnet_edge.records import read_record
from resnet_edge.results import ArtifactBench, ArtifactParity, BenchResult, ParityResult, Verdict
from resnet_edge.runtimes.installed import install_line, installed_runtime
from resnet_edge.steps.bench import complete_latency


def recommend(
    options: Options, display: Display | None = None, *, allow_inconclusive: bool = False
) -> Recommendation:
    """Choose among the artifacts whose gates hold, by latency here, size and closeness.

    Latencies are those of ``bench``, matched by the files' hashes; what is missing is measured and
    written where ``bench`` writes it. Nothing else is written.

    Args:
        options: Where the build is, which artifacts, thread counts, how long to measure what is
            missing, and latency gates.
        display: Where progress is shown.
        allow_inconclusive: Whether an artifact may be chosen whose accuracy gate could not be
            decided.

    Returns:
        The choice with its reasons; false, with what was left out, where nothing can be
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
    parity = {a.name: a for a in read_record(ParityResult, layout.parity, InferenceError).artifacts}
    refused = {
        artifact.name: reason
        for artifact in artifacts
        if (reason := _refusal(artifact, parity.get(artifact.name), allow_inconclusive))
    }
    proven = [artifact for artifact in artifacts if artifact.name not in refused]
    bench = complete_latency(options, artifacts, proven, display).result
    benches = {a.name: _with_threads(a, options.bench.threads) for a in bench.artifacts}
    names = {artifact.name for artifact in artifacts}
    measured = [b for b in benches.values() if b.name in names and b.latencies]
    candidates = []
    for artifact in proven:
        held, reason = _within_limits(benches[artifact.name], options, bench, allow_inconclusive)
        if reason:
            refused[artifact.name] = reason
        else:
            candidates.append(Candidate(parity[artifact.name], held))
    left_out = [LeftOut(a.name, refused[a.name]) for a in artifacts if a.name in refused]
    return choose(candidates, measured, left_out, bench.machine)


def _refusal(artifact: Artifact, parity: ArtifactParity | None, inconclusive: bool) -> str | None:
    """Why an artifact is not recommended however fast it is; None where it may be."""
    if parity is None:
        return "not compared with the reference; run `resnet-edge parity` on it"
    if parity.sha256 != artifact.sidecar.sha256:
        return (
            f"the file that was compared with the reference had sha256 {parity.sha256[:16]}…, this "
            f"one has {artifact.sidecar.sha256[:16]}…; run `resnet-edge parity` again"
        )
    gate, kind = parity.gate, artifact.sidecar.format
    match gate.verdict:
        case Verdict.FAIL:
            return f"fail: {gate.reason}"
        case Verdict.NOT_CHECKED:
            return gate.reason
        case Verdict.INCONCLUSIVE if not inconclusive:
            return f"inconclusive: {gate.reason}; add test pictures, or pass --allow-inconclusive"
    if installed_runtime(kind) is None:
        return f"no runtime for it is installed here; run `{install_line(kind)}`"
    return None


def _with_threads(bench: ArtifactBench, threads: tuple[int, ...] | None) -> ArtifactBench:
    if threads is None:
        return bench
    asked = tuple(latency for latency in bench.latencies if latency.threads in threads)
    return replace(bench, latencies=asked)


def _within_limits(
    bench: ArtifactBench, options: Options, record: BenchResult, inconclusive: bool
) -> tuple[ArtifactBench, str]:
    """Keep the latencies that hold the user's limits; without any, say why.

    One that could not be decided is kept only where ``inconclusive`` admits it.
    """
    held, reasons = [], []
    for latency in bench.latencies:
        gate = judge_latency([latency], record.reference_p50_s, options.gates)
        undecided = gate.verdict is Verdict.INCONCLUSIVE and not inconclusive
        if gate.verdict is Verdict.FAIL or undecided:
            reasons.append(f"{gate.verdict.value}: {gate.reason}")
        else:
            held.append(latency)
    return replace(bench, latencies=tuple(held)), "" if held else "; ".join(reasons)
