"""All rewrites, in the order in which they help one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import keras

from converters.multiply_adds import count_multiply_adds
from converters.preprocessing import Preprocessing
from converters.rewrites import (
    drop_inference_no_ops,
    fold_batch_norm,
    fold_preprocessing,
    hoist_strides,
    merge_padding,
)
from converters.rewrites.keras_graph import Rewritten

Rewrite = Callable[[keras.Model], Rewritten]

REWRITES: tuple[tuple[str, Rewrite], ...] = (
    (drop_inference_no_ops.NAME, drop_inference_no_ops.drop_inference_no_ops),
    (fold_batch_norm.NAME, fold_batch_norm.fold_batch_norm),
    (merge_padding.NAME, merge_padding.merge_padding),
    (hoist_strides.NAME, hoist_strides.hoist_strides),
)
"""A dropout may stand before a batch normalization, and a padding that is merged needs no other."""

NECESSARY = tuple(pair for pair in REWRITES if pair[0] == fold_batch_norm.NAME)
"""What all formats need to have the same convolutions, and so one quantization."""


@dataclass(frozen=True)
class Optimized:
    """A model after the rewrites, with what they saved."""

    model: keras.Model
    applied: tuple[str, ...]
    """Names of the rewrites that found something to do."""
    multiply_adds_before: int
    multiply_adds: int
    """Of one inference, batch 1."""


def fold_into(
    optimized: Optimized, preprocessing: Preprocessing
) -> tuple[Optimized, Preprocessing]:
    """Fold the preprocessing into a model whose other rewrites are done.

    Args:
        optimized: The model, which expects ``preprocessing``.
        preprocessing: Kept where it cannot be folded.

    Returns:
        A model and the preprocessing that it expects: together the same function.
    """
    rewritten, rest = fold_preprocessing.fold_preprocessing(optimized.model, preprocessing)
    if not rewritten.count:
        return optimized, preprocessing
    applied = (*optimized.applied, fold_preprocessing.NAME)
    return replace(optimized, model=rewritten.model, applied=applied), rest


def optimize(model: keras.Model, rewrites: tuple[tuple[str, Rewrite], ...] = REWRITES) -> Optimized:
    """Apply exact rewrites one after the other.

    Args:
        model: A functional or Sequential model of a fixed input size. It is not changed.
        rewrites: Names and functions, in order.

    Returns:
        A model with the same function in inference; ``model`` itself where nothing applied.
    """
    before = count_multiply_adds(model)
    applied = []
    for name, rewrite in rewrites:
        rewritten = rewrite(model)
        model = rewritten.model
        if rewritten.count:
            applied.append(name)
    return Optimized(model, tuple(applied), before, count_multiply_adds(model))
