"""Mixed precision by measuring: the layers that rounding hurts most compute in float again.

Every trial is a real file in the real runtime. No labels are needed: what is compared is the best
class with that of the float model. Accuracy can fall by no more than the share of pictures whose
best class changes, so an agreement of 0.99 is enough (not necessary) for an accuracy within one
percentage point of the float model's, on these pictures.

A layer put back into float brings something only where its kernel, or a tensor, stops being
rounded, and a tensor is rounded as long as an integer operator writes or reads it. A sum between
integer neighbours brings nothing. A convolution whose output only a sum reads goes into float
together with that sum, so that the tensor between them stays float too. Where a layer alone brings
too little, it is tried together with the layers that read it, without which its output is rounded.

Biases stay as they are. Those of an equalised scheme make good for the rounding of all layers, of
those too that are put back: with very many layers in float a little of that is left as an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from converters.errors import IntermediateFileError, ModelConversionError, RequestError
from converters.quantization.calibrated import Calibrated, agreement, sqnr_db
from converters.quantization.network import ELEMENTWISE, SAME_VALUES, Network, Operation
from converters.quantization.ranges import not_finite
from converters.quantization.sensitivity import LayerSensitivity
from converters.quantization.simulation import Scheme, rounded_tensors
from converters.quantization.tflite import quantize_static

REQUIRED_AGREEMENT = 0.99
"""Of the best classes with the float model's, as in the module's description."""

LIGHT = ELEMENTWISE | {
    "AVERAGE_POOL_2D",
    "HARD_SWISH",
    "LEAKY_RELU",
    "LOGISTIC",
    "MEAN",
    "RELU",
    "RELU6",
    "TANH",
}
"""Operators that follow a layer into float where that keeps its output from being rounded."""


@dataclass(frozen=True)
class Trial:
    """One file, measured."""

    layer: str
    """Put back into float, or taken out again, since the best set before; none for the first."""
    float_layers: tuple[str, ...]
    """All layers that the search put into float, those that follow others included, in graph
    order; as ``keep_float`` of ``converters.quantization.engine.Method`` they give this file's
    operators."""
    agreement: float
    """Share of pictures with the float file's best class, in [0, 1]."""
    sqnr_db: float
    """Of the centred logits of all pictures against the float file's; infinite where equal."""
    bytes: int
    """Size of the file."""
    latency_s: float
    """Median over the pictures, one thread."""
    holds: bool
    """Whether the agreement is what was required."""


@dataclass(frozen=True)
class Found:
    """What is known after a trial."""

    trial: Trial
    best: Trial
    """Of all so far: one that holds, of those the smallest file; where none holds, the one with the
    highest agreement, then the most decibels."""
    scheme: Scheme
    """Of the best."""
    data: bytes
    """The best file."""
    repeated: bool = False
    """Whether the trial is an earlier one, whose file was made again."""


def search(
    float32: bytes,
    calibrated: Calibrated,
    sensitivities: Sequence[LayerSensitivity],
    pictures: np.ndarray,
    budget_s: float,
    *,
    required: float = REQUIRED_AGREEMENT,
    earlier: Sequence[Trial] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Found]:
    """Put the guiltiest layers back into float, one more at a time, until the answers hold.

    A layer stays in float where it improved agreement or SQNR; one that did not is tried again when
    its neighbours in float let it do more. Once the answers hold, layers turn
    to integers again, the least guilty first, where the answers hold without them. Every result is
    handed out before the next trial begins. The same inputs give the same trials, but for latencies
    and for how many fit into the budget.

    Args:
        float32: The float file of the network.
        calibrated: Its quantization; what that keeps in float stays there.
        sensitivities: What ``measure_sensitivity`` found; layers without a share are not tried.
        pictures: Best such as did not choose the scheme, uint8 ``(count, height, width, 3)``, may
            be a memory map.
        budget_s: Seconds after which no trial begins; one that has begun is finished. The first
            trial, everything integer, is always made; with 0 it is the only one.
        required: The agreement that is enough, in [0, 1].
        earlier: Trials of a search that was cut off, with the same inputs. They are not made
            again; the first item is then the best of them, with its file made again.
        clock: Seconds; budget and latencies go by it.

    Yields:
        One item after every trial.

    Raises:
        ConversionError: No pictures; answers that are not finite; a sensitivity or an earlier
            trial that is not of this quantization; or the quantizer or the runtime refuses a mix.
    """
    if not len(pictures):
        raise RequestError("search: no pictures; expected at least one; pass --calibration DIR")
    plan = _Plan(calibrated.network, calibrated.scheme.float_operations)
    plan.check([row.layer for row in sensitivities], "a sensitivity")
    for row in earlier:
        plan.check(row.float_layers, "an earlier trial")
    shares = {row.layer: row.share for row in sensitivities if row.share > 0}
    bench = _Bench(float32, calibrated, pictures, clock)
    known = {row.float_layers: replace(row, holds=row.agreement >= required) for row in earlier}
    yield from _Search(plan, bench, shares, known, required, budget_s).run()


