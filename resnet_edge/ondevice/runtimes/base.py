"""The interface of all runtimes; it checks shapes and dtypes and decodes integer outputs."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnet_edge.errors import InferenceError, ResnetEdgeError, first_line
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.measurements import Provider
from resnet_edge.ondevice.runtimes.kinds import RuntimeKind
from resnet_edge.ondevice.versions import installed_version

REFUSED_ADVICE = "; it is damaged or needs a newer runtime; export it again or update the runtime"
"""The end of the message about a file that a runtime does not load."""


@dataclass(frozen=True)
class Loading:
    """A file to load, and the way to load it."""

    artifact: Artifact
    kind: RuntimeKind
    """The runtime's row."""
    module: Any
    """``kind.module``, imported."""
    threads: int
    """Threads of one inference, at least 1."""
    profile_folder: Path | None = None
    """The folder that the runtime's profiler writes to; None leaves it off."""


@dataclass(frozen=True)
class Scaling:
    """Turns integer answers into probabilities: ``(value - zero_point) * scale``."""

    scale: float
    zero_point: int

    def probabilities(self, answers: np.ndarray) -> np.ndarray:
        """Return integer answers of any shape as float32."""
        return (answers.astype(np.float32) - self.zero_point) * np.float32(self.scale)


class Runtime(abc.ABC):
    """One artifact, loaded and ready.

    A subclass loads the file when it is made, and implements ``_run`` for one prepared input.
    """

    provider = Provider("", "")
    """The delegate or execution provider that was asked for, and the one that the runtime names."""

    def __init__(self, loading: Loading) -> None:
        self.artifact, kind = loading.artifact, loading.kind
        self.name = kind.name
        self.version = installed_version(kind.package, *kind.variants) or str(
            getattr(loading.module, "__version__", "")
        )
        self._input_dtype = np.dtype(self.artifact.sidecar.input_dtype)
        self._scaling: Scaling | None = None

    @property
    def title(self) -> str:
        """Name and version, for instance ``LiteRT 2.3.0``."""
        return f"{self.name} {self.version}"

    def infer(self, pictures: np.ndarray) -> np.ndarray:
        """Classify pictures, one at a time, as a device does.

        Args:
            pictures: Raw RGB, uint8 ``(n, height, width, 3)`` of the artifact's input size.

        Returns:
            Probabilities, float32 ``(n, classes)``; NaN stays NaN.

        Raises:
            InferenceError: Pictures or answers have another shape than the sidecar says.
        """
        classes = len(self.artifact.sidecar.labels)
        answers = np.empty((len(pictures), classes), np.float32)
        for i, picture in enumerate(pictures):
            answer = self._ask(self._as_input(picture))
            if answer.shape != (1, classes):
                raise InferenceError(
                    f"{self.artifact.name}: answered with shape {answer.shape}; expected "
                    f"{(1, classes)}; the file does not fit its sidecar; export it again"
                )
            answers[i] = self._as_probabilities(answer[0])
        return answers

    def prepare(self, picture: np.ndarray) -> Callable[[], object]:
        """Return a call that runs one inference on ``picture`` and nothing else.

        Args:
            picture: Raw RGB, uint8 ``(height, width, 3)``.
        """
        ready = self._as_input(picture)
        return lambda: self._ask(ready)

    def _ask(self, batch: np.ndarray) -> np.ndarray:
        """Run one inference; every error of the runtime becomes one of ours."""
        try:
            return self._run(batch)
        except ResnetEdgeError:
            raise
        except Exception as problem:  # runtimes' exceptions share no public base class
            raise InferenceError(
                f"{self.artifact.path}: {self.title} cannot run the file: {first_line(problem)}; "
                "it is damaged or needs a newer runtime; export it again or update the runtime"
            ) from problem

    def _as_input(self, picture: np.ndarray) -> np.ndarray:
        expected = (*self.artifact.sidecar.image_size, 3)
        if picture.shape != expected or picture.dtype != np.uint8:
            raise InferenceError(
                f"{self.artifact.name}: got a picture of {picture.dtype} {picture.shape}; "
                f"expected uint8 {expected}"
            )
        return np.ascontiguousarray(picture[np.newaxis].astype(self._input_dtype))

    def _as_probabilities(self, answer: np.ndarray) -> np.ndarray:
        if self._scaling is None:
            return answer
        return self._scaling.probabilities(answer)

    def refusal(self, reason: object) -> InferenceError:
        """Return the error for a file that the runtime does not load."""
        return InferenceError(
            f"{self.artifact.path}: {self.title} refuses the file: {reason}{REFUSED_ADVICE}"
        )

    def end_profiling(self) -> Path:
        """Stop the profiler and return the file that it wrote.

        Raises:
            InferenceError: The runtime has none.
        """
        raise InferenceError(f"{self.title} has no profiler; measure without --profile")

    @abc.abstractmethod
    def _run(self, batch: np.ndarray) -> np.ndarray:
        """Answer one input ``(1, height, width, 3)`` with ``(1, classes)``, in the file's types."""
