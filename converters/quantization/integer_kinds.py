"""The operators that an integer TFLite file computes in integers."""

from __future__ import annotations

import json

from litert_quantizer import default_policy

_OTHER_NAMES = {"CONV_2D_TRANSPOSE": "TRANSPOSE_CONV"}
_POLICY = json.loads(default_policy.DEFAULT_JSON_POLICY)["ops_per_config"]

INTEGER_KINDS = frozenset(_OTHER_NAMES.get(kind, kind) for kind in _POLICY["static_wi8_ai8"])
"""Kinds that litert-quantizer makes integer with 8-bit activations, by the names of the schema."""
