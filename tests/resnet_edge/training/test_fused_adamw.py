"""The update by one kernel gives what Keras' own AdamW gives."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from resnet_edge.training.fused_adamw import FusedAdamW

EXCLUDED = ["bias", "gamma", "beta"]


def fit(optimizer: keras.optimizers.Optimizer) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Weights, and the optimizer's variables, after 40 steps of the same small network."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, "tanh"),
            layers.BatchNormalization(),
            layers.Dense(3, "softmax"),
        ]
    )
    optimizer.exclude_from_weight_decay(var_names=EXCLUDED)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, "categorical_crossentropy", jit_compile=False)
    random = np.random.default_rng(0)
    samples = random.normal(size=(64, 6)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[random.integers(3, size=64)]
    model.fit(samples, targets, batch_size=16, epochs=10, shuffle=False, verbose=0)
    state = [keras.ops.convert_to_numpy(variable) for variable in optimizer.variables]
    return model.get_weights(), state


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_follows_keras(decay: float):
    schedule = keras.optimizers.schedules.CosineDecay(0.0, 40, warmup_target=0.02, warmup_steps=5)
    ours = fit(FusedAdamW(schedule, decay))
    theirs = fit(keras.optimizers.AdamW(schedule, weight_decay=decay))
    for mine, other in zip(ours, theirs, strict=True):
        for one, two in zip(mine, other, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_the_decay_reaches_kernels_alone():
    schedule = keras.optimizers.schedules.CosineDecay(0.02, 40)
    plain, _ = fit(FusedAdamW(schedule, 0.0))
    decayed, _ = fit(FusedAdamW(schedule, 10.0))
    kernels = [(one, two) for one, two in zip(plain, decayed, strict=True) if one.ndim == 2]
    assert all(np.abs(two).sum() < 0.5 * np.abs(one).sum() for one, two in kernels)
    gamma, excluded = plain[2], decayed[2]
    assert np.abs(excluded).sum() > 0.5 * np.abs(gamma).sum()
