"""The operators that an integer TFLite file computes in integers."""

from __future__ import annotations

import json
from collections.abc import Mapping

from litert_quantizer import default_policy

KERNEL_VERSIONS: Mapping[str, int] = {
    "ELU": 1,
    "LEAKY_RELU": 2,
    "PRELU": 1,
    "REDUCE_MAX": 2,
    "RELU6": 2,
    "TILE": 2,
}
"""Operators with an int8 kernel in LiteRT that litert-quantizer does not use, with the version
that has it (``tensorflow/lite/tools/versioning/op_version.cc``)."""

FAILING = frozenset({"DIV"})
"""Operators that litert-quantizer makes integer, and that LiteRT then refuses: a divisor that is
rounded to zero ends the inference."""

_OTHER_NAMES = {"CONV_2D_TRANSPOSE": "TRANSPOSE_CONV"}
_POLICY = json.loads(default_policy.DEFAULT_JSON_POLICY)["ops_per_config"]

INTEGER_KINDS = (
    frozenset(_OTHER_NAMES.get(kind, kind) for kind in _POLICY["static_wi8_ai8"])
    | KERNEL_VERSIONS.keys()
) - FAILING
"""Kinds that are integer with 8-bit activations, by the names of the schema."""
