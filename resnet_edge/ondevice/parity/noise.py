"""The one rule by which two signal-to-noise ratios count as the same."""

from __future__ import annotations

ENOUGH_DB = 60.0
"""A higher SQNR says no more: 60 dB is an error of a thousandth, the float32 gate's limit."""

SAME_DB = 1.0
"""SQNRs this near each other count as equal: a step of the calibration moves them as much."""
