"""Finds labels that name a model's outputs in another order than its classes."""

from __future__ import annotations

import numpy as np

from resnet_edge.ondevice.reference_file import Reference

ENOUGH = 5
"""Least number of test pictures per class: of fewer, an order fits by chance."""


def order_warning(reference: Reference) -> str | None:
    """Return a warning where another order of the labels fits the answers far better.

    The order that fits best is the assignment of outputs to classes with the most right answers
    (the Hungarian method, ``scipy.optimize.linear_sum_assignment``). It counts if it has over half
    of the pictures right, and twice as many as the labels have.
    """
    from scipy.optimize import linear_sum_assignment  # late: most steps do without SciPy

    labels, classes = reference.info.labels, reference.classes
    if len(classes) < ENOUGH * len(labels):
        return None
    counts = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(counts, (reference.probabilities.argmax(axis=1), classes), 1)
    outputs, names = linear_sum_assignment(counts, maximize=True)
    right, fitting = int(counts.trace()), int(counts[outputs, names].sum())
    if fitting <= len(classes) / 2 or fitting < 2 * right:
        return None
    shown = ", ".join(labels[name] for name in names[:20]) + (", …" if len(names) > 20 else "")
    return (
        f"the labels name {right} of {len(classes)} answers right; in another order it would be "
        f"{fitting}: {shown}; if that is the order of the model's outputs, write it to a file, one "
        "name a line, and pass it with --labels to `resnet-edge export`, then run this again"
    )
