"""How far a student's answers are from its teacher's, and from the labels."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

Tensor = Any

LEAD = 4.0
"""Weight of errors in the lead of the best class over the second. Such errors change answers."""

TEACHER = 0.5
"""Weight of the teacher's answers beside the labels."""


def answer_noise(answers: Tensor, logits: Tensor) -> Tensor:
    """Return the noise by the signal, where errors in the lead of the best class count more.

    Args:
        answers: The student's centred logits, ``(batch, classes)``.
        logits: The teacher's.
    """
    error = answers - logits
    best = tf.math.top_k(logits, 2).indices
    lead = tf.gather(error, best, batch_dims=1)
    noise = tf.reduce_sum(tf.square(error)) + LEAD * tf.reduce_sum(
        tf.square(lead[:, 0] - lead[:, 1])
    )
    return noise / tf.reduce_sum(tf.square(logits))


def cross_entropies(answers: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy with the labels, and with the teacher's shares (Hinton et al. 2015).

    Args:
        answers: The student's logits, ``(batch, classes)``.
        teacher: The teacher's.
        labels: int ``(batch,)``.
    """
    by_labels = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, answers)
    by_teacher = tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(teacher), answers)
    return tf.reduce_mean(by_labels + TEACHER * by_teacher)
