"""What a page is asked to do: the artifacts, the pictures, and the jobs that a browser can do."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet_edge.devices.browser.backends import Backend, backends_for
from resnet_edge.devices.browser.messages import Facts
from resnet_edge.ondevice.files import digest
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.measurements import Unmeasured
from resnet_edge.ondevice.parity.compare import EvaluationSet
from resnet_edge.ondevice.parity.evaluation import evaluation_set
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.reference_file import Reference
from resnet_edge.ondevice.runtimes.base import Scaling


@dataclass(frozen=True)
class Job:
    """One artifact in one runtime with one number of threads."""

    artifact: str
    backend: Backend
    threads: int
    """The number to ask for."""

    @property
    def id(self) -> str:
        """The name that page and host use."""
        return f"{self.artifact}/{self.backend.name}/{self.threads}"

    @property
    def where(self) -> str:
        """The artifact with the runtime: ``int8.onnx in ORT Web wasm``."""
        return f"{self.artifact} in {self.backend.title}"

    def gone(self, reason: str) -> Unmeasured:
        """Return the record of a job that was not done; its reason names threads, if several."""
        words = f"with {self.threads} threads: {reason}" if self.threads > 1 else reason
        return Unmeasured(self.artifact, words, self.backend.title)

    @property
    def question(self) -> tuple[str, str]:
        """Artifact and runtime: what answers belong to, whatever the threads."""
        return self.artifact, self.backend.title


@dataclass(frozen=True)
class Plan:
    """Everything that does not depend on the browser."""

    artifacts: tuple[Artifact, ...]
    """All of the same input size and labels."""
    scalings: Mapping[str, Scaling]
    """How integer answers become probabilities, by artifact; floats need none."""
    reference: Reference
    """The part that is of the sample."""
    pixels: npt.NDArray[np.uint8]
    """The sample, ``(n, height, width, 3)``."""
    model_sha256: str
    reference_sha256: str
    """The hash of the build's whole reference."""
    gates: Gates
    spec: LatencySpec
    threads: tuple[int, ...] | None
    """None measures 1 thread and as many as the browser claims cores."""
    made_by: str

    @functools.cached_property
    def id(self) -> str:
        """The hash of what is measured: results of another plan are not of this build."""
        files = [(a.name, a.sidecar.sha256) for a in self.artifacts]
        return digest(files, self.reference.info.hashes, self.reference_sha256)

    @functools.cached_property
    def evaluation(self) -> EvaluationSet:
        """The reference's answers to the sample, which stay on this machine."""
        return evaluation_set(self.reference)

    def artifact(self, name: str) -> Artifact:
        """Return one of the artifacts."""
        return next(artifact for artifact in self.artifacts if artifact.name == name)

    def jobs(self, facts: Facts) -> tuple[Job, ...]:
        """Return what a browser can do.

        The processor comes before the GPU, whose drivers end tabs more often; then the smallest
        file first. Most threads come before one, because the first to run answers the pictures.
        """
        able = (job for job, reason in self._all(facts) if not reason)
        return tuple(sorted(able, key=lambda job: job.backend.webgpu))  # stable

    def left_out(self, facts: Facts) -> tuple[Unmeasured, ...]:
        """Return what a browser cannot do, with the reasons."""
        return tuple(job.gone(reason) for job, reason in self._all(facts) if reason)

    def _all(self, facts: Facts) -> Iterator[tuple[Job, str]]:
        for artifact in sorted(self.artifacts, key=lambda each: each.sidecar.bytes):
            for backend in backends_for(artifact.sidecar.format):
                refusal = backend.refusal(facts)
                if refusal:
                    yield Job(artifact.name, backend, 1), refusal
                    continue
                for threads in self._threads(backend, facts):
                    reason = backend.threads_refusal(facts) if threads > 1 else ""
                    yield Job(artifact.name, backend, threads), reason

    def _threads(self, backend: Backend, facts: Facts) -> tuple[int, ...]:
        if backend.webgpu:
            return (1,)
        asked = self.threads or (1, facts.cores)
        return tuple(sorted(set(asked), reverse=True))
