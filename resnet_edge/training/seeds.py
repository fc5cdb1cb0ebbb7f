"""Seeds that depend on what is drawn and when, never on what was drawn before.

So a run that continues after an interruption draws what it would have drawn without one.
"""

from __future__ import annotations

import keras
import numpy as np


def derived_seed(seed: int, purpose: str, number: int) -> int:
    """Return a seed in [0, 2**31) for a purpose (as ``scratch``) and a number (an epoch)."""
    entropy = [seed, *purpose.encode(), number]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0]) >> 1


def reseed_layers(model: keras.Model, seed: int) -> None:
    """Set the random state of every layer that has one, for instance of dropout."""
    for number, layer in enumerate(model._flatten_layers()):
        if (generator := getattr(layer, "seed_generator", None)) is not None:
            generator.state.assign(np.array([seed, number], np.uint32))
