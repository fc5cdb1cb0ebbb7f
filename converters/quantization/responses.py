"""The function by which a tensor's values go on, where all its readers are one activation.

A sigmoid or a swish hardly tells -8 from -20. So a range need not hold what the activation levels,
and a step counts for as much as the activation passes on.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import erf, expit

from converters.quantization.tflite_network import Operation, TfliteNetwork

Response = Callable[[np.ndarray], np.ndarray]


def response_of(network: TfliteNetwork, tensor: int) -> Response | None:
    """Return the activation that alone reads a tensor; None if there is no single one."""
    readers = network.readers.get(tensor, ())
    kinds = {operation.kind for operation in readers}
    if len(readers) == 1 and not readers[0].activation.startswith("RELU"):
        return _RESPONSES.get(readers[0].kind)
    if len(readers) == 2 and kinds == {"LOGISTIC", "MUL"}:
        gate, product = sorted(readers, key=lambda operation: operation.kind)
        if _multiplies(network, product, tensor, gate.output):
            return _swish
    return None


def _multiplies(network: TfliteNetwork, product: Operation, one: int, other: int) -> bool:
    """True if a product is of two tensors, of which it alone reads the second."""
    return set(product.inputs) == {one, other} and len(network.readers[other]) == 1


def _swish(x: np.ndarray) -> np.ndarray:
    return np.asarray(x * expit(x))


_RESPONSES: dict[str, Response] = {
    "ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "GELU": lambda x: x * 0.5 * (1 + erf(x / np.sqrt(2))),
    "HARD_SWISH": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "LOGISTIC": expit,
    "RELU": lambda x: np.maximum(x, 0),
    "RELU6": lambda x: np.clip(x, 0, 6),
    "RELU_N1_TO_1": lambda x: np.clip(x, -1, 1),
    "TANH": np.tanh,
}
