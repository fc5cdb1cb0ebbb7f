"""The reference's logits, which are derived from its probabilities and twice as large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet_edge.ondevice.parity.metrics import Floats, centred_logits
from resnet_edge.ondevice.row_blocks import Places


@dataclass(frozen=True)
class DerivedLogits:
    """Centred logits, float64 ``(n, classes)``, computed for the rows that are asked for."""

    probabilities: Floats
    """``(n, classes)``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As the probabilities'."""
        return self.probabilities.shape

    def __getitem__(self, rows: Places, /) -> npt.NDArray[np.float64]:
        """Return the logits of some pictures; ``rows`` indexes the first axis."""
        return centred_logits(self.probabilities[rows])

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[np.float64]:
        """Return all of them; NumPy calls it."""
        return self[slice(None)].astype(dtype or np.float64, copy=False)
