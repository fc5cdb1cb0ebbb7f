"""The files of a build. What one step hands to another is one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The files of the build folder ``out``."""

    out: Path

    @property
    def model(self) -> Path:
        """The fine-tuned model."""
        return self.out / "model.keras"

    @property
    def training(self) -> Path:
        """Settings and curves of the training."""
        return self.out / "training.json"

    @property
    def dataset(self) -> Path:
        """The side of each picture: training, validation or test."""
        return self.out / "dataset.json"

    @property
    def calibration(self) -> Path:
        """The names of the calibration pictures."""
        return self.out / "calibration.json"

    @property
    def artifacts(self) -> Path:
        """The exported files with their sidecars."""
        return self.out / "artifacts"

    @property
    def reference(self) -> Path:
        """The full-precision answers."""
        return self.out / "reference.npz"

    def reference_under(self, corruption: str) -> Path:
        """The full-precision answers to pictures under a corruption."""
        return self.out / f"reference-{corruption}.npz"

    @property
    def reference_pack(self) -> Path:
        """One file that makes the full-precision answers on another machine."""
        return self.out / "resnet-edge-reference.pyz"

    @property
    def results(self) -> Path:
        """The folder of all measurements."""
        return self.out / "results"

    @property
    def parity(self) -> Path:
        """Accuracy of every artifact against the reference."""
        return self.results / "parity.json"

    @property
    def corruptions(self) -> Path:
        """Accuracy of every artifact against the reference on corrupted test pictures."""
        return self.results / "corruptions.json"

    @property
    def quantization(self) -> Path:
        """Noise of each layer of the integer artifacts, and the attempts to lower it."""
        return self.results / "quantization.json"

    @property
    def failures(self) -> Path:
        """The artifacts that could not be made; there only if there are some."""
        return self.results / "export-failures.json"

    @property
    def bundle(self) -> Path:
        """One file for a device: artifacts, runner and test pictures."""
        return self.out / "resnet-edge-device.pyz"

    @property
    def compressed(self) -> Path:
        """The networks that a search within limits has tried, a build for each."""
        return self.out / "compressed"

    @property
    def cache(self) -> Path:
        """The folder of everything that can be computed again."""
        return self.out / "cache"
