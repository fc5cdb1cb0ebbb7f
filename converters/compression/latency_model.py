"""A small model of latency: what a network of any widths and any input size would take.

The time is a sum over calls: so much per multiply-add, by the kind of kernel, per value written and
per call. The coefficients are fitted to networks that were measured, and are never negative. Random
weights take as long as trained ones, so any slimmed network can be measured.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from keras import layers
from scipy import optimize

from converters.compression.flat_graph import FlatCall, FlatGraph, has_kernel
from converters.compression.widths import Cost
from converters.multiply_adds import kernels_of


class Work(enum.IntEnum):
    """What a call does, and what of it takes time."""

    SPATIAL = 0
    """Multiply-adds of convolutions with neighbours."""
    POINTWISE = 1
    """Multiply-adds of 1x1 convolutions."""
    DEPTHWISE = 2
    """Multiply-adds of depthwise and grouped convolutions."""
    DENSE = 3
    WRITTEN = 4
    """Values that layers with a kernel write."""
    CALLS = 5


@dataclass(frozen=True)
class LatencyModel:
    """Seconds by the amount of work."""

    seconds: np.ndarray
    """float64 ``(len(Work),)``: seconds of one unit of each."""
    worst: float
    """Largest relative error on the networks that it was fitted to, each left out of the fit."""

    def predict(self, graph: FlatGraph) -> float:
        """Return the seconds of one inference."""
        return float(work_of(graph) @ self.seconds)

    def cost(self, graph: FlatGraph) -> Cost:
        """Return the seconds of single calls at other widths."""

        def cost(call: FlatCall, read: int, written: int) -> float:
            return float(_work_of_call(graph, call, read, written) @ self.seconds)

        return cost

    def scaled(self, graph: FlatGraph, measured_s: float) -> LatencyModel:
        """Return the model of a machine on which one network takes so long.

        Args:
            graph: That network.
            measured_s: Its latency there, in seconds.
        """
        return LatencyModel(self.seconds * (measured_s / self.predict(graph)), self.worst)


def fit_latency(networks: Sequence[FlatGraph], measured_s: Sequence[float]) -> LatencyModel:
    """Fit the model to measured networks, by the least squares of relative errors.

    Args:
        networks: At least two, which differ in widths or sizes.
        measured_s: The latency of each, in seconds, above 0.

    Raises:
        ValueError: There are fewer than two, or a latency is not above 0.
    """
    if len(networks) < 2 or len(networks) != len(measured_s):
        raise ValueError(f"{len(networks)} networks with {len(measured_s)} latencies")
    if not all(math.isfinite(one) and one > 0 for one in measured_s):
        raise ValueError(f"latencies of {list(measured_s)} s")
    work = np.stack([work_of(graph) for graph in networks])
    relative = work / np.asarray(measured_s)[:, np.newaxis]
    errors = []
    for left_out in range(len(networks)):
        others = np.delete(relative, left_out, axis=0)
        errors.append(abs(float(relative[left_out] @ _solve(others)) - 1))
    return LatencyModel(_solve(relative), max(errors))


def work_of(graph: FlatGraph) -> np.ndarray:
    """Return how much of each kind of work an inference is, float64 ``(len(Work),)``."""
    found = np.zeros(len(Work))
    for call in graph.calls:
        read, written = (graph.shapes[t][-1] for t in (call.inputs[0], call.outputs[0]))
        found += _work_of_call(graph, call, read, written)
    return found


def _work_of_call(graph: FlatGraph, call: FlatCall, read: int, written: int) -> np.ndarray:
    found = np.zeros(len(Work))
    kernels = kernels_of(call.layer)
    if not kernels:
        return found
    positions = math.prod(graph.shapes[call.outputs[0]][:-1])
    if has_kernel(call):
        taps = math.prod(call.layer.kernel.shape[:-2])
        pointwise = Work.POINTWISE if taps == 1 else Work.SPATIAL
        kind = Work.DENSE if isinstance(call.layer, layers.Dense) else pointwise
        found[kind] = positions * taps * read * written
    else:  # depthwise or grouped, which keep their widths or lose those of their one input
        each = sum(math.prod(kernel.shape) for kernel in kernels)
        found[Work.DEPTHWISE] = positions * each * read / graph.shapes[call.inputs[0]][-1]
    found[Work.WRITTEN] = positions * written
    found[Work.CALLS] = 1
    return found


def _solve(relative: np.ndarray) -> np.ndarray:
    """Return the coefficients that are nowhere negative and give ratios of 1 best."""
    sizes = np.abs(relative).max(axis=0)
    scale = np.where(sizes > 0, sizes, 1.0)
    found, _ = optimize.nnls(relative / scale, np.ones(len(relative)))
    return np.asarray(found / scale)