class _Plan:
    """Which operators compute in float for a choice of layers, and what that brings."""

    def __init__(self, network: Network, base: frozenset[int]) -> None:
        self._network, self._base = network, base
        self._layers: dict[str, tuple[Operation, ...]] = {}
        for operation in network.operations:
            found = self._layers.get(operation.layer, ())
            self._layers[operation.layer] = (*found, operation)

    def check(self, layers: Collection[str], owner: str) -> None:
        """Refuse names of other networks' layers."""
        if unknown := [layer for layer in layers if layer not in self._layers]:
            raise IntermediateFileError(
                f"search: {owner} names layer {unknown[0]!r}, which this network does not have; "
                "measure the sensitivities anew and search without earlier trials"
            )

    def layers(self, chosen: Collection[str]) -> tuple[str, ...]:
        """The chosen layers and those that follow them into float, in graph order."""
        found = set(chosen)
        inside = self._base | self._indices(chosen)
        for layer in chosen:
            for operation in self._layers[layer]:
                readers = self._network.readers.get(operation.output, ())
                if all(op.index in inside or self._is_light(op.layer) for op in readers):
                    found.update(op.layer for op in readers if op.index not in inside)
        return tuple(layer for layer in self._layers if layer in found)

    def operations(self, layers: Collection[str]) -> frozenset[int]:
        """All operators that compute in float when just these layers are put back."""
        return self._base | self._indices(layers)

    def options(self, layer: str) -> Iterator[tuple[str, ...]]:
        """The layer alone; and with all that read it, without which its output is rounded."""
        yield (layer,)
        if any(op in self._network.weighted for op in self._layers[layer]):
            found = [name for op in self._layers[layer] for name in self._behind(op.output)]
            yield tuple(dict.fromkeys((layer, *found)))

    def freed(self, before: Collection[str], after: Collection[str]) -> frozenset[str]:
        """Kernels and tensors that are no longer rounded, by a name of their own."""
        return self._rounded(before) - self._rounded(after)

    def _rounded(self, chosen: Collection[str]) -> frozenset[str]:
        kept = self.operations(self.layers(chosen))
        kernels = {op.index for op in self._network.weighted} - kept
        tensors = {self._origin(tensor) for tensor in rounded_tensors(self._network, kept)}
        written = tensors - {self._network.image}  # pixels are exact
        return frozenset(
            [f"kernel {index}" for index in kernels] + [f"tensor {index}" for index in written]
        )

    def _origin(self, tensor: int) -> int:
        """The tensor whose values this one holds, where operators only moved them."""
        while (op := self._network.writers.get(tensor)) is not None and op.kind in SAME_VALUES:
            tensor = op.inputs[0]
        return tensor

    def _behind(self, tensor: int) -> Iterator[str]:
        """Layers that read a tensor, through operators that only move values."""
        for op in self._network.readers.get(tensor, ()):
            if op.index not in self._base:
                yield op.layer
                if op.kind in SAME_VALUES:
                    yield from self._behind(op.output)

    def _indices(self, layers: Collection[str]) -> frozenset[int]:
        return frozenset(op.index for layer in layers for op in self._layers[layer])

    def _is_light(self, layer: str) -> bool:
        return all(operation.kind in LIGHT for operation in self._layers[layer])


