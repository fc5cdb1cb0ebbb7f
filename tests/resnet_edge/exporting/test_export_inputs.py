"""The inputs that decide which quantization is kept."""

from __future__ import annotations

from dataclasses import fields

from converters.quantization.calibrated_network import (
    EqualizationFigures,
    Examined,
    FloatFallback,
    HeldOutAnswers,
    TrainingFigures,
)
from converters.quantization.scheme import Scheme
from resnet_edge.exporting.inputs import KEPT_LAYOUT

RECORDS = (
    *(Scheme, EqualizationFigures, FloatFallback, HeldOutAnswers),
    *(TrainingFigures, Examined),
)


def test_another_layout_has_another_number():
    kept = [field.name for record in RECORDS for field in fields(record)]
    assert (KEPT_LAYOUT, kept) == (
        3,
        [
            *("parameters", "ranges", "float_operations", "grid", "weight_only", "has_float_head"),
            *("strength", "held_out_sqnr_db", "held_out", "groups", "ranges", "corrects"),
            *("layers", "operations", "integer", "mixed", "more_bytes", "multiply_adds"),
            *("has_float_weights", "sqnr_db", "agreement", "pictures"),
            *("before", "after", "pictures", "cross_entropy", "top1"),
        ],
    )
