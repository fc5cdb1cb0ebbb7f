"""Rounding of a kernel so that its errors cancel on real inputs (GPTQ).

The inputs of a layer are correlated, so the errors of the nearest integers add up in its sums. Here
weights are rounded one after the other, those of the strongest inputs first, and the weights that
follow take back the error (Frantar et al. 2022, arXiv:2210.17323; without labels or gradients). The
file is the same, with other integers.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_solve, cholesky

from converters.quantization.rounding import LEVELS, weight_scales
from converters.quantization.settings import WeightGrid
from converters.quantization.tflite_network import DEPTHWISE

DAMPING = 0.01
"""Part of the mean square of the inputs that is added to every one, as in GPTQ: few pictures say
little about directions in which they do not vary."""

BLOCK = 128
"""Weights whose errors are passed on together, which changes nothing but the time."""


def round_kernel(
    kernel: np.ndarray, kind: str, grid: WeightGrid, squares: np.ndarray
) -> np.ndarray:
    """Round a kernel to multiples of its steps, with a small error on these inputs.

    Args:
        kernel: float32, in the layout of ``converters.quantization.tflite_network.Parameters``.
        kind: The operator's kind, which is not depthwise.
        grid: The integers to round to.
        squares: Sums of the products of two inputs, ``(inputs, inputs)``, where the inputs of a
            convolution are the values under its kernel in the order (height, width, in).

    Returns:
        Multiples of the steps of ``weight_scales``, float32 of the kernel's shape. They stay its
        steps: the weights that decide the step of an output keep their nearest integers.
    """
    if kind == DEPTHWISE:
        raise ValueError("a depthwise kernel has other inputs for every channel")
    steps = np.asarray(weight_scales(kernel, kind, grid), np.float64)
    columns = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64) / steps
    orders = _orders(kernel) if grid is WeightGrid.PAIR_SAFE else ()
    fixed = _deciding(columns, orders)
    integers = _with_feedback(columns, fixed, squares.astype(np.float64))
    if orders:
        _bound_pairs(integers, fixed, orders)
    rounded: np.ndarray = (integers * steps).astype(np.float32).reshape(kernel.shape)
    return rounded


def _with_feedback(columns: np.ndarray, fixed: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Return integers for the columns of a kernel in units of their steps, float64."""
    count = len(squares)
    squares[np.diag_indices(count)] += DAMPING * max(float(np.trace(squares)) / count, 1e-12)
    order = np.argsort(-np.diag(squares), kind="stable")
    factor = cholesky(squares[np.ix_(order, order)], lower=True, check_finite=False)
    inverse = cho_solve((factor, True), np.eye(count), check_finite=False)
    spread = cholesky(inverse, lower=False, check_finite=False)  # how an error is shared out
    left, pinned = columns[order], fixed[order]
    nearest = np.rint(left)
    found = np.empty_like(left)
    for start in range(0, count, BLOCK):
        end = min(start + BLOCK, count)
        errors = np.empty_like(left[start:end])
        for row in range(start, end):
            integers = np.clip(np.rint(left[row]), -LEVELS, LEVELS)
            found[row] = np.where(pinned[row], nearest[row], integers)
            error = (left[row] - found[row]) / spread[row, row]
            left[row + 1 : end] -= np.outer(spread[row, row + 1 : end], error)
            errors[row - start] = error
        left[end:] -= spread[start:end, end:].T @ errors
    integers = np.empty_like(found)
    integers[order] = found
    return integers


def _orders(kernel: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the orders of rows in which neighbours are pairs (see ``WeightGrid.PAIR_SAFE``)."""
    rows = np.arange(kernel[..., 0].size)
    if kernel.ndim == 4 and kernel.shape[0] * kernel.shape[1] > 1:
        channels_first = rows.reshape(kernel.shape[:-1]).transpose(2, 0, 1).reshape(-1)
        return rows, channels_first
    return (rows,)


def _deciding(columns: np.ndarray, orders: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return True for the weights that decide the step of their column.

    They are its largest weight, or its largest pair, whose sum is 127 steps. So the sum of their
    nearest integers is 127 too.
    """
    outputs = np.arange(columns.shape[1])
    fixed = np.zeros(columns.shape, bool)
    largest = np.abs(columns).argmax(axis=0)
    decides = np.abs(columns[largest, outputs]) > LEVELS - 0.01
    fixed[largest[decides], outputs[decides]] = True
    for order in orders:
        if len(order) < 2:
            continue
        sums = np.abs(columns[order[:-1]] + columns[order[1:]])
        place = sums.argmax(axis=0)
        decides = sums[place, outputs] > LEVELS - 0.01
        for rows in (order[place], order[place + 1]):
            fixed[rows[decides], outputs[decides]] = True
    return fixed


def _bound_pairs(integers: np.ndarray, fixed: np.ndarray, orders: tuple[np.ndarray, ...]) -> None:
    """Make the larger weight of a pair smaller until no sum is above 127. Fixed ones stay."""
    above = True
    while above:
        above = False
        for order in orders:
            for parity in (0, 1):  # pairs that share no weight
                first, second = order[parity:-1:2], order[parity + 1 :: 2]
                one, other = integers[first], integers[second]
                excess = np.maximum(np.abs(one + other) - LEVELS, 0)
                first_is_free = ~fixed[first] & (fixed[second] | (np.abs(one) >= np.abs(other)))
                second_is_free = ~fixed[second] & ~first_is_free
                integers[first] = one - np.sign(one) * excess * first_is_free
                integers[second] = other - np.sign(other) * excess * second_is_free
                above |= bool((excess * (first_is_free | second_is_free)).any())