class _Bench:
    """Makes files, runs them, and compares their answers with the float file's."""

    def __init__(
        self,
        float32: bytes,
        calibrated: Calibrated,
        pictures: np.ndarray,
        clock: Callable[[], float],
    ) -> None:
        self._float32, self._calibrated = float32, calibrated
        self._pictures, self._clock = pictures, clock
        self.begun_s = clock()
        self._expected, _ = self._run(float32)

    def spent_s(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self.begun_s

    def make(self, float_operations: frozenset[int]) -> tuple[Scheme, bytes]:
        """Quantize with these operators in float."""
        network, scheme = self._calibrated.network, self._calibrated.scheme
        scheme = replace(scheme, float_operations=float_operations)
        return scheme, quantize_static(self._float32, network, scheme, integer_only=False)

    def measure(
        self, layer: str, float_layers: tuple[str, ...], data: bytes, required: float
    ) -> Trial:
        """Run a file on all pictures."""
        logits, latency_s = self._run(data)
        agreeing = agreement(self._expected, logits)
        return Trial(
            layer,
            float_layers,
            agreeing,
            sqnr_db(self._expected, logits),
            len(data),
            latency_s,
            agreeing >= required,
        )

    def _run(self, data: bytes) -> tuple[np.ndarray, float]:
        """Centred logits, float64 ``(count, classes)``, and the median of seconds per picture."""
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
        logits = np.log(np.maximum(probabilities, 1e-30))
        return logits - logits.mean(axis=1, keepdims=True), float(np.median(latencies_s))


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


@dataclass
class _Search:
    """The state of a search; its generators hand out what they find on the way."""

    plan: _Plan
    bench: _Bench
    shares: Mapping[str, float]
    known: dict[tuple[str, ...], Trial]
    required: float
    budget_s: float
    best: Found | None = None

    def run(self) -> Iterator[Found]:
        """Remember, put into float, take out again."""
        if self.known:
            yield self._remember()
        first = yield from self._attempt("", ())
        if first is None:
            return
        chosen = yield from self._put_back(first)
        if chosen is not None:
            yield from self._take_out(chosen)

    def _put_back(self, now: Trial) -> Generator[Found, None, tuple[str, ...] | None]:
        """Grow the set in float; None where the answers do not hold in the end."""
        chosen: tuple[str, ...] = ()
        tried: set[tuple[str, frozenset[str]]] = set()
        while not now.holds:
            candidate = next(self._candidates(chosen, tried), None)
            if candidate is None:
                return None
            layer, freed, grown = candidate
            tried.add((layer, freed))
            trial = yield from self._attempt(layer, grown)
            if trial is None:
                return None
            if trial.agreement > now.agreement or trial.sqnr_db > now.sqnr_db:
                chosen, now = grown, trial
        return chosen

    def _candidates(
        self, chosen: tuple[str, ...], tried: Collection[tuple[str, frozenset[str]]]
    ) -> Iterator[tuple[str, frozenset[str], tuple[str, ...]]]:
        """Layers with what they would free, guiltiest first.

        A layer that brought nothing comes again once it would free more than it did then.
        """
        for layer in sorted(self.shares.keys() - set(chosen), key=self._guilt):
            for option in self.plan.options(layer):
                grown = tuple(dict.fromkeys((*chosen, *option)))
                freed = self.plan.freed(chosen, grown)
                if freed and (layer, freed) not in tried:
                    yield layer, freed, grown

    def _guilt(self, layer: str) -> tuple[float, str]:
        """Smallest for the guiltiest; names decide between equals."""
        return -self.shares.get(layer, 0.0), layer

    def _take_out(self, chosen: tuple[str, ...]) -> Generator[Found, None, None]:
        """Shrink the set in float where the answers hold without a layer."""
        for layer in sorted(chosen, key=self._guilt, reverse=True):
            rest = tuple(name for name in chosen if name != layer)
            trial = yield from self._attempt(layer, rest)
            if trial is None:
                return
            if trial.holds:
                chosen = rest

    def _attempt(self, layer: str, chosen: tuple[str, ...]) -> Generator[Found, None, Trial | None]:
        """Measure a set of layers unless that was done before; None where no time is left."""
        float_layers = self.plan.layers(chosen)
        if float_layers in self.known:
            return self.known[float_layers]
        if self.known and self.bench.spent_s() >= self.budget_s:
            return None
        scheme, data = self.bench.make(self.plan.operations(float_layers))
        trial = self.bench.measure(layer, float_layers, data, self.required)
        self.known[float_layers] = trial
        if self.best is None or _rank(trial) > _rank(self.best.best):
            self.best = Found(trial, trial, scheme, data)
        yield replace(self.best, trial=trial, repeated=False)
        return trial

    def _remember(self) -> Found:
        """Make the best earlier file again.

        Raises:
            IntermediateFileError: It comes out otherwise than it was.
        """
        trial = max(self.known.values(), key=_rank)
        scheme, data = self.bench.make(self.plan.operations(trial.float_layers))
        if len(data) != trial.bytes:
            raise IntermediateFileError(
                f"search: an earlier trial's file had {trial.bytes} bytes, made again it has "
                f"{len(data)}; it is of another quantization; search without earlier trials"
            )
        self.best = Found(trial, trial, scheme, data, repeated=True)
        return self.best


def _rank(trial: Trial) -> tuple[float, ...]:
    """Larger is better; NaN, which compares with nothing, was refused before."""
    if trial.holds:
        return (1, -trial.bytes, trial.agreement, trial.sqnr_db)
    return (0, trial.agreement, trial.sqnr_db, -trial.bytes)
