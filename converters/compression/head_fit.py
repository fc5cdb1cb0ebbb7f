"""The last dense layer of a network, trained anew on labelled pictures. The rest stays as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from keras import layers
from scipy import optimize

from converters.compression.flat_graph import FlatCall, FlatGraph, Tensor, in_batches
from converters.learning.labelled_pictures import LabelledPictures, cross_entropy_and_top1
from converters.learning.memory_maps import forget_pages
from converters.preprocessing import Preprocessing

PRICES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Prices of a change of the weights, in nats, where features have the spread that they have.
Validation pictures choose one, or no change at all."""

STEPS = 200


@dataclass(frozen=True)
class Features:
    """What the last dense layer reads of labelled pictures."""

    values: np.ndarray
    """float64 ``(count, features)``."""
    labels: np.ndarray


def last_dense(graph: FlatGraph) -> FlatCall | None:
    """Return the dense layer that gives the answers; None where another layer does."""
    (answers,) = graph.outputs
    call = graph.writers[answers]
    while not isinstance(call.layer, layers.Dense):
        one_to_one = isinstance(call.layer, (layers.Activation, layers.Softmax, layers.Identity))
        if not one_to_one or len(call.inputs) != 1 or call.inputs[0] not in graph.writers:
            return None
        call = graph.writers[call.inputs[0]]
    return call if call.is_only and call.layer.use_bias else None


def fit_head(
    graph: FlatGraph,
    preprocessing: Preprocessing,
    train: LabelledPictures,
    validation: LabelledPictures,
    batch: int,
) -> bool:
    """Fit the last dense layer by the cross-entropy, near to what it was.

    Args:
        graph: A network with a softmax over the answers of a dense layer. That layer changes.
        preprocessing: What the network expects.
        train: Pictures of the network's size.
        validation: Others, which choose how far the layer may move.
        batch: Pictures at a time.

    Returns:
        True if the layer was changed: the validation pictures' cross-entropy is lower with it.
    """
    call = last_dense(graph)
    if call is None:
        return False
    known = _features(graph, call, preprocessing, train, batch)
    judging = _features(graph, call, preprocessing, validation, batch)
    kernel, bias = (np.asarray(one, np.float64) for one in call.layer.get_weights())
    before = np.concatenate([kernel, bias[np.newaxis]])
    middle, spread = known.values.mean(axis=0), known.values.std(axis=0).mean() + 1e-12
    best, least = before, _nats(judging, before)
    for price in PRICES:
        found = _fit(known, before, price, middle, spread)
        if (nats := _nats(judging, found)) < least:
            best, least = found, nats
    if best is before:
        return False
    call.layer.set_weights([best[:-1].astype(np.float32), best[-1].astype(np.float32)])
    return True


def _features(
    graph: FlatGraph,
    head: FlatCall,
    preprocessing: Preprocessing,
    known: LabelledPictures,
    batch: int,
) -> Features:
    def features(pictures: Tensor) -> Tensor:
        found: list[Tensor] = []

        def keep(call: FlatCall, read: list[Tensor], _: Tensor) -> None:
            if call is head:
                found.append(read[0])

        graph.logits(preprocessing.apply(pictures), keep)
        return found[0]

    compiled = tf.function(features, autograph=False, reduce_retracing=True)
    batches = in_batches(known.pictures, batch)
    values = [compiled(tf.constant(x)).numpy().astype(np.float64) for x in batches]
    forget_pages(known.pictures)
    return Features(np.concatenate(values), known.labels)


def _nats(known: Features, weights: np.ndarray) -> float:
    return cross_entropy_and_top1(known.values @ weights[:-1] + weights[-1], known.labels)[0]


def _fit(
    known: Features, before: np.ndarray, price: float, middle: np.ndarray, spread: float
) -> np.ndarray:
    """Return kernel and bias, one below the other, with the least cross-entropy plus the price.

    The change is of features that are centred and of unit spread, so that one price does for all
    networks.
    """
    count, classes = len(known.labels), before.shape[1]
    scaled = (known.values - middle) / spread
    scaled = np.concatenate([scaled, np.ones((count, 1))], axis=1)
    answers = known.values @ before[:-1] + before[-1]
    rows = np.arange(count)

    def loss(change: np.ndarray) -> tuple[float, np.ndarray]:
        moved = change.reshape(-1, classes)
        logits = answers + scaled @ moved
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits)
        sums = shares.sum(axis=1, keepdims=True)
        nats = float((np.log(sums[:, 0]) - logits[rows, known.labels]).mean())
        slopes = shares / sums
        slopes[rows, known.labels] -= 1
        slope = scaled.T @ slopes / count + price * moved
        return nats + price / 2 * float(np.square(moved).sum()), slope.ravel()

    start = np.zeros(scaled.shape[1] * classes)
    moved = optimize.minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}
    ).x.reshape(-1, classes)
    kernel = moved[:-1] / spread
    return np.concatenate([before[:-1] + kernel, [before[-1] + moved[-1] - middle @ kernel]])
