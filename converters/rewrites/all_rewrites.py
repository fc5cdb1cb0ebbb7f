"""All rewrites, in an order in which one makes another possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import keras

from converters.multiply_adds import count_multiply_adds
from converters.preprocessing import Preprocessing
from converters.rewrites import (
    absorb_preprocessing,
    drop_inference_no_ops,
    fold_batch_norm,
    fold_preprocessing,
    hoist_strides,
    join_projection_shortcuts,
    merge_padding,
    recognize_gelu,
    scale_channels,
)
from converters.rewrites.keras_graph import Rewritten

Rewrite = Callable[[keras.Model], Rewritten]

REWRITES: tuple[tuple[str, Rewrite], ...] = (
    (drop_inference_no_ops.NAME, drop_inference_no_ops.drop_inference_no_ops),
    (recognize_gelu.NAME, recognize_gelu.recognize_gelu),
    (fold_batch_norm.NAME, fold_batch_norm.fold_batch_norm),
    (scale_channels.NAME, scale_channels.scale_channels),
    (merge_padding.NAME, merge_padding.merge_padding),
    (hoist_strides.NAME, hoist_strides.hoist_strides),
    (join_projection_shortcuts.NAME, join_projection_shortcuts.join_projection_shortcuts),
)
"""The order matters: a dropout may stand before a batch normalization, ``hoist_strides`` adds
paddings of its own, and takes the stride from most of the convolutions that are joined."""

NECESSARY = REWRITES[1:4]
"""GELU has an operator in every format. The rewrites of batch normalization give all formats the
same convolutions, and so one quantization."""


@dataclass(frozen=True)
class Optimized:
    """A model after the rewrites, with its multiply-adds before and after."""

    model: keras.Model
    applied: tuple[str, ...]
    """Names of the rewrites that changed the model."""
    multiply_adds_before: int
    """Multiply-adds of one inference before the rewrites, batch 1."""
    multiply_adds: int
    """The same after the rewrites."""


def fold_into(
    optimized: Optimized, preprocessing: Preprocessing
) -> tuple[Optimized, Preprocessing]:
    """Fold the preprocessing into a model that is rewritten otherwise, its own normalization too.

    Args:
        optimized: The model, which expects ``preprocessing``.
        preprocessing: Returned as it is where it cannot be folded.

    Returns:
        A model and the preprocessing that it expects. Together they are the same function.
    """
    found = []
    model, rest = optimized.model, preprocessing
    for name, rewrite in (
        (absorb_preprocessing.NAME, absorb_preprocessing.absorb_preprocessing),
        (fold_preprocessing.NAME, fold_preprocessing.fold_preprocessing),
    ):
        rewritten, rest = rewrite(model, rest)
        model = rewritten.model
        if rewritten.count:
            found.append(name)
    if not found:
        return optimized, preprocessing
    return replace(optimized, model=model, applied=(*optimized.applied, *found)), rest


def optimize(model: keras.Model, rewrites: tuple[tuple[str, Rewrite], ...] = REWRITES) -> Optimized:
    """Apply exact rewrites one after the other.

    Args:
        model: A functional or Sequential model of a fixed input size. It is not changed.
        rewrites: Names and functions, in order.

    Returns:
        A model with the same function in inference, or ``model`` itself if nothing applied.
    """
    before = count_multiply_adds(model)
    applied = []
    for name, rewrite in rewrites:
        rewritten = rewrite(model)
        model = rewritten.model
        if rewritten.count:
            applied.append(name)
    return Optimized(model, tuple(applied), before, count_multiply_adds(model))
