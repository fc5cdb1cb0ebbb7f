"""What makes a browser's figures doubtful, in sentences: its threads, and its GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resnet_edge import units
from resnet_edge.ondevice.measurements import Browser, BrowserRun
from resnet_edge.recommendation.candidate import Candidate


def browser_sentences(
    recommended: Sequence[Candidate], cores: int, browser: Browser
) -> Iterator[str]:
    """Yield the warnings about what is recommended, each in the runtime to deploy.

    Args:
        recommended: Each once.
        cores: As the browser claims.
        browser: It and its runs.
    """
    for candidate in recommended:
        name, runtime = candidate.name, candidate.latency.runtime
        runs = [run for run in browser.runs if (run.artifact, run.runtime) == (name, runtime)]
        yield from _threads(runs, cores)
        if any(run.fully_accelerated is False for run in runs if _on_gpu(run)):
            yield (
                f"{name} was not fully accelerated in {runtime}: the answer came at least partly "
                "from the processor."
            )


def _on_gpu(run: BrowserRun) -> bool:
    return run.runtime.endswith("WebGPU")


def _threads(runs: Sequence[BrowserRun], cores: int) -> Iterator[str]:
    """Say that a runtime had fewer threads than the browser claims cores."""
    on_cores = [run for run in runs if not _on_gpu(run)]  # on a GPU threads say nothing
    if not on_cores:
        return
    most = max(on_cores, key=lambda run: run.threads)
    asked = max(run.threads_asked for run in on_cores)
    if most.threads < cores:
        were = f"{asked} were" if asked > most.threads else "no more were"
        yield (
            f"{most.runtime} had {units.plural(most.threads, 'thread')} at most for "
            f"{most.artifact}, as read back, where the browser claims {cores} cores; {were} asked "
            "for."
        )
