"""A trial of the search for layers in float: a file as it would ship, run in LiteRT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from converters.errors import ModelConversionError
from converters.quantization.answer_metrics import agreement, centred_log_probabilities, sqnr_db
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.findings import PrecisionTrial
from converters.quantization.scheme import Scheme
from converters.quantization.tensor_range import not_finite
from converters.quantization.tflite import quantize_static


class TrialRunner:
    """Makes files, runs them and compares their answers with those of the float file."""

    def __init__(
        self,
        float32: bytes,
        calibrated: CalibratedNetwork,
        pictures: np.ndarray,
        clock: Callable[[], float],
    ) -> None:
        self._float32, self._calibrated = float32, calibrated
        self._pictures, self._clock = pictures, clock
        self.begun_s = clock()
        self._expected, _ = self.run(float32)

    def spent_s(self) -> float:
        """Return the seconds since this runner was made."""
        return self._clock() - self.begun_s

    def make(self, float_operations: frozenset[int]) -> tuple[Scheme, bytes]:
        """Return the scheme and the file with these operators in float."""
        network, scheme = self._calibrated.network, self._calibrated.scheme
        scheme = replace(scheme, float_operations=float_operations)
        return scheme, quantize_static(self._float32, network, scheme, integer_only=False)

    def measure(
        self, layer: str, float_layers: tuple[str, ...], data: bytes, required: float
    ) -> PrecisionTrial:
        """Run a file on all pictures and compare its answers."""
        logits, latency_s = self.run(data)
        agreeing = agreement(self._expected, logits)
        return PrecisionTrial(
            layer,
            float_layers,
            agreeing,
            sqnr_db(self._expected, logits),
            len(data),
            latency_s,
            agreeing >= required,
        )

    def run(self, data: bytes) -> tuple[np.ndarray, float]:
        """Return centred logits, float64 ``(count, classes)``, and the median seconds a picture."""
        interpreter = _load(data)
        (image,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
        shift = 128 if image["dtype"] == np.int8 else 0
        rows, latencies_s = [], []
        for picture in self._pictures:
            levels = (picture.astype(np.int16) - shift).astype(image["dtype"])
            interpreter.set_tensor(image["index"], levels[np.newaxis])
            begun_s = self._clock()
            interpreter.invoke()
            latencies_s.append(self._clock() - begun_s)
            rows.append(interpreter.get_tensor(answer["index"])[0].astype(np.float64))
        probabilities = np.stack(rows)
        if not np.isfinite(probabilities).all():
            raise not_finite(answer["name"])
        return centred_log_probabilities(probabilities), float(np.median(latencies_s))


def _load(data: bytes) -> Interpreter:
    try:
        interpreter = Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as problem:
        raise ModelConversionError(
            f"search: LiteRT refuses a file of integer and float layers: {problem}; "
            "name the layers to keep in float with --keep-float instead"
        ) from problem
    return interpreter
