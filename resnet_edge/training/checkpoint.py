"""The state of a training after its last finished epoch, for a run that was interrupted."""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from resnet_edge.errors import ModelError
from resnet_edge.ondevice.array_files import read_member_array
from resnet_edge.ondevice.files import remove_parts, write_file
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.reading import read_json_member, refusing
from resnet_edge.training.training_record import Epoch

_LOG = logging.getLogger(__name__)

Arrays = list[NDArray[np.generic]]


@dataclass(frozen=True)
class TrainingProgress:
    """The progress of a training, and its curves so far."""

    key: str
    """Hash of everything that the training depends on."""
    phase: str
    first_epoch: int
    """The phase's first epoch, counted through all phases."""
    best_epoch: int
    """0 before the first epoch."""
    best_loss: float
    history: tuple[Epoch, ...]

    @property
    def epoch(self) -> int:
        """The last finished epoch, counted through all phases; 0 before the first."""
        return len(self.history)

    @property
    def done(self) -> int:
        """Finished epochs of the phase."""
        return self.epoch - self.first_epoch + 1

    @property
    def epochs_without_gain(self) -> int:
        """Epochs of the phase since the best one, or since its start."""
        return self.epoch - max(self.best_epoch, self.first_epoch - 1)


@dataclass(frozen=True)
class Checkpoint:
    """The progress of a training, with the arrays that belong to it."""

    progress: TrainingProgress
    weights: Arrays
    optimizer: Arrays
    best: Arrays


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint beside its place, then rename it: a crash leaves the old or the new one.

    The best weights are left out where the last epoch was the best.

    Raises:
        OutputError: The disk is full or the folder not writable.
    """
    progress = json.dumps(to_json(checkpoint.progress), allow_nan=False).encode()
    groups = {"weights": checkpoint.weights, "optimizer": checkpoint.optimizer}
    if checkpoint.progress.best_epoch != checkpoint.progress.epoch:
        groups["best"] = checkpoint.best

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("progress.json", progress)
            for group, arrays in groups.items():
                for number, array in enumerate(arrays):
                    with archive.open(f"{group}/{number:04}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)

    # Hundreds of megabytes an epoch: not forced to the disk, since load_checkpoint notices damage.
    write_file(path, write, durable=False)


def load_checkpoint(path: Path, key: str) -> Checkpoint | None:
    """Read the checkpoint of an interrupted run.

    Args:
        path: The file that ``save_checkpoint`` wrote.
        key: Hash of everything that this training depends on.

    Returns:
        The checkpoint, or None where there is none, it belongs to another training, or it is
        damaged, as after a power failure; the last two are logged.
    """
    if not path.exists():
        return None
    try:
        with refusing(ModelError), zipfile.ZipFile(path) as archive:
            data = read_json_member(archive, "progress.json")
            progress = from_json(TrainingProgress, data, str(path), ModelError)
            if progress.key != key:
                _LOG.warning("%s belongs to other settings or data; training starts anew", path)
                return None
            weights, best = _read(archive, "weights"), _read(archive, "best")
            optimizer = _read(archive, "optimizer")
            return Checkpoint(progress, weights, optimizer, best or weights)
    except ModelError as problem:
        _LOG.warning("%s cannot be read (%s); training starts anew", path, problem)
        return None


def delete_checkpoint(path: Path) -> None:
    """Delete a checkpoint that is needed no more, and the parts that interrupted writes left."""
    remove_parts(path)
    path.unlink(missing_ok=True)


def _read(archive: zipfile.ZipFile, group: str) -> Arrays:
    names: Sequence[str] = sorted(n for n in archive.namelist() if n.startswith(f"{group}/"))
    return [read_member_array(archive, name.removesuffix(".npy")) for name in names]
