"""What a training with labels has learned so far, in files from which it goes on.

A training takes up to half an hour, and a machine may be switched off. The folder holds the network
at its start, which takes minutes as well, and the state at the last examination.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from converters.array_file import read_arrays, write_arrays
from converters.errors import IntermediateFileError
from converters.quantization.calibrated_file import (
    load_calibrated,
    ranges_of,
    ranges_record,
    save_calibrated,
)
from converters.quantization.calibrated_network import CalibratedNetwork, Examined
from converters.quantization.scheme import Scheme
from converters.quantization.tflite_network import Parameters


@dataclass(frozen=True)
class State:
    """A training after some of its steps."""

    done: int
    """Steps."""
    best: Scheme
    first: Examined
    best_found: Examined


@dataclass(frozen=True)
class UnfinishedTraining:
    """The folder of one training.

    Its name has to tell apart trainings of other networks, pictures and settings.
    """

    folder: Path

    def keep_start(self, float32: bytes, start: CalibratedNetwork) -> None:
        """Write down the network before the first step."""
        save_calibrated(self._start, float32, start)

    def start(self) -> CalibratedNetwork | None:
        """Return the network before the first step; None where there is none.

        Raises:
            IntermediateFileError: The file is damaged.
        """
        return load_calibrated(self._start)[1] if self._start.exists() else None

    def keep(self, state: State, learned: tuple[np.ndarray, ...]) -> None:
        """Write a state and the student's own down, in place of the ones before."""
        arrays = {f"learned_{number}": array for number, array in enumerate(learned)}
        for index, parameters in state.best.parameters.items():
            arrays[f"kernel_{index}"] = parameters.kernel
            arrays[f"bias_{index}"] = parameters.bias
        record = {
            "done": state.done,
            "variables": len(learned),
            "ranges": ranges_record(state.best.ranges),
            "first": asdict(state.first),
            "best_found": asdict(state.best_found),
        }
        write_arrays(self._state, arrays, record)

    def state(self, start: Scheme) -> tuple[State, tuple[np.ndarray, ...]] | None:
        """Return the last state and the student's own; None where there is none.

        Args:
            start: The scheme that the training began with.

        Raises:
            IntermediateFileError: The file is damaged.
        """
        if not self._state.exists():
            return None
        try:
            return self._read(start)
        except Exception as problem:  # a damaged file leads zipfile and NumPy to any
            raise IntermediateFileError(
                f"{self._state}: cannot be read as an unfinished training ({problem}); remove "
                f"{self.folder} and export again"
            ) from problem

    def remove(self) -> None:
        """Remove the folder, where there is one."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _start(self) -> Path:
        return self.folder / "start.npz"

    @property
    def _state(self) -> Path:
        return self.folder / "state.npz"

    def _read(self, start: Scheme) -> tuple[State, tuple[np.ndarray, ...]]:
        arrays, record = read_arrays(self._state)
        parameters = {
            index: Parameters(arrays[f"kernel_{index}"], arrays[f"bias_{index}"])
            for index in start.parameters
        }
        learned = tuple(arrays[f"learned_{number}"] for number in range(record["variables"]))
        first, best_found = (Examined(**record[name]) for name in ("first", "best_found"))
        best = replace(start, parameters=parameters, ranges=ranges_of(record["ranges"]))
        return State(record["done"], best, first, best_found), learned
