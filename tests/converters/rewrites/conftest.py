"""Checks that hold for all rewrites: the same answers, and the old model as it was."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from converters.rewrites.keras_graph import Rewritten

Rewrite = Callable[[keras.Model], Rewritten]
Check = Callable[[Rewrite, keras.Model, int], keras.Model]


@pytest.fixture(scope="session")
def check(
    randomize: Callable[..., keras.Model],
    answers: Callable[[keras.Model, np.ndarray], np.ndarray],
) -> Check:
    """Randomize, rewrite, and compare answers to 1e-5 of their range."""

    def run(rewrite: Rewrite, model: keras.Model, count: int) -> keras.Model:
        randomize(model)
        shape = [24 if side is None else side for side in model.inputs[0].shape[1:]]
        pictures = np.random.default_rng(1).uniform(-120, 120, (2, *shape))
        before = answers(model, pictures)
        weights = model.get_weights()
        rewritten = rewrite(model)
        assert rewritten.count == count
        assert (rewritten.model is model) == (count == 0)
        after = answers(rewritten.model, pictures)
        assert after.shape == before.shape
        assert np.ptp(before) > 0
        assert np.abs(after - before).max() <= 1e-5 * np.ptp(before)
        np.testing.assert_array_equal(answers(model, pictures), before)
        for old, new in zip(weights, model.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)
        return rewritten.model

    return run
