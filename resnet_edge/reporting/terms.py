"""The report's terms, each in a sentence that a reader without background understands."""

from __future__ import annotations

from resnet_edge import units
from resnet_edge.ondevice.latency.early_stopping import CONFIDENCE, least_queries
from resnet_edge.ondevice.latency.trend import SMALLEST_DRIFT
from resnet_edge.ondevice.measurements import NOISY_SPREAD

INTRODUCTION = (
    "An artifact is a file made from the model. Each one was compared with the reference: the "
    "model itself in full float32, before any export."
)
"""Stands before everything else."""

SUMMARY_TERMS = (
    ("top-1", "The share of the test pictures whose most probable class is the right one."),
    (
        "agreement",
        "The share of the test pictures to which the artifact and the reference give the same "
        "answer.",
    ),
    (
        "SQNR",
        "Signal to quantization noise ratio: how much larger the logits (the answers before "
        "softmax) are than their error, in decibels. 20 dB is an error of a tenth, 40 dB of a "
        "hundredth; over 100 dB is float32 rounding, “exact” is bit for bit.",
    ),
    (
        "p50 / p90",
        "Half, or nine in ten, of the inferences of a single picture took at most this long.",
    ),
    (
        "verdict",
        "Pass: the artifact holds its gates, the limits of accuracy and latency. Fail: it does "
        "not. Inconclusive: too few test pictures or latency queries to tell. Not checked: nothing "
        "was measured, so nothing is claimed.",
    ),
)
"""Stand beside the table of the artifacts, in the order of its columns."""

GLOSSARY = (
    (
        "proof of float32",
        "Before the reference answers, its device multiplies matrices and convolves pictures whose "
        "exact results are known and which TF32 or bfloat16 would get wrong.",
    ),
    (
        "paired interval",
        "The artifact and the reference answered the same pictures, so the difference in accuracy "
        "is estimated from the pictures where they differ. The true difference lies in the "
        "interval with the stated confidence. It is much narrower than the interval of either "
        "accuracy alone.",
    ),
    (
        "confidence",
        "The probability that the network itself gives to its answer.",
    ),
    (
        "ECE",
        "Expected calibration error: how far confidence and accuracy are apart, averaged over bins "
        "of pictures with similar confidence. At 0 %, answers with 80 % confidence are right in 80 "
        "of 100 pictures.",
    ),
    (
        "simultaneous interval",
        "The intervals of all classes hold together with the stated confidence (Bonferroni), so "
        "that among many classes none is accused by chance.",
    ),
    (
        "inconclusive accuracy",
        "The interval reaches over the gate: these test pictures prove neither pass nor fail. More "
        "test pictures settle it.",
    ),
    (
        "p90 at most",
        "An upper bound of p90 by MLPerf's early stopping: of n inferences it is the t-th slowest, "
        "where t is as large as leaves the true p90 at or below it with "
        f"{units.percent(CONFIDENCE, 0)} confidence. It needs {least_queries()} inferences, and "
        "comes nearer to p90 with more. Latency limits are judged by it.",
    ),
    (
        "noisy",
        "The middle half of the latency samples spans more than "
        f"{units.percent(NOISY_SPREAD, 0)} of the median: something else ran on the machine, or "
        "its clock changed.",
    ),
    (
        "drifting",
        "The median of the second half of the latency samples is more than "
        f"{units.percent(SMALLEST_DRIFT, 0)} off the first half's, by more than chance "
        "(Mann-Whitney test): the machine heats up, or something else began to run.",
    ),
    (
        "slow in groups",
        "Slow inferences came one after another (runs test), as when a machine's speed changes for "
        "a while. The bound takes them as independent, so it then holds with less than "
        f"{units.percent(CONFIDENCE, 0)} confidence.",
    ),
    (
        "share of the noise",
        "The part of the quantization error in the logits that one layer causes; the parts of all "
        "layers sum to 100 %.",
    ),
)
"""Further terms, in the order in which a reader meets them."""
