"""New kernels for a slimmed network, in closed form, one layer after the other.

Every kernel is fitted to what the layer before slimming gives, from what the slimmed network gives
it to read. Where a sum follows, the kernel also makes up for what the other summand has lost by
then. No labels are needed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from scipy import linalg

from converters.compression.flat_graph import (
    FlatCall,
    FlatGraph,
    Tensor,
    compute,
    has_kernel,
    in_batches,
    sums,
)
from converters.compression.patches import Patches
from converters.compression.slimming import Slimmed
from converters.rewrites.drop_inference_no_ops import gives_back
from converters.rewrites.fold_batch_norm import affine
from converters.rewrites.subsampling import is_sum

RIDGES = (0.0003, 0.003, 0.03, 0.3)
"""Parts of the mean of the Gram matrix's diagonal, as the price of a change. Pictures that nothing
is fitted to choose one, or no change at all."""

JUDGES = 5
"""Every so many-th picture chooses, and the others are fitted to. A single one does both."""

SMALLEST_FACTOR = 1e-3
"""Of the largest of a batch normalization. Channels scaled by less make up for nothing."""

Progress = Callable[[int, int], None]


def _solve(gram: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Solve with a Gram matrix; no change where that cannot be done.

    Of an ill-conditioned one nothing is said: pictures that nothing is fitted to judge the change.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", linalg.LinAlgWarning)
        try:
            found = linalg.solve(gram, cross, assume_a="pos", check_finite=False)
        except linalg.LinAlgError:
            return np.zeros_like(cross)
    return np.asarray(found)


@dataclass(frozen=True)
class _Moments:
    """Second moments of what a layer reads and of what it lacks."""

    gram: np.ndarray
    cross: np.ndarray
    lack: np.ndarray

    @classmethod
    def of(cls, vectors: Tensor, lacks: Tensor, weight: float) -> _Moments:
        """Sum over pictures and positions; each stands for ``weight`` of them."""
        read, lacks = (tf.reshape(one, (-1, one.shape[-1])) for one in (vectors, lacks))
        return cls(
            weight * tf.matmul(read, read, transpose_a=True).numpy(),
            weight * tf.matmul(read, lacks, transpose_a=True).numpy(),
            weight * tf.reduce_sum(tf.square(lacks), axis=0).numpy(),
        )

    def __add__(self, other: _Moments) -> _Moments:
        return _Moments(self.gram + other.gram, self.cross + other.cross, self.lack + other.lack)

    def without_bias(self) -> _Moments:
        """Return the moments for a layer whose bias cannot change."""
        gram, cross = self.gram.copy(), self.cross.copy()
        gram[-1, :-1] = gram[:-1, -1] = 0
        cross[-1] = 0
        return _Moments(gram, cross, self.lack)

    def error(self, change: np.ndarray) -> float:
        """Return the sum of squares that is left with a change of the kernel."""
        moved = (change * (self.gram @ change)).sum() - 2 * (change * self.cross).sum()
        return float(self.lack.sum() + moved)

    @property
    def unchanged(self) -> float:
        """The sum of squares without a change."""
        return float(self.lack.sum())

    def solve(self, ridge: float) -> np.ndarray:
        """Return the change of kernel and bias, ``(rows + 1, outputs)``."""
        size = len(self.gram) - 1
        price = ridge * max(float(np.trace(self.gram[:size, :size])) / size, 1e-12)
        gram = self.gram + np.diag(np.append(np.full(size, price), 1e-6 * self.gram[-1, -1] + 1e-9))
        return _solve(gram, self.cross)


@dataclass(frozen=True)
class _Vectors:
    """What a layer with many rows reads, and what it lacks: fewer vectors than they have values."""

    read: np.ndarray
    lacks: np.ndarray

    @classmethod
    def of(cls, vectors: Tensor, lacks: Tensor, weight: float) -> _Vectors:
        """Keep all of them; a common weight changes no fit."""
        return cls(*(tf.reshape(one, (-1, one.shape[-1])).numpy() for one in (vectors, lacks)))

    def __add__(self, other: _Vectors) -> _Vectors:
        return _Vectors(
            np.concatenate([self.read, other.read]), np.concatenate([self.lacks, other.lacks])
        )

    def without_bias(self) -> _Vectors:
        """Return the vectors for a layer whose bias cannot change."""
        read = self.read.copy()
        read[:, -1] = 0
        return _Vectors(read, self.lacks)

    def error(self, change: np.ndarray) -> float:
        """Return the sum of squares that is left with a change of the kernel."""
        return float(np.square(self.lacks - self.read @ change).sum())

    @property
    def unchanged(self) -> float:
        """The sum of squares without a change."""
        return float(np.square(self.lacks).sum())

    def solve(self, ridge: float) -> np.ndarray:
        """Return the change of kernel and bias, ``(rows + 1, outputs)``."""
        products = self.read @ self.read.T
        price = ridge * max(float(np.trace(products)) / self.read.shape[1], 1e-12)
        products[np.diag_indices_from(products)] += price
        return np.asarray(self.read.T @ _solve(products, self.lacks))


class _Network:
    """One of two networks that are computed side by side, all pictures at every step."""

    def __init__(self, graph: FlatGraph, pictures: np.ndarray, batch: int) -> None:
        self.graph = graph
        self.values: dict[int, list[Tensor]] = {
            graph.image: [tf.constant(x) for x in in_batches(pictures, batch)]
        }

    def read(self, call: FlatCall) -> list[list[Tensor]]:
        """Return what a call reads, by batch."""
        return [list(one) for one in zip(*(self.values[t] for t in call.inputs), strict=True)]

    def compute(self, call: FlatCall, last: list[int]) -> None:
        """Compute a call, and forget the tensors that nothing reads any more."""
        found = [compute(call, read) for read in self.read(call)]
        for place, tensor in enumerate(call.outputs):
            self.values[tensor] = [one[place] for one in found]
        for tensor in last:
            self.values.pop(tensor)


def refit(slimmed: Slimmed, pictures: np.ndarray, batch: int, progress: Progress) -> None:
    """Fit the kernels of a slimmed network. Its weights change.

    Args:
        slimmed: What ``slim`` made.
        pictures: float32 ``(count, height, width, 3)``, what the model expects.
        batch: Pictures that run at once.
        progress: Gets layers done and their number.
    """
    graph = slimmed.before
    before, after = _Network(graph, pictures, batch), _Network(slimmed.after, pictures, batch)
    total = len(graph.calls)
    for done, (old, new) in enumerate(slimmed.pairs, start=1):
        if has_kernel(old) and old.is_only and graph.image not in old.inputs:
            _Fit(slimmed, before, after, old, new).run(len(pictures))
        last = [t for t in dict.fromkeys(old.inputs) if graph.last_readers.get(t) is old]
        before.compute(old, last)
        after.compute(new, [new.inputs[old.inputs.index(t)] for t in last])
        progress(done, total)


class _Fit:
    """The fit of one layer."""

    def __init__(
        self, slimmed: Slimmed, before: _Network, after: _Network, old: FlatCall, new: FlatCall
    ) -> None:
        self._slimmed, self._before, self._after = slimmed, before, after
        self._old, self._new = old, new
        self._kept = slimmed.kept(old.outputs[0])
        self._norm = _norm_behind(slimmed.after, new)

    def run(self, pictures: int) -> None:
        """Give the slimmed layer the kernel that fits best."""
        layer = self._new.layer
        learned, judged = self._moments(Patches(self._new, pictures))
        if not self._has_bias:
            learned, judged = learned.without_bias(), judged.without_bias()
        changes = [(judged.error(learned.solve(ridge)), ridge) for ridge in RIDGES]
        error, ridge = min(changes)
        if not error < judged.unchanged:
            return
        change = (learned + judged).solve(ridge)
        kernel = np.asarray(layer.kernel)
        layer.kernel.assign(kernel + change[:-1].reshape(kernel.shape))
        if layer.use_bias:
            layer.bias.assign(np.asarray(layer.bias) + change[-1])
        elif self._norm is not None:
            mean = self._norm.layer.moving_mean
            mean.assign(np.asarray(mean) - change[-1])

    @property
    def _has_bias(self) -> bool:
        return bool(self._new.layer.use_bias) or self._norm is not None

    def _moments(self, patches: Patches) -> tuple[Any, Any]:
        """Return the moments of the pictures to learn from, and of those that judge."""
        kind = _Vectors if patches.are_long else _Moments
        found: list[Any] = [None, None]
        kept = np.flatnonzero(self._kept)
        added = self._lack_of_other_summands()
        olds, news = self._before.read(self._old), self._after.read(self._new)
        first = 0
        for number, ((old,), (new,)) in enumerate(zip(olds, news, strict=True)):
            lack = tf.gather(sums(self._old, old), kept, axis=-1) - sums(self._new, new)
            if added is not None:
                lack += added(number)
            weight, (vectors, lacks) = patches.sample(new, lack)
            judges = np.arange(first, first + len(vectors)) % JUDGES == 0
            first += len(vectors)
            for side, chosen in enumerate((~judges, judges)):
                if chosen.any():
                    part = kind.of(vectors[chosen], lacks[chosen], weight)
                    found[side] = part if found[side] is None else found[side] + part
        learned, judged = found
        return (judged if learned is None else learned), judged

    def _lack_of_other_summands(self) -> Callable[[int], Tensor] | None:
        """Return what the other summands of a sum behind the layer lack, as the layer's sums."""
        found = _sum_behind(self._slimmed.before, self._old)
        if found is None:
            return None
        summand, total = found
        others = [t for t in total.inputs if t != summand]
        twin = self._slimmed.twin(total)
        pairs = [(t, twin.inputs[total.inputs.index(t)]) for t in others]
        if any(t not in self._before.values for t, _ in pairs):
            return None  # computed later: it makes up for this one
        factor = np.ones(1)
        if self._norm is not None:
            factor, _ = affine(self._norm.layer)
            smallest = SMALLEST_FACTOR * np.abs(factor).max()
            factor = np.where(np.abs(factor) > smallest, factor, np.inf)
        kept = np.flatnonzero(self._kept)

        def lack(number: int) -> Tensor:
            differences = [
                tf.gather(tf.cast(self._before.values[old][number], tf.float32), kept, axis=-1)
                - tf.cast(self._after.values[new][number], tf.float32)
                for old, new in pairs
            ]
            return tf.add_n(differences) / tf.constant(factor, tf.float32)

        return lack


