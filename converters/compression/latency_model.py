"""A small model of latency: what a network of any widths and any input size would take.

The time is a sum over calls: so much per multiply-add, by the kind of kernel, per value written and
per call. The coefficients are fitted to networks that were measured, and are never negative. Where
few were measured, what those leave open is as on a typical processor.
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
from converters.compression.widths import Cost, channels_of
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


TYPICAL = np.array([1.0, 1.5, 6.0, 2.0, 20.0, 20_000.0])
"""What a unit of each kind of work takes, in units of the first: on x86 and Arm processors within a
factor of three or so. Only the ratios count."""

PULL = 0.03
"""How much a coefficient that differs from the typical one counts, against a relative error of a
measured network. Latencies of one file differ by about as much from one process to the next."""


@dataclass(frozen=True)
class LatencyModel:
    """Seconds by the amount of work."""

    seconds: np.ndarray
    """float64 ``(len(Work),)``: seconds of one unit of each."""
    worst: float
    """Largest relative error on the networks that it was fitted to, each left out of the fit; NaN
    with one network."""

    def predict(self, work: np.ndarray) -> float:
        """Return the seconds of one inference of a network that does this work."""
        return float(work @ self.seconds)

    def cost(self, graph: FlatGraph) -> Cost:
        """Return the seconds of single calls at other widths."""

        def cost(call: FlatCall, read: int, written: int) -> float:
            return float(_work_of_call(graph, call, read, written) @ self.seconds)

        return cost

    def scaled(self, factor: float) -> LatencyModel:
        """Return the model of a machine on which everything takes so many times as long."""
        return LatencyModel(self.seconds * factor, self.worst)


def fit_latency(work: np.ndarray, measured_s: Sequence[float]) -> LatencyModel:
    """Fit the model to measured networks, by the least squares of relative errors.

    Args:
        work: See ``work_of``, float64 ``(networks, len(Work))``. One network gives a model of a
            typical processor, the more of other widths and sizes the better.
        measured_s: The latency of each, in seconds, above 0.

    Raises:
        ValueError: There is none, or a latency is not above 0.
    """
    if not len(work) or len(work) != len(measured_s):
        raise ValueError(f"{len(work)} networks with {len(measured_s)} latencies")
    if not all(math.isfinite(one) and one > 0 for one in measured_s):
        raise ValueError(f"latencies of {list(measured_s)} s")
    relative = work / np.asarray(measured_s)[:, np.newaxis]
    errors = []
    for left_out in range(len(work)):
        others = np.delete(relative, left_out, axis=0)
        if len(others):
            errors.append(abs(float(relative[left_out] @ _solve(others)) - 1))
    return LatencyModel(_solve(relative), max(errors, default=math.nan))


def work_of(graph: FlatGraph) -> np.ndarray:
    """Return how much of each kind of work an inference is, float64 ``(len(Work),)``."""
    found = np.zeros(len(Work))
    for call in graph.calls:
        found += _work_of_call(graph, call, *channels_of(graph, call))
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
    typical = TYPICAL / (relative @ TYPICAL).mean()
    rows = np.concatenate([relative * typical, PULL * np.eye(len(typical))])
    wanted = np.concatenate([np.ones(len(relative)), np.full(len(typical), PULL)])
    found, _ = optimize.nnls(rows, wanted)
    return np.asarray(found * typical)