def _norm_behind(graph: FlatGraph, call: FlatCall) -> FlatCall | None:
    """Return the batch normalization that alone reads the sums of a layer."""
    if call.layer.activation is not keras.activations.linear:
        return None
    norm = _only_reader(graph, call.outputs[0])
    if norm is None or not isinstance(norm.layer, layers.BatchNormalization):
        return None
    is_known = norm.is_only and not norm.call.training
    rank = len(graph.shapes[call.outputs[0]])
    return norm if is_known and norm.layer.axis in (-1, rank) else None


def _sum_behind(graph: FlatGraph, call: FlatCall) -> tuple[int, FlatCall] | None:
    """Return the sum that a layer's output goes into, and the summand that it is."""
    if call.layer.activation is not keras.activations.linear:
        return None
    tensor = call.outputs[0]
    reader = _only_reader(graph, tensor)
    while reader is not None and (
        gives_back(reader.call)
        or (tensor == call.outputs[0] and reader is _norm_behind(graph, call))
    ):
        tensor = reader.outputs[0]
        reader = _only_reader(graph, tensor)
    if reader is None or not is_sum(reader.call) or reader.inputs.count(tensor) > 1:
        return None
    return tensor, reader


def _only_reader(graph: FlatGraph, tensor: int) -> FlatCall | None:
    readers = graph.readers.get(tensor, ())
    return readers[0] if len(readers) == 1 and tensor not in graph.outputs else None
